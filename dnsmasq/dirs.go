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

// Status returns where libvirt's daemon and NSS modules look for a bridge's leases:
// a file that libvirt's helper keeps as root, or a link to the one of ours, which
// is no root. See [Dirs.Leases].
func (d Dirs) Status(bridge string) string { return path.Join(d.Dnsmasq, bridge+".status") }

// helperDir is the name of the lease helper's own directory.
const helperDir = "virbr"

// Helper returns the directory that the lease helper may write to, and nobody else
// but root. It lies where other programs' rules (AppArmor, SELinux) let dnsmasq's
// helpers write.
func (d Dirs) Helper() string { return path.Join(d.Dnsmasq, helperDir) }

// Leases returns the path of the lease file in the helper's directory.
func (d Dirs) Leases(bridge string) string { return path.Join(d.Helper(), bridge+".status") }

// LeasesLink returns what the link at [Dirs.Status] says: the way to [Dirs.Leases].
func (d Dirs) LeasesLink(bridge string) string { return path.Join(helperDir, bridge+".status") }

// LeasesLock returns the path of the lock that calls of the helper for a bridge wait
// for.
func (d Dirs) LeasesLock(bridge string) string { return path.Join(d.Helper(), bridge+".lock") }

// Reload returns the path of the file by which the helper asks for a SIGHUP to a
// bridge's dnsmasq, which is another user's.
func (d Dirs) Reload(bridge string) string { return path.Join(d.Helper(), bridge+".reload") }

// MACs returns the path of the file that says which guest has which MAC
// address. Its name is the bridge's; libvirt's NSS module for guests reads it.
func (d Dirs) MACs(bridge string) string { return path.Join(d.Dnsmasq, bridge+".macs") }

// Numbered returns the path of the dhcp-hostsdir that the lease helper keeps
// for a bridge whose guests have one number for both families.
func (d Dirs) Numbered(bridge string) string { return path.Join(d.Helper(), bridge+".hosts6") }

// Numbering returns the path of the file that tells the helper how.
func (d Dirs) Numbering(bridge string) string { return path.Join(d.Dnsmasq, bridge+".numbers") }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")

// escape writes a network's name as libvirt does in the names of some of its
// files: XML's five entities. The configuration file has the plain name.
func escape(network string) string { return escaper.Replace(network) }
