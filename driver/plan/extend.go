package plan

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/xml"
)

// Resolution is what a network's extensions come to on this host at the moment. It is
// never changed. A nil Resolution is that of a network without extensions.
type Resolution struct {
	Ext     *xml.Extensions
	Where   firewall.Where
	Answers []Answer // in order
	Memory  Memory

	// Doubts are addresses of guests to ask for: only then it is known whether a
	// guest has moved, or somebody says so. The address of all nodes stands for
	// guests whose IPv6 addresses nobody knows.
	Doubts []netip.Addr

	Egress [2]*Egress // by which uplinks guests leave, IPv4 first; nil: as the host does

	Absent  []string                  // interfaces to listen on that are not there
	Usurped map[string]step.Neighbour // by guest: who is at its address
	Asking  map[string]Port           // by guest: somebody else who asks for its name by DHCP

	def   *xml.Network
	taken *taken // nil: found out each time
	leads *leads // the same
}

// taken is what a resolution claims, found out when it is wanted.
type taken struct {
	once   sync.Once // guards what follows
	claims []firewall.Claim
	err    error
}

// leads is where a resolution leads connections, found out when it is wanted.
type leads struct {
	once    sync.Once // guards what follows
	entries []firewall.Entry
	publics []firewall.Public
}

// Answer is an address behind a bridge that the host answers for on another
// link.
type Answer struct {
	Link    string
	Address netip.Addr
	Own     bool // the bridge's own: it needs no route
	Learned bool // a guest's, which comes and goes
}

// NewResolution finds out where the guests and links of a network's extensions are.
// The definition is the running one.
func NewResolution(def *xml.Network, ext *xml.Extensions, seen Observations, before Memory) *Resolution {
	l := newLocator(def, seen, before)
	r := &Resolution{Ext: ext, Where: l.where(ext), def: def, taken: new(taken), leads: new(leads)}
	r.Where.Ports = l.guard(def, ext)
	r.Where.Links = routed(def, ext, seen)
	r.Egress = egress(ext, seen, before.Egress)
	r.Where.Uplinks = outward(def, ext, seen, r.Egress)
	r.Where.Shut = shut(def, r.Egress, seen)
	r.Answers = append(l.publics(def, ext, r.Where), l.proxied(def, r.Egress)...)
	r.Memory = l.after
	r.Memory.Egress = r.Egress
	r.Memory.Withheld = before.Withheld
	for _, t := range before.Withheld {
		r.Where.Withheld = append(r.Where.Withheld, t.Claim)
	}
	r.Usurped, r.Asking = l.usurped, l.asking
	for i := range ext.Forwards {
		dev := ext.Forwards[i].Dev
		if _, there := seen.Devices[dev]; dev != "" && !there && !slices.Contains(r.Absent, dev) {
			r.Absent = append(r.Absent, dev)
		}
	}
	r.Doubts = slices.SortedFunc(maps.Keys(l.doubts), netip.Addr.Compare)
	slices.SortFunc(r.Answers, func(a, b Answer) int { return a.Address.Compare(b.Address) })
	r.Answers = slices.CompactFunc(r.Answers, func(a, b Answer) bool { return a.Address == b.Address })
	return r
}

// Bridge returns the network's.
func (r *Resolution) Bridge() string { return r.def.Bridge.Name }

// Open reports whether something about a resolution changes that nothing tells of: a
// guest that does not answer may begin to, a taken port may become free. Guests that
// are asked to say their IPv6 addresses are asked a few times only: those who take
// one later are heard when they do. Count is how often it was looked without a
// change.
func (r *Resolution) Open(count int) bool {
	const wakes = 4
	wake := len(r.Doubts) == 1 && r.Doubts[0] == netip.IPv6LinkLocalAllNodes()
	withheld := slices.ContainsFunc(r.Memory.Withheld, func(t Withheld) bool { return t.By != ownDnsmasq })
	return withheld || len(r.Doubts) > 0 && (!wake || count < wakes)
}

// longestRecheck is the longest pause before what is open is looked at again.
const longestRecheck = 15 * time.Second

// Recheck is how long to wait before looking again.
func Recheck(count int) time.Duration { return min(time.Second<<min(count, 10), longestRecheck) }

