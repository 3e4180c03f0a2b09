package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/xml"
)

// Probe is a packet that is followed: the first one of a connection.
type Probe struct {
	From, To netip.Addr
	Proto    string // "tcp", "udp", "sctp" or "icmp"
	Port     uint16 // of the destination; 0 for icmp
}

// String names the packet: "tcp from 192.168.122.37 to 203.0.113.9 port 443".
func (p Probe) String() string {
	text := fmt.Sprintf("%s from %s to %s", p.Proto, p.From, p.To)
	if p.Port != 0 {
		text += fmt.Sprintf(" port %d", p.Port)
	}
	return text
}

// Ask has the kernel say which way a packet takes; see [doctor.Answer]. in "": the host
// itself sends it, from any of its addresses.
type Ask func(to, from netip.Addr, in string) doctor.Answer

// Outcome is how a packet ends.
type Outcome string

// The outcomes.
const (
	Arrives Outcome = "passes"
	Stops   Outcome = "stops"
	Unsure  Outcome = "unknown" // a rule decides that cannot be examined
)

// Hop is one step on a packet's way.
type Hop struct {
	Step string `json:"step"` // "guest", "bridge", "route", "firewall", "nat", ...
	Text string `json:"text"`
}

// Trace is the way of one packet, and where it ends.
type Trace struct {
	Version int     `json:"version"` // 1
	Packet  string  `json:"packet"`
	Hops    []Hop   `json:"hops"`
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why,omitempty"`  // of Stops and Unsure
	Mend    string  `json:"mend,omitempty"` // a command for root's shell

	Dest netip.AddrPort `json:"destination"` // where it arrives, or was to, after NAT
	Seen *netip.Addr    `json:"seen,omitempty"`
}

// tracer follows one packet.
type tracer struct {
	f    *Facts
	p    Probe
	ask  Ask
	t    *Trace
	all  *coexist.Survey
	nets []*member

	from, to   *member // nil: not in a network
	in, out    string
	dest       netip.Addr
	port       uint16
	translated bool
}

// member is a running network of the host with the rules that it has.
type member struct {
	n     *doctor.Network
	rules *firewall.Network // of virbr's; nil: it has none
}

// Trace follows a packet through the host: by the bridge, the routes and the rules of
// everybody. The facts must be those of a host that was looked at.
func (f *Facts) Trace(p Probe, ask Ask) *Trace {
	w := &tracer{f: f, p: p, ask: ask, dest: p.To, port: p.Port, t: &Trace{Version: 1, Packet: p.String(), Hops: []Hop{}}}
	w.members()
	for _, step := range []func() bool{w.source, w.guard, w.within, w.arrival, w.destination, w.local, w.route, w.forward, w.departure} {
		if !step() {
			break
		}
	}
	w.t.Outcome = cmp.Or(w.t.Outcome, Arrives)
	w.t.Dest = netip.AddrPortFrom(w.dest, w.port)
	return w.t
}

// members compiles the rules of networks that run.
func (w *tracer) members() {
	var rules []*firewall.Network
	for _, n := range w.f.running() {
		m := &member{n: n}
		w.nets = append(w.nets, m)
		ext, err := n.Def.Extensions()
		if err != nil {
			continue
		}
		compiled, err := firewall.Compile(n.Def, ext, w.f.resolved(n, ext))
		if err != nil || compiled == nil {
			continue
		}
		m.rules = compiled
		if n.Started == doctor.KeeperVirbrd { // else libvirt's rules are among those of others
			rules = append(rules, compiled)
		}
	}
	w.all = &coexist.Survey{Tables: []coexist.Table{Rules(rules...)}}
	if w.f.Host.Filters != nil {
		w.all.Tables = append(w.all.Tables, w.f.Host.Filters.Tables...)
	}
}

// resolved is where guests are that forwards name, as the daemon says.
func (f *Facts) resolved(n *doctor.Network, ext *xml.Extensions) firewall.Where {
	where := firewall.Where{Guests: map[string][]netip.Addr{}, Devices: map[string][]netip.Addr{}}
	told := resolutions(n)
	if told == nil {
		return where
	}
	for _, r := range told.Forwards {
		if p, err := xml.ParsePortForward([]byte(r.XML)); err == nil && r.Active {
			where.Guests[p.Guest] = r.Addresses
		}
	}
	for _, r := range told.Publics {
		if p, err := xml.ParsePublicAddress([]byte(r.XML)); err == nil && r.Active {
			where.Guests[p.Guest] = append(where.Guests[p.Guest], r.Addresses...)
		}
	}
	for i := range ext.Forwards {
		dev := ext.Forwards[i].Dev
		where.Devices[dev] = nil
		for _, p := range f.Host.Links[dev].Addresses {
			where.Devices[dev] = append(where.Devices[dev], p.Addr())
		}
	}
	for _, way := range n.Paths {
		if way.Out.Link != "" && !slices.Contains(where.Uplinks, way.Out.Link) {
			where.Uplinks = append(where.Uplinks, way.Out.Link)
		}
	}
	return where
}

