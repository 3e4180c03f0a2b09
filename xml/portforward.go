package xml

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ParsePortForward reads a document with one <virbr:portForward>, with or
// without its namespace. Every error is an [*Error] with its line.
func ParsePortForward(doc []byte) (*PortForward, error) {
	return parseItem(doc, "portForward", parsePortForward)
}

// parseItem reads a document with one element of a list.
func parseItem[T any](doc []byte, name string, parse func(*node) (*T, error)) (*T, error) {
	el, err := parseAny(doc)
	if err != nil {
		return nil, err
	}
	if el.name != name || el.space != Namespace && el.space != "" {
		return nil, lined(el.fail(KindXML, OriginXML, "expecting root element of '%s' in namespace %s, not '%s'", name, Namespace, el.qname()))
	}
	item, err := parse(el)
	return item, lined(err)
}

// forwardKey is what a range takes for itself: a second forward with the same
// key would never match.
type forwardKey struct {
	proto       string
	family      Family
	address     netip.Addr
	dev         string
	from        string // "": everybody
	first, last uint16
}

// forward reads one more. Those that were read before are as they were, and are
// apart from each other.
func (r *extensionReader) forward(el *node) error {
	e, at := r.e, len(r.e.Forwards)
	if at == maxForwards {
		return el.bad("more than %d elements 'portForward'", maxForwards)
	}
	_, f := r.before.at(at, r.before.len())
	if f == nil {
		var err error
		if f, err = parsePortForward(el); err != nil {
			return err
		}
	} else if r.before.apart(f) {
		e.Forwards = append(e.Forwards, *f)
		return nil
	}
	if by, key, taken := f.claim(r.holders, at); taken {
		return el.bad("portForward %d (%s) never matches: portForward %d (%s) has %s of it",
			at+1, f, by+1, &e.Forwards[by], ports(key.first, key.last))
	}
	e.Forwards = append(e.Forwards, *f)
	return nil
}

// claim enters the ranges of a forward, the one at index at, and says who had
// one of them before, in all families that the forward is for.
func (f *PortForward) claim(holders map[forwardKey]int, at int) (by int, key forwardKey, taken bool) {
	both := []Family{f.Families()}
	if both[0] == FamilyAll {
		both = []Family{FamilyIPv4, FamilyIPv6}
	}
	for _, s := range f.Spans() {
		key = forwardKey{proto: f.Proto, address: f.Address, dev: f.Dev, first: s.First, last: s.Last}
		if f.Address.IsValid() && f.Address.IsUnspecified() {
			key.address = netip.Addr{} // the family says it
		}
		taken = true
		for _, key.family = range both {
			key.from = ""
			holder, held := holders[key]
			if key.from = f.Sources(); !held && key.from != "" {
				holder, held = holders[key]
			}
			if !held {
				holders[key] = at
			}
			by, taken = max(by, holder), taken && held && holder != at
		}
		if taken {
			return by, key, true
		}
	}
	return 0, key, false
}

func parsePortForward(el *node) (*PortForward, error) {
	if err := el.only("proto", "family", "address", "dev", "ignore", "guest", "from"); err != nil {
		return nil, err
	}
	f := &PortForward{}
	var err error
	if f.Proto, err = el.enum("proto", "tcp", "udp", "sctp"); err != nil {
		return nil, err
	}
	if f.Proto == "" {
		return nil, el.missingAttr("proto")
	}
	family, err := el.enum("family", "ipv4", "ipv6", "all")
	if err != nil {
		return nil, err
	}
	f.Family = families[family]
	if err := f.parseListen(el, family); err != nil {
		return nil, err
	}
	ignore, err := el.tristate("ignore")
	if err != nil {
		return nil, err
	}
	f.Ignore = ignore == Yes
	guest, given := el.attr("guest")
	switch {
	case given && f.Ignore:
		return nil, el.bad("attribute 'guest' not allowed in <portForward ignore='yes'>, which forwards nothing")
	case given:
		if f.Guest, err = parseGuest(el, guest); err != nil {
			return nil, err
		}
	case !f.Ignore:
		return nil, el.missingAttr("guest")
	}
	if from, given := el.attr("from"); given {
		if f.From, err = ParseSources(from); err != nil {
			return nil, el.bad("attribute 'from' of <portForward>: %v", err)
		}
	}
	if err := f.parseRanges(el); err != nil {
		return nil, err
	}
	if problem := f.problem(); problem != "" {
		return nil, el.bad("Invalid portForward %s: %s", f, problem)
	}
	return f, nil
}

var families = map[string]Family{"": FamilyAll, "all": FamilyAll, "ipv4": FamilyIPv4, "ipv6": FamilyIPv6}

// String returns the value of the family attribute.
func (f Family) String() string {
	switch f {
	case FamilyIPv4:
		return "ipv4"
	case FamilyIPv6:
		return "ipv6"
	case FamilyAll:
	}
	return "all"
}

// familyOf returns the family of an address; FamilyAll for an invalid one.
func familyOf(a netip.Addr) Family {
	switch {
	case a.Is4():
		return FamilyIPv4
	case a.Is6():
		return FamilyIPv6
	}
	return FamilyAll
}

