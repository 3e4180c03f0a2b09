package xml

import "slices"

// dhcpParent finds the <ip> that a DHCP entry belongs to: libvirt's
// virNetworkIPDefByIndex.
func (n *Network) dhcpParent(index int) (int, error) {
	if index >= 0 {
		if index >= len(n.IPs) {
			return -1, misfit("couldn't update dhcp host entry - no <ip> element found at index %d in network '%s'", index, n.Name)
		}
		return index, nil
	}
	for _, fits := range []func(IP) bool{
		func(ip IP) bool { return ip.HasDHCP() },
		func(ip IP) bool { return ip.Address.Is4() },
		func(ip IP) bool { return ip.Address.Is6() },
	} {
		if i := slices.IndexFunc(n.IPs, fits); i >= 0 {
			return i, nil
		}
	}
	return -1, misfit("couldn't update dhcp host entry - no <ip> element found in network '%s'", n.Name)
}

// oneDHCP refuses a second <ip> of the same family with DHCP.
func (n *Network) oneDHCP(parent int) error {
	six := n.IPs[parent].Is6()
	for i := range n.IPs {
		if i != parent && n.IPs[i].Is6() == six && n.IPs[i].HasDHCP() {
			return misfit("dhcp is supported only for a single %s address on each network", familyName(six))
		}
	}
	return nil
}

// familyName is how messages call a family.
func familyName(six bool) string {
	if six {
		return "IPv6"
	}
	return "IPv4"
}

// setIP replaces one <ip>, leaving the list of a clone alone.
func (n *Network) setIP(i int, ip IP) { n.IPs = replace(n.IPs, i, ip) }

func (n *Network) updateDHCPHost(cmd UpdateCommand, index int, el *node) error {
	if err := n.wantElement(el, "host"); err != nil {
		return err
	}
	parent, err := n.dhcpParent(index)
	if err != nil {
		return err
	}
	ip := n.IPs[parent]
	if ip.Auto {
		return misfit("the address of <ip type='auto'> in network '%s' is not chosen yet", n.Name)
	}
	switch cmd {
	case UpdateModify:
		err = n.modifyDHCPHost(&ip, el)
	case UpdateAddFirst, UpdateAddLast:
		err = n.addDHCPHost(cmd, parent, &ip, el)
	case UpdateDelete:
		err = n.deleteDHCPHost(&ip, el)
	default: // refused after the entry that it is for
		if _, err = ip.parseHost(el, n.Name, false); err == nil {
			err = unknownCommand(cmd)
		}
	}
	if err == nil {
		n.setIP(parent, ip)
	}
	return err
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// overlaps reports whether two entries share a MAC address, an address or a
// name.
func (h *DHCPHost) overlaps(o *DHCPHost) bool {
	return sameMAC(h.MAC, o.MAC) || h.IP.IsValid() && h.IP == o.IP || h.Name != "" && h.Name == o.Name
}

func sameFamily(h *DHCPHost, ip *IP) error {
	if h.IP.Is4() != ip.Address.Is4() {
		return misfit("the address family of a host entry IP must match the address family of the dhcp element's parent")
	}
	return nil
}

func (n *Network) modifyDHCPHost(ip *IP, el *node) error {
	h, err := ip.parseHost(el, n.Name, false)
	if err != nil {
		return err
	}
	if err := sameFamily(h, ip); err != nil {
		return err
	}
	at := slices.IndexFunc(ip.Hosts, func(o DHCPHost) bool { return h.overlaps(&o) })
	if at < 0 {
		return misfit("couldn't locate an existing dhcp host entry with \"mac='%s'\" \"name='%s'\" \"ip='%s'\" in network '%s'",
			orWord(h.MAC, "unknown"), orWord(h.Name, "(null)"), formatAddr(h.IP), n.Name)
	}
	ip.Hosts = replace(ip.Hosts, at, *h)
	return nil
}

func (n *Network) addDHCPHost(cmd UpdateCommand, parent int, ip *IP, el *node) error {
	h, err := ip.parseHost(el, n.Name, false)
	if err != nil {
		return err
	}
	if err := sameFamily(h, ip); err != nil {
		return err
	}
	if err := n.oneDHCP(parent); err != nil {
		return err
	}
	if slices.ContainsFunc(ip.Hosts, func(o DHCPHost) bool { return h.overlaps(&o) }) {
		return misfit("there is an existing dhcp host entry in network '%s' that matches \"<host mac='%s' name='%s' ip='%s'/>\"",
			n.Name, orWord(h.MAC, "unknown"), orWord(h.Name, "(null)"), formatAddr(h.IP))
	}
	ip.Hosts = insert(cmd, ip.Hosts, *h)
	return nil
}

func (n *Network) deleteDHCPHost(ip *IP, el *node) error {
	h, err := ip.parseHost(el, n.Name, true)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(ip.Hosts, func(o DHCPHost) bool {
		return (h.MAC == "" || o.MAC == "" || sameMAC(h.MAC, o.MAC)) &&
			(h.Name == "" || h.Name == o.Name) && (!h.IP.IsValid() || h.IP == o.IP)
	})
	if at < 0 {
		return misfit("couldn't locate a matching dhcp host entry in network '%s'", n.Name)
	}
	ip.Hosts = remove(ip.Hosts, at)
	return nil
}

func (n *Network) updateDHCPRange(cmd UpdateCommand, index int, el *node) error {
	if err := n.wantElement(el, "range"); err != nil {
		return err
	}
	parent, err := n.dhcpParent(index)
	if err != nil {
		return err
	}
	ip := n.IPs[parent]
	if cmd == UpdateModify {
		return refuseUpdate(KindNotSupported, "dhcp ranges cannot be modified, only added or deleted")
	}
	if ip.Auto {
		return misfit("the address of <ip type='auto'> in network '%s' is not chosen yet", n.Name)
	}
	r, err := ip.parseRange(el, n.Name)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(ip.Ranges, func(o Range) bool { return o.Start == r.Start && o.End == r.End })
	switch cmd {
	case UpdateAddFirst, UpdateAddLast:
		if err := n.addDHCPRange(cmd, parent, &ip, r, at); err != nil {
			return err
		}
	case UpdateDelete:
		if at < 0 {
			return misfit("couldn't locate a matching dhcp range entry in network '%s'", n.Name)
		}
		ip.Ranges = remove(ip.Ranges, at)
	default:
		return unknownCommand(cmd)
	}
	n.setIP(parent, ip)
	return nil
}

func (n *Network) addDHCPRange(cmd UpdateCommand, parent int, ip *IP, r *Range, at int) error {
	if r.Start.Is4() != ip.Address.Is4() {
		return misfit("the address family of a dhcp range does not match the address family of the dhcp element's parent")
	}
	if err := n.oneDHCP(parent); err != nil {
		return err
	}
	if at >= 0 {
		return misfit("there is an existing dhcp range entry in network '%s' that matches \"<range start='%s' end='%s'/>\"",
			n.Name, formatAddr(r.Start), formatAddr(r.End))
	}
	ip.Ranges = insert(cmd, ip.Ranges, *r)
	return nil
}