// Same reports whether two reaches lead to guests in the same way.
func (r *Resolution) Same(o *Resolution) bool {
	lists := func(a, b map[string][]netip.Addr) bool { return maps.EqualFunc(a, b, slices.Equal[[]netip.Addr]) }
	return r != nil && o != nil && lists(r.Where.Guests, o.Where.Guests) && lists(r.Where.Devices, o.Where.Devices) &&
		slices.Equal(r.Where.Links, o.Where.Links) && slices.Equal(r.Where.Uplinks, o.Where.Uplinks) &&
		slices.EqualFunc(r.Where.Shut, o.Where.Shut, firewall.Shut.Equal) && sameEgress(r.Egress, o.Egress) &&
		sameGuards(r.Where.Ports, o.Where.Ports) && slices.Equal(r.Answers, o.Answers) && slices.Equal(r.Where.Withheld, o.Where.Withheld)
}

// publics returns the public addresses that somebody on a link of the host asks
// for: those of a prefix that the link has, while their guest is known. One that
// is the host's own is answered for already, and one that is routed to the host
// nobody asks for.
func (l *locator) publics(def *xml.Network, ext *xml.Extensions, where firewall.Where) []Answer {
	var list []Answer
	for i := range ext.Publics {
		p := &ext.Publics[i]
		known := slices.ContainsFunc(where.Guests[p.Guest], func(a netip.Addr) bool { return a.Is4() == p.Public.Is4() })
		link := onLink(p.Public, def.Bridge.Name, l.seen.Routes)
		if known && link != "" && !l.own[p.Public] {
			list = append(list, Answer{Link: link, Address: p.Public})
		}
	}
	return list
}

// proxied returns the addresses of an advertised prefix that the provider takes
// to be on the uplink: the bridge's and those of the guests that are there. An
// address that somebody on the uplink has is not a guest's, whatever it says; nor
// is a gateway's.
func (l *locator) proxied(def *xml.Network, both [2]*Egress) []Answer {
	link := uplink(def, l.seen.Routes)
	if e := both[place(false)]; e != nil && def.Advertise != nil && def.Advertise.ProxyNDP == "auto" {
		link = e.Link
	}
	if link == "" {
		return nil
	}
	foreign := map[netip.Addr]bool{}
	for _, n := range l.seen.Uplinks[link] {
		foreign[n.Address] = true
	}
	for _, r := range l.seen.Routes {
		foreign[r.Gateway] = true
	}
	var list []Answer
	for _, ip := range def.Subnets()[len(def.IPs):] {
		prefix, ok := ip.Subnet()
		if !ok {
			continue
		}
		list = append(list, Answer{Link: link, Address: ip.Address, Own: true})
		add := func(a netip.Addr) {
			if prefix.Contains(a) && !foreign[a] && len(list) < maxGuests {
				list = append(list, Answer{Link: link, Address: a, Learned: true})
			}
		}
		for mac, addrs := range l.leases {
			if !l.unplugged(mac) {
				each(addrs, add)
			}
		}
		for _, addrs := range l.after.Learned {
			each(addrs, add)
		}
	}
	return list
}

func each(list []netip.Addr, do func(netip.Addr)) {
	for _, a := range list {
		do(a)
	}
}

// ext returns the extensions; never nil.
func (r *Resolution) ext() *xml.Extensions {
	if r == nil || r.Ext == nil {
		return &xml.Extensions{}
	}
	return r.Ext
}

// reaches reports whether guests are reached by forwards or public addresses, though
// the network may be isolated otherwise.
func (r *Resolution) reaches() bool { return len(r.ext().Forwards)+len(r.ext().Publics) > 0 }

func (r *Resolution) where() firewall.Where {
	if r == nil {
		return firewall.Where{}
	}
	return r.Where
}

// snoops reports whether it matters which IPv6 addresses guests take.
func (r *Resolution) snoops() bool {
	if r.def == nil {
		return false
	}
	proxied := r.def.Advertise != nil && r.def.Advertise.ProxyNDP != ""
	has6 := slices.ContainsFunc(r.def.Subnets(), func(ip xml.IP) bool { return ip.Address.Is6() })
	return proxied || has6 && len(followed6(r.Ext)) > 0
}

// answers leads packets for some addresses to the bridge, which is up, and has the
// host answer for these where others ask for them.
func (c *compiler) answers() error {
	if c.resolution == nil {
		return nil
	}
	if c.resolution.snoops() {
		c.add(step.Step{Do: step.SnoopGuests{Bridge: c.bridge}, Undo: step.UnsnoopGuests{Bridge: c.bridge}, Tolerate: true})
	}
	for _, a := range c.resolution.Answers {
		if !a.Own {
			c.add(step.Step{
				Do:       step.RouteGuest{Bridge: c.bridge, Address: a.Address},
				Undo:     step.UnrouteGuest{Bridge: c.bridge, Address: a.Address},
				Tolerate: a.Learned,
			})
		}
		c.add(step.Step{
			Do:       step.ProxyNeighbour{Link: a.Link, Address: a.Address},
			Undo:     step.UnproxyNeighbour{Link: a.Link, Address: a.Address},
			Tolerate: a.Learned || a.Own,
		})
	}
	return nil
}