func (f *PortForward) parseListen(el *node, family string) error {
	if text, given := el.attr("address"); given {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" || addr.Is4In6() {
			return el.bad("Invalid address '%s' in <portForward>: want an IPv4 or IPv6 address", text)
		}
		if family == "all" {
			return el.bad("address '%s' in <portForward> is %s only, not family='all': give no address for both, or one portForward each", text, familyOf(addr))
		}
		f.Address = addr
	}
	dev, given := el.attr("dev")
	if !given {
		return nil
	}
	f.Dev = dev
	return checkDevice(el, "portForward dev", dev)
}

// problem says what contradicts itself; "" if nothing does.
func (f *PortForward) problem() string {
	a := f.Address
	switch {
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "nobody is forwarded what is sent to many"
	case a.IsValid() && f.Family != FamilyAll && f.Family != familyOf(a):
		return fmt.Sprintf("address '%s' is not of family='%s'", a, f.Family)
	case a.IsValid() && !a.IsUnspecified() && f.Dev != "":
		return "address and dev both say where to listen: give one of them, or 0.0.0.0 or :: as address for one family of the device"
	}
	if fam := f.Families(); len(f.From) > 0 && fam != FamilyAll && !slices.ContainsFunc(f.From, func(p netip.Prefix) bool { return familyOf(p.Addr()) == fam }) {
		return fmt.Sprintf("none of the sources '%s' is of %s, which is all that it forwards", f.Sources(), fam)
	}
	guest, err := netip.ParseAddr(f.Guest)
	if err != nil {
		return ""
	}
	switch want := familyOf(guest); {
	case f.Family != FamilyAll && f.Family != want:
		return fmt.Sprintf("guest address '%s' is not of family='%s'", guest, f.Family)
	case a.IsValid() && familyOf(a) != want:
		return fmt.Sprintf("guest address '%s' is not of the family of address '%s'", guest, a)
	}
	return ""
}

// Families returns which families are forwarded or left alone: the family
// attribute, or that of the listen address or of the guest's address.
func (f *PortForward) Families() Family {
	if f.Family != FamilyAll {
		return f.Family
	}
	if f.Address.IsValid() {
		return familyOf(f.Address)
	}
	guest, _ := netip.ParseAddr(f.Guest)
	return familyOf(guest)
}

// XML returns the element in its canonical form, as a document of its own that
// ends in a newline.
func (f *PortForward) XML() string { return text(f.element()) }

func (f *PortForward) element() *node {
	a := kept().put("proto", f.Proto)
	if f.Family != FamilyAll {
		a.put("family", f.Family.String())
	}
	if f.Address.IsValid() {
		a.put("address", f.Address.String())
	}
	a.text("dev", f.Dev).yes("ignore", f.Ignore).text("guest", f.Guest).text("from", f.Sources())
	ranges := make([]*node, 0, len(f.Ranges))
	for _, r := range f.Ranges {
		list := kept().number("start", uint64(r.Start)).number("end", uint64(r.End)).number("to", uint64(r.To))
		ranges = append(ranges, ours("range", list.yes("exclude", r.Exclude)))
	}
	return ours("portForward", a, ranges...)
}

// Equal reports whether both forward the same in the same way, however their
// ranges are written.
func (f *PortForward) Equal(o *PortForward) bool {
	return f.Proto == o.Proto && f.Families() == o.Families() && f.Address == o.Address && f.Dev == o.Dev &&
		f.Ignore == o.Ignore && f.Guest == o.Guest && slices.Equal(f.From, o.From) && slices.Equal(f.Spans(), o.Spans())
}

// String names the forward for people: "tcp 203.0.113.7:8080 to web1:80".
func (f *PortForward) String() string {
	var list, to []string
	for _, s := range f.Spans() {
		list = append(list, ports(s.First, s.Last))
		to = append(to, ports(s.To, s.To+(s.Last-s.First)))
	}
	text := f.Proto + " " + f.Listen() + ":" + brief(list)
	switch {
	case f.Ignore:
		text += " ignored"
	case slices.Equal(list, to):
		text += " to " + f.Guest
	default:
		text += " to " + hostPort(f.Guest, brief(to))
	}
	if len(f.From) > 0 {
		text += " from " + brief(strings.Split(f.Sources(), ","))
	}
	return text
}

// Listen names what is listened at for people: an address, a device, or "*",
// "ipv4" or "ipv6" for all of the host's addresses.
func (f *PortForward) Listen() string {
	if f.Address.IsValid() && !f.Address.IsUnspecified() {
		return bracket(f.Address.String())
	}
	family := ""
	if fam := f.Families(); fam != FamilyAll {
		family = fam.String()
	}
	switch {
	case f.Dev != "" && family != "":
		return f.Dev + "/" + family
	case f.Dev != "":
		return f.Dev
	case family != "":
		return family
	}
	return "*"
}

// maxBrief bounds how many ranges a message repeats.
const maxBrief = 4

func brief(list []string) string {
	if len(list) > maxBrief {
		list = append(slices.Clone(list[:maxBrief]), "...")
	}
	return strings.Join(list, ",")
}

func ports(first, last uint16) string {
	switch {
	case first <= 1 && last == maxPort:
		return "all"
	case first == last:
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, last)
}

func hostPort(host, port string) string { return bracket(host) + ":" + port }

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
