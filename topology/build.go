package topology

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/xml"
)

// Of makes the graph of some networks, or of all where none is named, without edges.
func Of(f *Facts, names ...string) *Graph { return nodes(f, names).g }

// Map makes the graph with its edges. What that takes grows with the square of the
// number of networks.
func Map(f *Facts, names ...string) *Graph {
	b := nodes(f, names)
	b.edges()
	b.flows()
	return b.g
}

func nodes(f *Facts, names []string) *builder {
	b := &builder{f: f, g: &Graph{
		Version: 1, Uplinks: []Uplink{}, Networks: []Network{}, Unchecked: []string{},
		Examined: f.Report != nil, Tracked: f.Connections != nil,
	}}
	for _, text := range f.Host.Unchecked {
		b.g.Unchecked = append(b.g.Unchecked, Printable(text))
	}
	for i := range f.Host.Networks {
		if n := &f.Host.Networks[i]; len(names) == 0 || slices.Contains(names, n.Name) {
			b.g.Networks = append(b.g.Networks, b.network(n))
		}
	}
	b.uplinks()
	return b
}

type builder struct {
	f     *Facts
	g     *Graph
	walks *Walks
}

// modeOf is the word for a network's mode, of which one has none in XML.
func modeOf(def *xml.Network) string {
	if def.Forward.Mode == xml.ForwardNone {
		return "isolated"
	}
	return def.Forward.Mode.String()
}

func (b *builder) network(n *doctor.Network) Network {
	made := Network{
		Name: nameOf(n.Name), Active: n.Active, Autostart: n.Autostart, Keeper: n.Started.String(), Health: b.health(n), Findings: b.findings(n.Name),
		Subnets: []netip.Prefix{}, Uplinks: []string{}, Exits: []Exit{}, Pools: []Pool{}, Guests: []Guest{}, Forwards: []Forward{}, Publics: []Forward{},
	}
	if c, ok := b.f.Last[n.Name]; ok {
		made.Last = &Change{c.Time, c.Event, Printable(c.Text)}
	}
	if until, ok := b.f.Pending[n.Name]; ok {
		made.Confirm = &until
	}
	if n.Def == nil {
		made.Mode = "unreadable"
		return made
	}
	made.UUID, made.Bridge, made.Mode = n.Def.UUID.String(), n.Def.Bridge.Name, modeOf(n.Def)
	made.Subnets = append(made.Subnets, n.Def.Prefixes(nil)...)
	if a := n.Def.Advertise; a != nil {
		made.Prefix = Printable(a.Prefix)
	}
	if p, h, ok := b.f.Host.Delegated(n.Def); ok && n.Active {
		made.Delegated = &Delegated{p.Prefix, n.Def.Advertise.Live.Via, Printable(cmp.Or(h.Holder, "virbrd")), p.Preferred, p.Valid, Printable(h.Problem)}
	}
	leases, _ := dnsmasq.Query(n.Leases, n.Def, "", b.f.Host.Checked)
	made.Pools = pools(n.Def, leases)
	if n.Active {
		made.Guests = guests(n.Def, leases, b.f.Ports[n.Name])
		b.place(n, &made)
	}
	made.Forwards, made.Publics = forwards(n)
	made.Exits = b.exitsOf(n, &made)
	return made
}

// place finds where packets of a running network come from and how they leave.
func (b *builder) place(n *doctor.Network, made *Network) {
	if made.Bridge == "" {
		for _, dev := range n.Def.Forward.Interfaces {
			if dev.Dev != "" {
				made.Uplinks = append(made.Uplinks, dev.Dev)
			}
		}
		return
	}
	def := n.Def
	if !def.OwnsBridge() { // the host routes to it only where it has an address there
		def = def.Clone()
		made.Subnets = append(made.Subnets, b.f.prefixes(n)...)
		if len(made.Subnets) == 0 {
			return
		}
	}
	p, err := Inside(def)
	if err != nil {
		b.g.Unchecked = append(b.g.Unchecked, Printable(err.Error()))
		return
	}
	if !p.known {
		p.subnets = made.Subnets
	}
	made.place = &p
	b.exits(n, made)
}

// exits finds the links by which guests leave, for each family: those that the kernel
// told, or else those of the default routes.
func (b *builder) exits(n *doctor.Network, made *Network) {
	mode := n.Def.Forward.Mode
	if mode == xml.ForwardNone {
		return
	}
	for i, six := range []bool{false, true} {
		link, asked := "", false
		for _, way := range n.Paths {
			if way.Guest.Is6() == six {
				link, asked = cmp.Or(link, way.Out.Link), true
			}
		}
		if link == "" && !asked {
			link = b.defaultLink(six)
		}
		if dev := n.Def.Forward.Dev(); dev != "" && mode.Routed() {
			link = dev
		}
		if link == "" || !made.place.speaks(six) {
			continue
		}
		made.exits[i] = link
		if !slices.Contains(made.Uplinks, link) {
			made.Uplinks = append(made.Uplinks, link)
		}
	}
}

func (b *builder) defaultLink(six bool) string {
	for _, r := range b.f.Host.Plan.Routes {
		if r.Dest.IsValid() && r.Dest.Bits() == 0 && r.Dest.Addr().Is6() == six {
			return r.Link
		}
	}
	return ""
}