func (w *tracer) say(step, format string, args ...any) {
	hop := Hop{step, Printable(fmt.Sprintf(format, args...))}
	if n := len(w.t.Hops); n > 0 && w.t.Hops[n-1] == hop {
		return // two chains of a network say the same of it
	}
	w.t.Hops = append(w.t.Hops, hop)
}

// stop ends the way, and says why and what helps.
func (w *tracer) stop(step, mend, format string, args ...any) bool {
	w.say(step, format, args...)
	w.t.Outcome, w.t.Why, w.t.Mend = Stops, w.t.Hops[len(w.t.Hops)-1].Text, mend
	return false
}

// member returns the network that an address is in.
func (w *tracer) member(a netip.Addr) *member {
	n := w.f.network(a)
	for _, m := range w.nets {
		if m.n == n {
			return m
		}
	}
	return nil
}

// own reports whether an address is the host's.
func (w *tracer) own(a netip.Addr) bool {
	for _, l := range w.f.Host.Links {
		if slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return true
		}
	}
	return a.IsLoopback()
}

// named is an address with the name of the guest that has it.
func (w *tracer) named(a netip.Addr, m *member) string {
	if m != nil {
		if name := guestName(m.n, a); name != "" {
			return name + " (" + a.String() + ")"
		}
	}
	return a.String()
}

// source says who sends the packet, and by which link it comes.
func (w *tracer) source() bool {
	w.from = w.member(w.p.From)
	switch {
	case w.own(w.p.From):
		w.from = nil
		w.say("host", "the host itself sends it, from %s", w.p.From)
	case w.from != nil:
		w.in = w.from.n.Def.Bridge.Name
		w.say("guest", "%s sends it on network %s", w.named(w.p.From, w.from), w.from.n.Name)
		if link, ok := w.f.Host.Links[w.in]; ok && !link.Up {
			return w.stop("bridge", "ip link set "+w.in+" up", "bridge %s is switched off", w.in)
		}
	default:
		a := w.ask(w.p.From, netip.Addr{}, "")
		if a.Link == "" {
			return w.stop("external", "", "the host knows no way to %s, so nothing comes from there: %s", w.p.From, a.Refused)
		}
		w.in = a.Link
		w.say("external", "%s is beyond %s", w.p.From, w.in)
	}
	return true
}

// within is the way between guests of one subnet: by the bridge alone.
func (w *tracer) within() bool {
	if w.from == nil || w.own(w.dest) {
		return true
	}
	both := func(p netip.Prefix) bool { return p.Contains(w.p.From) && p.Contains(w.dest) }
	if !slices.ContainsFunc(w.f.prefixes(w.from.n), both) {
		return true
	}
	if w.from.n.Def.Isolated == xml.Yes {
		return w.stop("bridge", doctor.Edit(w.from.n.Name), "the ports of bridge %s are kept apart: <port isolated='yes'/>", w.in)
	}
	p := w.packet(coexist.Forward)
	for _, hook := range []coexist.Hook{coexist.Prerouting, coexist.Forward, coexist.Postrouting} {
		p.Layer, p.Hook, p.In, p.Out = coexist.Bridge, hook, "", ""
		if !w.pass(p) {
			return false
		}
	}
	w.say("bridge", "bridge %s carries it to %s, past the host", w.in, w.named(w.dest, w.from))
	return false
}

// packet is what rules of a hook see of it.
func (w *tracer) packet(hook coexist.Hook) coexist.Packet {
	p := coexist.Packet{
		Hook: hook, IPv6: w.dest.Is6(), In: w.in, Out: w.out, Proto: w.p.Proto, Port: w.port,
		Source: w.p.From, Dest: w.dest, Translated: w.translated, Back: w.ask(w.p.From, netip.Addr{}, "").Link,
	}
	if p.Proto == "icmp" {
		p.Type = 8 // echo (RFC 792)
		if p.IPv6 {
			p.Proto, p.Type = "icmpv6", 128 // RFC 4443
		}
	}
	if w.own(w.dest) {
		p.Cast = coexist.CastLocal
	}
	return p
}

// arrival is what is asked before the route is.
func (w *tracer) arrival() bool {
	hook := coexist.Forward
	if w.in == "" {
		return w.pass(w.packet(coexist.Output))
	}
	for _, step := range w.packet(hook).Journey(w.in, nil) {
		if step.Hook == hook {
			break
		}
		if !w.pass(step) {
			return false
		}
	}
	return true
}

