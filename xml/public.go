package xml

import (
	"net/netip"
	"slices"
)

// ParsePublicAddress reads a document with one <virbr:address>, with or without
// its namespace. Every error is an [*Error] with its line.
func ParsePublicAddress(doc []byte) (*PublicAddress, error) {
	return parseItem(doc, "address", parsePublicAddress)
}

func (e *Extensions) parsePublic(el *node) error {
	if len(e.Publics) == maxPublics {
		return el.bad("more than %d elements 'address'", maxPublics)
	}
	a, err := parsePublicAddress(el)
	if err != nil {
		return err
	}
	if i := e.IndexPublic(a.Public); i >= 0 {
		return el.bad("public address %s is given to '%s' and to '%s'", a.Public, e.Publics[i].Guest, a.Guest)
	}
	e.Publics = append(e.Publics, *a)
	return nil
}

func parsePublicAddress(el *node) (*PublicAddress, error) {
	if err := el.leaf("public", "guest", "mode"); err != nil {
		return nil, err
	}
	public, given := el.attr("public")
	if !given {
		return nil, el.missingAttr("public")
	}
	addr, err := netip.ParseAddr(public)
	if err != nil {
		return nil, el.bad("Invalid public address '%s': want an IPv4 or IPv6 address", public)
	}
	if problem := unreachable(addr); problem != "" {
		return nil, el.bad("Invalid public address '%s': %s", public, problem)
	}
	text, given := el.attr("guest")
	if !given {
		return nil, el.missingAttr("guest")
	}
	guest, err := parseGuest(el, text)
	if err != nil {
		return nil, err
	}
	if own, err := netip.ParseAddr(guest); err == nil {
		switch {
		case familyOf(own) != familyOf(addr):
			return nil, el.bad("guest '%s' of public address '%s' is not of its family", guest, public)
		case own == addr:
			return nil, el.bad("guest '%s' has the public address itself: there is nothing to translate", guest)
		}
	}
	mode, err := el.enum("mode", "stateless", "stateful")
	return &PublicAddress{Public: addr, Guest: guest, Stateless: mode == "stateless"}, err
}

// XML returns the element in its canonical form, as a document of its own that
// ends in a newline.
func (a *PublicAddress) XML() string { return text(a.element()) }

func (a *PublicAddress) element() *node {
	list := kept().put("public", a.Public.String()).put("guest", a.Guest)
	if a.Stateless {
		list.put("mode", "stateless")
	}
	return ours("address", list)
}

// String names the address for people: "203.0.113.7 of web1".
func (a *PublicAddress) String() string { return a.Public.String() + " of " + a.Guest }

// IndexPublic returns where a public address stands; -1 if nowhere.
func (e *Extensions) IndexPublic(public netip.Addr) int {
	return slices.IndexFunc(e.Publics, func(a PublicAddress) bool { return a.Public == public })
}