// uplinks lists the links of default routes, and others that networks use.
func (b *builder) uplinks() {
	at := func(link string) *Uplink {
		i := slices.IndexFunc(b.g.Uplinks, func(u Uplink) bool { return u.Link == link })
		if i < 0 {
			b.g.Uplinks = append(b.g.Uplinks, Uplink{Link: link, Gateways: []netip.Addr{}})
			i = len(b.g.Uplinks) - 1
		}
		return &b.g.Uplinks[i]
	}
	for _, r := range b.f.Host.Plan.Routes {
		if r.Dest.IsValid() && r.Dest.Bits() == 0 && r.Link != "lo" && r.Link != "" {
			u := at(r.Link)
			if u.Default = true; r.Gateway.IsValid() && !slices.Contains(u.Gateways, r.Gateway) {
				u.Gateways = append(u.Gateways, r.Gateway)
			}
		}
	}
	for i := range b.g.Networks {
		for _, link := range b.g.Networks[i].Uplinks {
			at(link)
		}
	}
}

func (b *builder) health(n *doctor.Network) Health {
	if b.f.Report == nil {
		if n.Active {
			return Running
		}
		return Stopped
	}
	worst, found := doctor.Hint, false
	for _, f := range b.f.Report.Findings {
		if f.Network == n.Name && f.Severity != doctor.Hint {
			found = true
			if f.Severity == doctor.Problem || worst == doctor.Hint {
				worst = f.Severity
			}
		}
	}
	if !n.Active && !found {
		return Stopped
	}
	return healthOf(worst)
}

func (b *builder) findings(network string) []string {
	list := []string{}
	if b.f.Report == nil {
		return list
	}
	for _, f := range b.f.Report.Findings {
		if f.Network == network && f.Severity != doctor.Hint {
			list = append(list, Printable(f.ID+": "+f.Text))
		}
	}
	return list
}

func pools(def *xml.Network, leases []dnsmasq.Lease) []Pool {
	list := []Pool{}
	for _, six := range []bool{false, true} {
		p := Pool{Family: map[bool]string{false: "ipv4", true: "ipv6"}[six], Size: def.Leasable(six)}
		if p.Size == 0 {
			continue
		}
		for _, l := range leases {
			if a, err := netip.ParseAddr(l.Address); err == nil && a.Is6() == six && inRange(def, a) {
				p.Used++
			}
		}
		list = append(list, p)
	}
	return list
}

func inRange(def *xml.Network, a netip.Addr) bool {
	return slices.ContainsFunc(def.IPs, func(ip xml.IP) bool {
		return slices.ContainsFunc(ip.Ranges, func(r xml.Range) bool { return !a.Less(r.Start) && !r.End.Less(a) })
	})
}

// guests merges the cards of domains and the leases by MAC address. A domain's name
// counts more than the one that a guest gives itself.
func guests(def *xml.Network, leases []dnsmasq.Lease, ports []*xml.Port) []Guest {
	list := []Guest{}
	at := func(mac string) *Guest {
		i := slices.IndexFunc(list, func(g Guest) bool { return mac != "" && g.MAC == mac })
		if i < 0 {
			list = append(list, Guest{MAC: mac, Addresses: []netip.Addr{}})
			i = len(list) - 1
		}
		return &list[i]
	}
	for _, p := range ports {
		if g := at(p.MAC.String()); p.OwnerName != "" {
			g.Name, g.Domain = nameOf(p.OwnerName), true
		}
	}
	for i := range def.IPs {
		for _, h := range def.IPs[i].Hosts { // who has an address fixed, and runs
			for j := range list {
				if strings.EqualFold(list[j].MAC, h.MAC) && h.IP.IsValid() {
					list[j].Addresses = append(list[j].Addresses, h.IP)
				}
			}
		}
	}
	for _, l := range leases {
		g := at(strings.ToLower(Printable(l.MAC)))
		if g.Name == "" {
			g.Name = nameOf(l.Hostname)
		}
		if a, err := netip.ParseAddr(l.Address); err == nil && !slices.Contains(g.Addresses, a) {
			g.Addresses = append(g.Addresses, a)
		}
	}
	slices.SortStableFunc(list, func(a, b Guest) int {
		return cmp.Or(-cmp.Compare(btoi(a.Name != ""), btoi(b.Name != "")), cmp.Compare(a.Name, b.Name), slices.CompareFunc(a.Addresses, b.Addresses, netip.Addr.Compare))
	})
	return list
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// forwards returns the port forwards of a network and its public addresses: as a
// daemon or the hook says that they are, or else as they are asked for.
func forwards(n *doctor.Network) (ports, publics []Forward) {
	ports, publics = []Forward{}, []Forward{}
	told := resolutions(n)
	if told == nil {
		told = asked(n.Def)
	}
	for _, r := range told.Forwards {
		f, err := xml.ParsePortForward([]byte(r.XML))
		if err != nil {
			continue
		}
		ports = append(ports, forward(r, f.String(), f.Guest))
	}
	for _, r := range told.Publics {
		if p, err := xml.ParsePublicAddress([]byte(r.XML)); err == nil {
			publics = append(publics, forward(r, p.String(), p.Guest))
		}
	}
	return ports, publics
}

func forward(r doctor.Resolved, text, guest string) Forward {
	made := Forward{Text: Printable(text), Guest: Printable(guest), Active: r.Active, Addresses: r.Addresses, Reason: Printable(r.Reason)}
	if made.Addresses == nil {
		made.Addresses = []netip.Addr{}
	}
	return made
}

// asked is what a definition asks for, of which nobody says what it comes to.
func asked(def *xml.Network) *doctor.Resolutions {
	told := &doctor.Resolutions{}
	ext, err := def.Extensions()
	if err != nil {
		return told
	}
	for i := range ext.Forwards {
		told.Forwards = append(told.Forwards, doctor.Resolved{XML: ext.Forwards[i].XML()})
	}
	for i := range ext.Publics {
		told.Publics = append(told.Publics, doctor.Resolved{XML: ext.Publics[i].XML()})
	}
	return told
}
