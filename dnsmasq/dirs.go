package dnsmasq

import (
	"path"
	"strings"
)

// Dirs are the directories of dnsmasq's files.
type Dirs struct {
	Run     string // pid files: /run/libvirt/network; "": no pid-file line
	Dnsmasq string // everything else: /var/lib/libvirt/dnsmasq
}

// Conf returns the path of a network's configuration file.
func (d Dirs) Conf(network string) string { return path.Join(d.Dnsmasq, network+".conf") }

// Hosts returns the path of a network's dhcp-hostsfile.
func (d Dirs) Hosts(network string) string {
	return path.Join(d.Dnsmasq, escape(network)+".hostsfile")
}

// AddnHosts returns the path of a network's addn-hosts file.
func (d Dirs) AddnHosts(network string) string {
	return path.Join(d.Dnsmasq, escape(network)+".addnhosts")
}

// PidFile returns the path of a network's pid file.
func (d Dirs) PidFile(network string) string { return path.Join(d.Run, escape(network)+".pid") }

// Status returns the path of the lease file that dnsmasq's helper keeps. Its
// name is the bridge's; libvirt's NSS modules read it.
func (d Dirs) Status(bridge string) string { return path.Join(d.Dnsmasq, bridge+".status") }

// MACs returns the path of the file that says which guest has which MAC
// address. Its name is the bridge's; libvirt's NSS module for guests reads it.
func (d Dirs) MACs(bridge string) string { return path.Join(d.Dnsmasq, bridge+".macs") }

// Numbered returns the path of the dhcp-hostsdir that the lease helper keeps
// for a bridge whose guests have one number for both families.
func (d Dirs) Numbered(bridge string) string { return path.Join(d.Dnsmasq, bridge+".hosts6") }

// Numbering returns the path of the file that tells the helper how. It lies in
// the helper's directory, where dnsmasq reads no file whose name begins with a
// dot.
func (d Dirs) Numbering(bridge string) string { return path.Join(d.Numbered(bridge), ".network") }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")

// escape writes a network's name as libvirt does in the names of some of its
// files: XML's five entities. The configuration file has the plain name.
func escape(network string) string { return escaper.Replace(network) }