// destination translates it: to the guest that has a public address, or to whom a port
// is forwarded.
func (w *tracer) destination() bool {
	for _, m := range w.nets {
		if m.rules == nil {
			continue
		}
		for _, p := range m.rules.Publics {
			if p.Address == w.dest {
				w.dest, w.translated = p.Guest, true
				w.say("nat", "%s is the public address of %s on network %s", p.Address, w.named(p.Guest, m), m.n.Name)
				return true
			}
		}
	}
	var best *firewall.Entry
	var whose *member
	for _, m := range w.nets {
		if m.rules == nil {
			continue
		}
		for i := range m.rules.Entries {
			if e := &m.rules.Entries[i]; w.meets(e) && (best == nil || best.Listen.IsUnspecified() && !e.Listen.IsUnspecified()) {
				best, whose = e, m
			}
		}
	}
	if best == nil || !best.Guest.IsValid() || best.Listen.IsUnspecified() && w.listens() {
		return true
	}
	was := w.port
	w.dest, w.port, w.translated = best.Guest, best.To+(w.port-best.Start), true
	w.say("nat", "%s port %d of the host is forwarded to %s port %d on network %s", w.p.Proto, was, w.named(w.dest, whose), w.port, whose.n.Name)
	return true
}

// meets reports whether what is forwarded is this packet.
func (w *tracer) meets(e *firewall.Entry) bool {
	listens := e.Listen == w.dest || e.Listen.IsUnspecified() && e.Listen.Is4() == w.dest.Is4() && w.own(w.dest)
	from := !e.From.IsValid() || !w.p.From.Less(e.From) && !e.Until.Less(w.p.From)
	return listens && from && e.Proto == w.p.Proto && e.Start <= w.port && w.port <= e.End
}

// listens reports whether a program of the host has the port, which comes before what
// is forwarded at all addresses.
func (w *tracer) listens() bool {
	for _, l := range w.f.Host.Listeners {
		if l.Proto == w.p.Proto && l.Port == w.port && (l.Address == w.dest || l.Address.IsUnspecified()) {
			w.say("host", "%s listens at port %d of the host, and gets it before guests do", cmp.Or(l.Process.Name, "a program"), w.port)
			return true
		}
	}
	return false
}

// local is the end of what is for the host itself.
func (w *tracer) local() bool {
	if !w.own(w.dest) {
		return true
	}
	if w.in != "" && w.pass(w.packet(coexist.Input)) {
		w.say("host", "%s is an address of the host, and it arrives there", w.dest)
	}
	return false
}

// route asks the kernel which way the packet leaves.
func (w *tracer) route() bool {
	six, host := w.dest.Is6(), w.f.Host
	if w.in != "" {
		key := "net/ipv4/conf/" + w.in + "/forwarding"
		set := "net/ipv4/ip_forward"
		if six {
			key, set = "net/ipv6/conf/all/forwarding", "net/ipv6/conf/all/forwarding"
		}
		if host.Sysctls[key] == "0" && !(six && host.Sysctls["net/ipv6/conf/"+w.in+"/force_forwarding"] == "1") {
			return w.stop("route", "sysctl -w "+set+"=1", "the host does not forward: %s = 0", key)
		}
	}
	a := w.ask(w.dest, w.p.From, w.in)
	if w.in == "" {
		a = w.ask(w.dest, netip.Addr{}, "")
	}
	switch {
	case a.Source:
		return w.stop("route", "sysctl -w net/ipv4/conf/"+w.in+"/rp_filter=2", "%s takes only what it would answer the same way (rp_filter): %s", w.in, a.Refused)
	case a.Link == "":
		return w.stop("route", "virbr doctor", "the host has no route for it: %s: %s", a.Asked, a.Refused)
	}
	w.out = a.Link
	via := ""
	if a.Gateway.IsValid() {
		via = " by way of " + a.Gateway.String()
	}
	w.to = w.member(w.dest)
	if w.to != nil && w.to.n.Def.Bridge.Name != w.out {
		return w.stop("route", "virbr doctor", "%s is on network %s, but the host's route to it is by %s: %s", w.dest, w.to.n.Name, w.out, a.Asked)
	}
	if w.to != nil {
		w.say("route", "it leaves by %s to %s on network %s", w.out, w.named(w.dest, w.to), w.to.n.Name)
	} else {
		w.say("route", "it leaves by %s%s", w.out, via)
	}
	return true
}

// forward is what everybody's rules say of what the host passes on.
func (w *tracer) forward() bool {
	for _, m := range []*member{w.from, w.to} {
		if m != nil && len(m.n.Rules.Missing) > 0 {
			w.say("firewall", "rules of network %s are missing in the kernel, and are walked as if they were there: %s", m.n.Name, strings.Join(m.n.Rules.Missing, ", "))
		}
	}
	return w.in == "" || w.pass(w.packet(coexist.Forward))
}

// departure is what is asked behind that: filters, and the source's translation.
func (w *tracer) departure() bool {
	passed := false
	for _, step := range w.packet(coexist.Forward).Journey(w.out, nil) {
		if step.Hook == coexist.Forward {
			passed = true
			continue
		}
		if passed && !w.pass(step) {
			return false
		}
	}
	end := "it leaves the host by " + w.out
	if w.to != nil {
		end = w.named(w.dest, w.to) + " gets it"
	}
	if w.port != w.p.Port {
		end += " at port " + strconv.Itoa(int(w.port))
	}
	w.say("end", "%s", end)
	return false
}