// install puts rules in.
func (c *compiler) install(rules *firewall.Network) {
	c.rules = rules
	if c.resolution != nil && c.resolution.def == c.def && c.resolution.leads != nil {
		c.resolution.leads.once.Do(func() { c.resolution.leads.entries, c.resolution.leads.publics = rules.Entries, rules.Publics })
	}
	c.add(step.Step{Do: step.AddRules{Rules: rules}, Undo: step.DelRules{Bridge: c.bridge}})
}

// accept has the guests' traffic pass the filters of others, unless the
// extensions say that these shall have the last word. The definition is one with
// all that serves the guests.
func (c *compiler) accept(def *xml.Network) {
	if !c.coexists() {
		return
	}
	op := step.AcceptInForeignTables{
		Bridge: c.bridge, Forward: true, Dev: def.Forward.Dev(), All: c.resolution.ext().Firewall.Coexist == xml.CoexistAll, Serve: Serves(def),
	}
	op.Enter = c.inbound(def)
	op.Leave = op.Enter != coexist.EnterNone
	c.add(step.Step{Do: op, Undo: step.UnacceptInForeignTables{Bridge: c.bridge}, Tolerate: true})
}

// inbound returns what our own rules let in from other links, as far as the rules of
// others must.
func (c *compiler) inbound(def *xml.Network) coexist.Inbound {
	ext := c.resolution.ext()
	mode := def.Forward.Mode
	if ext.Firewall.Filter {
		mode = ext.Firewall.Mode
	}
	open := mode == xml.ForwardRoute || mode == xml.ForwardOpen
	subnets := def.Subnets()
	for i := range subnets {
		subnet, ok := subnets[i].Subnet()
		open = open || ok && mode == xml.ForwardNAT && subnet.Addr().Is6() && !def.Replies(subnet)
		for j := range ext.Forwards { // a guest's own address needs no translation
			open = open || ok && subnet.Contains(ext.Forwards[j].Address)
		}
	}
	for i := range ext.Publics { // what is not tracked has no state
		open = open || ext.Publics[i].Stateless
	}
	switch {
	case open:
		return coexist.EnterAny
	case c.resolution.reaches():
		return coexist.EnterForwarded
	case mode == xml.ForwardNAT:
		return coexist.EnterReplies
	}
	return coexist.EnterNone
}

// coexists reports whether the filters of others are to let the guests' traffic
// pass.
func (c *compiler) coexists() bool {
	fw := c.resolution.ext().Firewall
	return fw.Coexist != xml.CoexistNo && (c.def.Forward.Mode != xml.ForwardOpen || fw.Filter)
}

// Serves returns what a network's guests ask of the host, as [firewall.Services] does,
// if anybody serves it.
func Serves(def *xml.Network) []step.Served {
	if !dnsmasq.Wanted(def) {
		return nil
	}
	var list []step.Served
	for _, s := range firewall.Services(def) {
		list = append(list, step.Served(s))
	}
	return list
}

// CheckReach refuses extensions that contradict the network that they are of: a
// guest's address that is in none of its subnets, or is the bridge's; a public
// address that is in one. Where addresses are still to be chosen it cannot know.
// The definition is one with what its metadata adds. An error is an *[Error].
func CheckResolution(def *xml.Network, ext *xml.Extensions) error {
	l := newLocator(def, Observations{}, Memory{})
	open4, open6 := def.Open()
	for _, guest := range Guests(ext) {
		addr, err := netip.ParseAddr(guest)
		if err != nil || addr.Is4() && open4 || addr.Is6() && open6 {
			continue
		}
		if !l.inside(addr) {
			return refuse(KindUnsupported, "guest '%s' of network '%s' cannot be one of its guests: it has no subnet with a free address like that", guest, def.Name)
		}
	}
	for i := range ext.Publics {
		a := ext.Publics[i].Public
		if slices.ContainsFunc(l.subnets, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return refuse(KindUnsupported, "public address %s of network '%s' is in a subnet of the network itself", a, def.Name)
		}
	}
	claims, err := firewall.Claims(def, ext, firewall.Where{})
	if err != nil {
		return err
	}
	return CheckServed(def, claims)
}
