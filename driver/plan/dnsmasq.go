package plan

import (
	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
)

// hostsDirMinor is the first dnsmasq 2.x with dhcp-hostsdir.
const hostsDirMinor = 73

// dnsmasq writes the files of the network's dnsmasq and starts it. The files
// stay when the network stops: leases belong to the network, not to its run.
func (c *compiler) dnsmasq() error { return c.serve(&c.facts) }

// serve is dnsmasq for a host that is not asked which one it has, where facts is nil.
func (c *compiler) serve(facts *step.Facts) error {
	if !dnsmasq.Wanted(c.def) {
		return nil
	}
	files, err := dnsmasq.Compile(c.def, c.dirs)
	if err == nil && facts != nil {
		err = serves(facts.Dnsmasq, files)
	}
	if err != nil {
		return err
	}
	c.addFiles(files)
	start := step.StartDnsmasq{
		Conf: c.dirs.Conf(c.def.Name), PidFile: c.dirs.PidFile(c.def.Name), Bridge: c.bridge,
		Wide: len(c.def.DnsmasqOptions) > 0,
	}
	c.add(step.Step{Do: start, Undo: step.StopDnsmasq{PidFile: start.PidFile}})
	return nil
}

// serves refuses a dnsmasq that cannot serve what the files ask for.
func serves(d step.DnsmasqFacts, files dnsmasq.Files) error {
	if d.Path == "" {
		return refuse(KindSystem, "Unable to find 'dnsmasq' binary in $PATH: No such file or directory")
	}
	if old, oldest := d.TooOld(); old {
		return refuse(KindUnsupported, "dnsmasq version >= %s required but %d.%d found", oldest, d.Major, d.Minor)
	}
	if files.Numbering != "" && d.Older(hostsDirMinor) {
		return refuse(KindUnsupported, "dnsmasq version >= 2.%d required for hostid='ipv4' but %d.%d found", hostsDirMinor, d.Major, d.Minor)
	}
	return nil
}

// addFiles writes the files. The configuration is root's alone; the others are
// read again by a dnsmasq that has dropped root's rights.
func (c *compiler) addFiles(files dnsmasq.Files) {
	name := c.def.Name
	c.add(
		step.Step{Do: step.WriteFile{Path: c.dirs.Conf(name), Mode: 0o600, Data: files.Conf}},
		step.Step{Do: step.WriteFile{Path: c.dirs.Hosts(name), Mode: 0o644, Data: files.Hosts}},
		step.Step{Do: step.WriteFile{Path: c.dirs.AddnHosts(name), Mode: 0o644, Data: files.AddnHosts}},
	)
	if files.Numbering != "" {
		// Emptied, it tells the lease helper that there is nothing to number: the
		// next start may be of a definition without.
		path := c.dirs.Numbering(c.def.Bridge.Name)
		c.add(step.Step{Do: step.WriteFile{Path: path, Mode: 0o644, Data: files.Numbering}, Undo: step.WriteFile{Path: path, Mode: 0o644}})
	}
}
