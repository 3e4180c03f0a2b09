package xml

import (
	"net/netip"
	"slices"
)

// maxUplinks bounds the uplinks of one network.
const maxUplinks = 16

// Uplink is one <virbr:uplink>: a link of the host by which guests leave. Of
// several, the first that can carry a family has its traffic.
type Uplink struct {
	Dev     string
	Family  Family     // which traffic it may carry
	Gateway netip.Addr // invalid: that of the link's default route
	Guard   Tristate   // No: where none of a family's uplinks can carry, guests leave as the host does
}

// ParseUplink reads a document with one <virbr:uplink>, with or without its
// namespace. Every error is an [*Error] with its line.
func ParseUplink(doc []byte) (*Uplink, error) { return parseItem(doc, "uplink", parseUplink) }

func (e *Extensions) parseUplink(el *node) error {
	if len(e.Uplinks) == maxUplinks {
		return el.bad("more than %d elements 'uplink'", maxUplinks)
	}
	u, err := parseUplink(el)
	if err != nil {
		return err
	}
	for i := range e.Uplinks {
		if o := &e.Uplinks[i]; o.Dev == u.Dev && o.overlaps(u) {
			return el.bad("uplink %d (%s) never carries anything: uplink %d (%s) is before it", len(e.Uplinks)+1, u, i+1, o)
		}
	}
	e.Uplinks = append(e.Uplinks, *u)
	return nil
}

func parseUplink(el *node) (*Uplink, error) {
	if err := el.leaf("dev", "family", "gateway", "guard"); err != nil {
		return nil, err
	}
	u := &Uplink{}
	var given bool
	if u.Dev, given = el.attr("dev"); !given {
		return nil, el.missingAttr("dev")
	}
	if err := checkDevice(el, "uplink dev", u.Dev); err != nil {
		return nil, err
	}
	family, err := el.enum("family", "ipv4", "ipv6", "all")
	if err != nil {
		return nil, err
	}
	u.Family = families[family]
	if text, given := el.attr("gateway"); given {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" || addr.Is4In6() {
			return nil, el.bad("Invalid gateway '%s' in <uplink>: want an IPv4 or IPv6 address", text)
		}
		if addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return nil, el.bad("Invalid gateway '%s' in <uplink>: no router has that address", text)
		}
		if family == "all" || u.Family != FamilyAll && u.Family != familyOf(addr) {
			return nil, el.bad("gateway '%s' in <uplink> is %s only, not family='%s': give one uplink for each family", text, familyOf(addr), family)
		}
		u.Gateway = addr
	}
	u.Guard, err = el.tristate("guard")
	return u, err
}

// Families returns which traffic the uplink may carry: the family attribute, or
// the family of the gateway.
func (u *Uplink) Families() Family {
	if u.Family != FamilyAll {
		return u.Family
	}
	return familyOf(u.Gateway)
}

// Carries reports whether the uplink may carry a family; v4: IPv4, else IPv6.
func (u *Uplink) Carries(v4 bool) bool {
	switch u.Families() {
	case FamilyIPv4:
		return v4
	case FamilyIPv6:
		return !v4
	case FamilyAll:
	}
	return true
}

func (u *Uplink) overlaps(o *Uplink) bool {
	return u.Carries(true) && o.Carries(true) || u.Carries(false) && o.Carries(false)
}

// XML returns the element in its canonical form, as a document of its own that
// ends in a newline.
func (u *Uplink) XML() string { return text(u.element()) }

func (u *Uplink) element() *node {
	a := kept().put("dev", u.Dev)
	if u.Family != FamilyAll {
		a.put("family", u.Family.String())
	}
	if u.Gateway.IsValid() {
		a.put("gateway", u.Gateway.String())
	}
	return ours("uplink", a.state("guard", u.Guard))
}

// String names the uplink for people: "wg0 (ipv4 via 10.0.0.1)".
func (u *Uplink) String() string {
	text := ""
	if f := u.Families(); f != FamilyAll {
		text = f.String()
	}
	if u.Gateway.IsValid() {
		text += " via " + u.Gateway.String()
	}
	if text == "" {
		return u.Dev
	}
	return u.Dev + " (" + text + ")"
}

// IndexUplink returns where an equal uplink stands; -1 if nowhere. Who only
// differs in how the family is said is equal.
func (e *Extensions) IndexUplink(u *Uplink) int {
	return slices.IndexFunc(e.Uplinks, func(o Uplink) bool {
		return o.Dev == u.Dev && o.Families() == u.Families() && o.Gateway == u.Gateway
	})
}

// misled says why a network cannot have its uplinks; "": it can.
func (n *Network) misled(e *Extensions) string {
	mode := n.Forward.Mode
	switch {
	case mode == ForwardNone:
		return "uplink is not supported in an isolated network, whose guests do not leave the host"
	case !mode.Routed():
		return "uplink is not supported with forward mode='" + mode.String() + "', whose guests are not behind the host"
	}
	for i := range e.Uplinks {
		switch u := &e.Uplinks[i]; {
		case u.Dev == n.Bridge.Name:
			return "uplink dev='" + u.Dev + "' is the bridge of the network itself"
		case n.Forward.Dev() != "" && n.Forward.Dev() != u.Dev:
			return "uplink dev='" + u.Dev + "' contradicts forward dev='" + n.Forward.Dev() + "', which lets guests leave by that one only: remove the latter"
		}
	}
	return ""
}

// Guarded reports whether guests must not leave by anything but the uplinks of a
// family: there are some, or some of the other one, and none of them says otherwise.
func (e *Extensions) Guarded(v4 bool) bool {
	for i := range e.Uplinks {
		if u := &e.Uplinks[i]; u.Guard == No && u.Carries(v4) {
			return false
		}
	}
	return len(e.Uplinks) > 0
}
