package dnsmasq

import (
	"github.com/virbr/virbr/xml"
)

// Files is what one dnsmasq reads. The zero value is a network without one.
type Files struct {
	Conf      string // its configuration; may be read by root only
	Hosts     string // dhcp-hostsfile: one line for each static DHCP host
	AddnHosts string // addn-hosts: names that <dns> gives to addresses
	Numbering string // for the lease helper, see [ParseNumbering]; "": there is none
}

// Wanted reports whether a network has a dnsmasq: its bridge is ours, it has an
// address, and there is DNS or DHCP or TFTP to serve, or a prefix to advertise.
// Source: libvirt's networkStartDhcpDaemon, which forgets that each IPv6 address
// is advertised, and so leaves guests of a network without DNS without one.
func Wanted(def *xml.Network) bool {
	if !def.OwnsBridge() {
		return false
	}
	if _, advertised := advertised(def); advertised {
		return true
	}
	address, service := false, def.DNS.Enable != xml.No
	for i := range def.IPs {
		ip := &def.IPs[i]
		if !ip.Address.IsValid() {
			continue
		}
		address = true
		service = service || ip.HasDHCP() || ip.TFTPRoot != "" || ip.Is6()
	}
	return address && service
}

// Compile returns the files of a network's dnsmasq. Every value that ends in a
// line is checked again here, whatever the document's parser let through: a
// line break in one of them would be a new directive, and dnsmasq runs the
// program of a dhcp-script directive as root.
//
// An error is an *xml.Error with libvirt's wording where libvirt has one.
func Compile(def *xml.Network, dirs Dirs) (Files, error) {
	dhcp, err := findDHCP(def)
	if err != nil {
		return Files{}, err
	}
	if err := check(def, dhcp, dirs); err != nil {
		return Files{}, err
	}
	if err := def.CheckHostIDs(); err != nil {
		return Files{}, err
	}
	var files Files
	if files.Conf, err = conf(def, dhcp, dirs); err != nil {
		return Files{}, err
	}
	if files.Hosts, err = hosts(def, dhcp); err != nil {
		return Files{}, err
	}
	files.AddnHosts = addnHosts(def.DNS.Hosts)
	files.Numbering = numbering(def, dhcp)
	return files, nil
}

// subnets holds the one <ip> of each family that has DHCP; nil: none has.
type subnets struct{ v4, v6 *xml.IP }

func (s subnets) any() bool { return s.v4 != nil || s.v6 != nil }

// list returns the subnets that have DHCP, IPv4 first.
func (s subnets) list() []*xml.IP {
	var list []*xml.IP
	for _, ip := range []*xml.IP{s.v4, s.v6} {
		if ip != nil {
			list = append(list, ip)
		}
	}
	return list
}

func findDHCP(def *xml.Network) (subnets, error) {
	var found subnets
	for i := range def.IPs {
		ip := &def.IPs[i]
		if !ip.Address.IsValid() || !ip.HasDHCP() {
			continue
		}
		place, family := &found.v4, "IPv4"
		if ip.Is6() {
			place, family = &found.v6, "IPv6"
		}
		if *place != nil {
			return subnets{}, unsupported("Multiple %s dhcp sections found -- dhcp is supported only for a single %s address on each network", family, family)
		}
		*place = ip
	}
	return found, nil
}
