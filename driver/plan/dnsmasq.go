package plan

import (
	"fmt"

	"github.com/virbr/virbr/dnsmasq"
)

// The oldest dnsmasq that works: the first with bind-dynamic and RA lifetimes
// as the configuration needs them. Source: libvirt's DNSMASQ_MIN_*.
const (
	dnsmasqMajor = 2
	dnsmasqMinor = 67
	// hostsDirMinor is the first with dhcp-hostsdir.
	hostsDirMinor = 73
)

// TooOld reports whether a dnsmasq is too old for networks, and which version is not.
func (d DnsmasqFacts) TooOld() (bool, string) {
	return d.older(dnsmasqMinor), fmt.Sprintf("%d.%d", dnsmasqMajor, dnsmasqMinor)
}

// dnsmasq writes the files of the network's dnsmasq and starts it. The files
// stay when the network stops: leases belong to the network, not to its run.
func (c *compiler) dnsmasq() error {
	if !dnsmasq.Wanted(c.def) {
		return nil
	}
	files, err := dnsmasq.Compile(c.def, c.dirs)
	if err != nil {
		return err
	}
	d := c.facts.Dnsmasq
	if d.Path == "" {
		return refuse(KindSystem, "Unable to find 'dnsmasq' binary in $PATH: No such file or directory")
	}
	if old, oldest := d.TooOld(); old {
		return refuse(KindUnsupported, "dnsmasq version >= %s required but %d.%d found", oldest, d.Major, d.Minor)
	}
	if files.Numbering != "" && d.older(hostsDirMinor) {
		return refuse(KindUnsupported, "dnsmasq version >= %d.%d required for hostid='ipv4' but %d.%d found", dnsmasqMajor, hostsDirMinor, d.Major, d.Minor)
	}
	c.addFiles(files)
	start := StartDnsmasq{
		Conf: c.dirs.Conf(c.def.Name), PidFile: c.dirs.PidFile(c.def.Name), Bridge: c.bridge,
		Wide: len(c.def.DnsmasqOptions) > 0,
	}
	c.add(Step{Do: start, Undo: StopDnsmasq{PidFile: start.PidFile}})
	return nil
}

// addFiles writes the files. The configuration is root's alone; the others are
// read again by a dnsmasq that has dropped root's rights.
func (c *compiler) addFiles(files dnsmasq.Files) {
	name := c.def.Name
	c.add(
		Step{Do: WriteFile{Path: c.dirs.Conf(name), Mode: 0o600, Data: files.Conf}},
		Step{Do: WriteFile{Path: c.dirs.Hosts(name), Mode: 0o644, Data: files.Hosts}},
		Step{Do: WriteFile{Path: c.dirs.AddnHosts(name), Mode: 0o644, Data: files.AddnHosts}},
	)
	if files.Numbering != "" {
		// Emptied, it tells the lease helper that there is nothing to number: the
		// next start may be of a definition without.
		path := c.dirs.Numbering(c.def.Bridge.Name)
		c.add(Step{Do: WriteFile{Path: path, Mode: 0o644, Data: files.Numbering}, Undo: WriteFile{Path: path, Mode: 0o644}})
	}
}
