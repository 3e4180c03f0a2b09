package xml

import (
	"net/netip"
	"slices"
)

// indexes returns where in a list the items are that match.
func indexes[T any](list []T, match func(*T) bool) []int {
	var found []int
	for i := range list {
		if match(&list[i]) {
			found = append(found, i)
		}
	}
	return found
}

func (n *Network) updateDNSHost(cmd UpdateCommand, el *node) error {
	if err := n.wantElement(el, "host"); err != nil {
		return err
	}
	adding := cmd == UpdateAddFirst || cmd == UpdateAddLast
	h, err := parseDNSHost(el, n.Name, !adding)
	if err != nil {
		return err
	}
	names := h.Hostnames
	if cmd != UpdateDelete {
		names = nil // records are told apart by address
	}
	found := indexes(n.DNS.Hosts, func(o *DNSHost) bool { return o.matches(h.IP, names) })
	switch cmd {
	case UpdateAddFirst, UpdateAddLast:
		if len(found) > 0 {
			return misfit("there is already at least one DNS HOST record with a matching field in network %s", n.Name)
		}
		n.DNS.Hosts = insert(cmd, n.DNS.Hosts, *h)
		return nil
	case UpdateModify, UpdateDelete:
		switch {
		case len(found) == 0:
			return misfit("couldn't locate a matching DNS HOST record in network %s", n.Name)
		case len(found) > 1:
			return misfit("multiple matching DNS HOST records were found in network %s", n.Name)
		case cmd == UpdateModify:
			n.DNS.Hosts = replace(n.DNS.Hosts, found[0], *h)
		default:
			n.DNS.Hosts = remove(n.DNS.Hosts, found[0])
		}
		return nil
	case UpdateNone:
	}
	return unknownCommand(cmd)
}

func (n *Network) updateTXT(cmd UpdateCommand, el *node) error {
	if err := n.wantElement(el, "txt"); err != nil {
		return err
	}
	adding := cmd == UpdateAddFirst || cmd == UpdateAddLast
	t, err := parseTXT(el, n.Name, !adding)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(n.DNS.TXT, func(o TXT) bool { return o.Name == t.Name })
	switch cmd {
	case UpdateAddFirst, UpdateAddLast:
		if at >= 0 {
			return misfit("there is already a DNS TXT record with name '%s' in network %s", t.Name, n.Name)
		}
		n.DNS.TXT = insert(cmd, n.DNS.TXT, t.TXT)
		return nil
	case UpdateModify, UpdateDelete:
		switch {
		case at < 0:
			return misfit("couldn't locate a matching DNS TXT record in network %s", n.Name)
		case cmd == UpdateDelete:
			n.DNS.TXT = remove(n.DNS.TXT, at)
		case !t.hasValue:
			return misfit("missing value of modifying DNS TXT record in network %s", n.Name)
		default:
			n.DNS.TXT = replace(n.DNS.TXT, at, t.TXT)
		}
		return nil
	case UpdateNone:
	}
	return unknownCommand(cmd)
}

func (n *Network) updateSRV(cmd UpdateCommand, el *node) error {
	if cmd == UpdateModify {
		return refuseUpdate(KindNotSupported, "DNS SRV records cannot be modified, only added or deleted")
	}
	if err := n.wantElement(el, "srv"); err != nil {
		return err
	}
	adding := cmd == UpdateAddFirst || cmd == UpdateAddLast
	s, err := parseSRV(el, n.Name, !adding)
	if err != nil {
		return err
	}
	found := indexes(n.DNS.SRV, s.describes)
	switch cmd {
	case UpdateAddFirst, UpdateAddLast:
		if len(found) > 0 {
			return misfit("there is already at least one DNS SRV record matching all specified fields in network %s", n.Name)
		}
		n.DNS.SRV = insert(cmd, n.DNS.SRV, *s)
		return nil
	case UpdateDelete:
		switch len(found) {
		case 0:
			return misfit("couldn't locate a matching DNS SRV record in network %s", n.Name)
		case 1:
			n.DNS.SRV = remove(n.DNS.SRV, found[0])
			return nil
		}
		return misfit("multiple DNS SRV records matching all specified fields were found in network %s", n.Name)
	case UpdateNone, UpdateModify:
	}
	return unknownCommand(cmd)
}

// describes reports whether each name that s gives is that of o.
func (s *SRV) describes(o *SRV) bool {
	return (s.Domain == "" || s.Domain == o.Domain) && (s.Service == "" || s.Service == o.Service) &&
		(s.Protocol == "" || s.Protocol == o.Protocol) && (s.Target == "" || s.Target == o.Target)
}

// matches reports whether a record has the address or one of the names.
func (h *DNSHost) matches(ip netip.Addr, names []string) bool {
	if ip.IsValid() && h.IP == ip {
		return true
	}
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(h.Hostnames, name) })
}
