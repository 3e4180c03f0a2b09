package dnsmasq

import (
	"slices"
	"strings"

	"github.com/virbr/virbr/xml"
)

// Guest is one guest of a guest file and the MAC addresses of its interfaces on
// a network.
type Guest struct {
	Domain string
	MACs   []string // lower case, in the order in which they came
}

// Guests is a guest file (<bridge>.macs), sorted by the guests' names. libvirt's
// NSS module for guests finds a guest's leases by it.
type Guests []Guest

// ParseGuests reads a guest file, whose name is for messages only. An empty
// file has no guests. All errors are of type *[FileError].
func ParseGuests(file string, data []byte) (Guests, error) {
	var raw []struct {
		Domain text    `json:"domain"`
		MACs   *[]text `json:"macs"`
	}
	if err := decode(file, data, "Malformed file structure: "+file, &raw); err != nil {
		return nil, err
	}
	guests := make(Guests, 0, len(raw))
	for _, r := range raw {
		switch {
		case r.Domain == "":
			return nil, broken("Missing domain")
		case r.MACs == nil:
			return nil, broken("Missing macs")
		}
		i, found := guests.find(string(r.Domain))
		if found {
			return nil, broken("duplicate domain '%s'", r.Domain)
		}
		if len(*r.MACs) > 0 {
			guests = slices.Insert(guests, i, Guest{Domain: string(r.Domain), MACs: words(*r.MACs)})
		}
	}
	return guests, nil
}

func words(list []text) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = string(t)
	}
	return out
}

// FormatGuests writes a guest file, in the layout of [FormatLeases].
func FormatGuests(guests Guests) []byte {
	var w writer
	w.open("[")
	for _, g := range guests {
		w.item()
		w.open("{")
		w.key("domain")
		w.string(g.Domain)
		w.key("macs")
		w.open("[")
		for _, mac := range g.MACs {
			w.item()
			w.string(mac)
		}
		w.close("]")
		w.close("}")
	}
	w.close("]")
	return append(w.buf, '\n')
}

// find returns where a guest is or belongs.
func (g Guests) find(domain string) (int, bool) {
	return slices.BinarySearchFunc(g, domain, func(have Guest, want string) int { return strings.Compare(have.Domain, want) })
}

// Add returns the guests with an interface added; one that is there already is
// not added again. The given guests are not changed.
func (g Guests) Add(domain string, mac xml.MAC) Guests {
	out := slices.Clone(g)
	i, found := out.find(domain)
	if !found {
		return slices.Insert(out, i, Guest{Domain: domain, MACs: []string{mac.String()}})
	}
	if !slices.Contains(out[i].MACs, mac.String()) {
		out[i].MACs = append(slices.Clip(out[i].MACs), mac.String())
	}
	return out
}

// Only returns the guests' interfaces that are wanted. The given guests are not
// changed.
func (g Guests) Only(wanted func(domain, mac string) bool) Guests {
	var out Guests
	for _, guest := range g {
		macs := slices.DeleteFunc(slices.Clone(guest.MACs), func(mac string) bool { return !wanted(guest.Domain, mac) })
		if len(macs) > 0 {
			out = append(out, Guest{Domain: guest.Domain, MACs: macs})
		}
	}
	return out
}

// Remove returns the guests without an interface; a guest without interfaces
// is dropped. The given guests are not changed.
func (g Guests) Remove(domain string, mac xml.MAC) Guests {
	out := slices.Clone(g)
	i, found := out.find(domain)
	if !found {
		return out
	}
	out[i].MACs = slices.DeleteFunc(slices.Clone(out[i].MACs), func(have string) bool { return have == mac.String() })
	if len(out[i].MACs) == 0 {
		return slices.Delete(out, i, i+1)
	}
	return out
}
