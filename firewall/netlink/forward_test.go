package netlink_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	vnetlink "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// site is a router with networks of different modes, guests and a host outside.
type site struct {
	defs  map[string]*xml.Network
	hosts map[string]*host
}

// The guests of the site, and their networks.
var siteGuests = []struct{ name, network string }{
	{"web", "nat"}, {"peer", "nat"}, {"other", "nat2"}, {"far", "route"}, {"lone", "none"}, {"bound", "dev"},
}

// newSite makes the site, without rules. Bridge br-NAME has 10.0.N.1 and
// fd00:0:0:N::1; the router is 10.0.100.1 and fd00:0:0:64::1 to "outside", and
// has 192.0.2.1 on that link.
func newSite(t *testing.T) *site {
	t.Helper()
	router(t)
	s := &site{defs: map[string]*xml.Network{
		"nat":   {Forward: xml.Forward{Mode: xml.ForwardNAT}},
		"nat2":  {Forward: xml.Forward{Mode: xml.ForwardNAT}},
		"route": {Forward: xml.Forward{Mode: xml.ForwardRoute}},
		"none":  {},
		"dev":   {Forward: xml.Forward{Mode: xml.ForwardNAT, Interfaces: []xml.ForwardInterface{{Dev: "up1"}}}},
	}, hosts: map[string]*host{}}
	for n, g := range siteGuests {
		def, bridge := s.defs[g.network], "br-"+g.network
		if def.Bridge.Name != "" {
			s.hosts[g.name] = second(t, g.name, def)
			continue
		}
		h := newHost(t, n, g.name, func() *netnstest.Guest {
			addBridge(t, bridge)
			return netnstest.NewGuest(t, g.name, bridge)
		})
		def.Name, def.Bridge.Name = g.network, bridge
		def.IPs = []xml.IP{{Address: h.gateway4, Prefix: 24}, {Address: h.gateway6, Prefix: 64}}
		addAddress(t, bridge, netip.PrefixFrom(h.gateway4, 24), netip.PrefixFrom(h.gateway6, 64))
		s.hosts[g.name] = h
	}
	for i, name := range []string{"outside", "outside2"} {
		link := fmt.Sprintf("up%d", i)
		s.hosts[name] = newHost(t, 100+i, name, func() *netnstest.Guest {
			g := netnstest.NewOutside(t, name, link, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(100 + i), 1}), 24), netip.MustParsePrefix("192.0.2.99/32"))
			addAddress(t, link, netip.MustParsePrefix(fmt.Sprintf("fd00:0:0:%x::1/64", 100+i)))
			return g
		})
	}
	addAddress(t, "up0", netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::1/128"))
	for _, gateway := range []netip.Addr{s.hosts["outside"].ip4, s.hosts["outside"].ip6} {
		if err := vnetlink.RouteAdd(&vnetlink.Route{Gw: gateway.AsSlice()}); err != nil {
			t.Fatalf("adding a default route via %s: %v", gateway, err)
		}
	}
	return s
}

// second adds another guest to a network, in its first subnets.
func second(t *testing.T, name string, def *xml.Network) *host {
	t.Helper()
	h := &host{
		name: name, port: 7, guest: netnstest.NewGuest(t, name, def.Bridge.Name),
		gateway4: def.IPs[0].Address, gateway6: def.IPs[1].Address,
	}
	h.ip4, h.ip6 = h.gateway4.Next().Next(), h.gateway6.Next().Next()
	h.guest.Address(t, netip.PrefixFrom(h.ip4, 24))
	h.guest.Address(t, netip.PrefixFrom(h.ip6, 64))
	h.guest.Route(t, netip.MustParsePrefix("0.0.0.0/0"), h.gateway4)
	h.guest.Route(t, netip.MustParsePrefix("::/0"), h.gateway6)
	return h
}

// compile returns the rules of a network of the site with extensions. Its guests
// are known by their names.
func (s *site) compile(t *testing.T, name string, ext *xml.Extensions) *firewall.Network {
	t.Helper()
	where := firewall.Where{Guests: map[string][]netip.Addr{}, Devices: map[string][]netip.Addr{
		"up0": {addr("10.0.100.1"), addr("192.0.2.1"), addr("fd00:0:0:64::1"), addr("2001:db8::1")},
	}, Uplinks: []string{"up0"}}
	for _, h := range s.hosts {
		where.Guests[h.name] = []netip.Addr{h.ip4, h.ip6}
	}
	n, err := firewall.Compile(s.defs[name], ext, where)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// install gives every network its rules; those without extensions theirs, too.
func (s *site) install(t *testing.T, exts map[string]*xml.Extensions) {
	t.Helper()
	for name := range s.defs {
		install(t, s.compile(t, name, exts[name]))
	}
}

// callBridge sets whether bridged packets go through the firewall of routed ones
// (br_netfilter), where the kernel has that.
func callBridge(t *testing.T, value string) {
	t.Helper()
	for _, f := range []string{"iptables", "ip6tables"} {
		err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+f, []byte(value), 0o644)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// TestForwards has everybody ask for what is forwarded, with and without
// br_netfilter. With it a bridge carries out the translation of what stays on it
// by itself, so a guest's own packets do not come back to it.
func TestForwards(t *testing.T) {
	t.Parallel()
	for _, bridged := range []bool{false, true} {
		t.Run(fmt.Sprintf("br_netfilter=%t", bridged), func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) { forwards(t, bridged) })
		})
	}
}

func forwards(t *testing.T, bridged bool) {
	t.Helper()
	s := newSite(t)
	callBridge(t, map[bool]string{false: "0", true: "1"}[bridged])
	for _, name := range []string{"web", "peer", "lone", "bound", "far"} {
		s.hosts[name].echo(t)
	}
	ip := func(name string) string { return s.hosts[name].ip4.String() }
	ip6 := func(name string) string { return s.hosts[name].ip6.String() }
	s.install(t, map[string]*xml.Extensions{
		"nat": {Forwards: []xml.PortForward{
			at("192.0.2.1", ignored(forward("tcp", "", 8081, 0, 0))),
			forward("tcp", "web", 8080, 8082, 7),
			forward("tcp", "peer", 8000, 8100, 7),
			forward("udp", "web", 8080, 0, 7),
		}},
		"none": {Forwards: []xml.PortForward{
			forward("tcp", "lone", 8180, 0, 7), forward("udp", "lone", 8180, 0, 7),
			at(ip("lone"), forward("tcp", "lone", 7, 0, 0)), at(ip("lone"), forward("udp", "lone", 7, 0, 0)),
			at(ip6("lone"), forward("tcp", "lone", 8480, 0, 7)), at(ip6("lone"), forward("udp", "lone", 8480, 0, 7)),
		}},
		"dev":   {Forwards: []xml.PortForward{forward("tcp", "bound", 8280, 0, 7), forward("udp", "bound", 8280, 0, 7)}},
		"route": {Forwards: []xml.PortForward{forward("tcp", "far", 8380, 0, 7), forward("udp", "far", 8380, 0, 7)}},
	})
	for _, c := range []struct {
		name, from, to string
		seen           string // "": rejected
	}{
		{"outside", "outside", "10.0.100.1:8080", ip("outside")},
		{"outside", "outside", "192.0.2.1:8080", ip("outside")},
		{"outside, IPv6", "outside", "[fd00:0:0:64::1]:8080", ip6("outside")},
		{"outside, isolated", "outside", "10.0.100.1:8180", "10.0.4.1"},
		{"outside, isolated, IPv6", "outside", "[fd00:0:0:64::1]:8180", "fd00:0:0:4::1"},
		{"outside, the guest's own address", "outside", ip("lone") + ":7", "10.0.4.1"},
		{"outside, the guest's own address, another port", "outside", ip("lone") + ":8480", ""},
		{"outside, the guest's own address, IPv6", "outside", "[" + ip6("lone") + "]:8480", "fd00:0:0:4::1"},
		{"another network, the guest's own address", "far", ip("lone") + ":7", "10.0.4.1"},
		{"outside, routed", "outside", "10.0.100.1:8380", ip("outside")},
		{"outside, another device", "outside", "10.0.100.1:8280", ""},
		{"outside, the device", "outside2", "10.0.101.1:8280", ip("outside2")},
		{"same network", "peer", "10.0.100.1:8080", "10.0.0.1"},
		{"same network, itself", "web", "10.0.0.1:8080", "10.0.0.1"},
		{"same network, IPv6", "peer", "[fd00:0:0:64::1]:8080", "fd00::1"},
		{"another network", "other", "10.0.100.1:8080", "10.0.0.1"},
		{"another network, IPv6", "other", "[fd00:0:0:64::1]:8080", ip6("other")},
		{"routed network", "far", "10.0.100.1:8080", ip("far")},
		{"isolated network", "lone", "10.0.4.1:8080", ""},
		{"limited network", "bound", "10.0.100.1:8080", ""},
		{"to isolated from another network", "far", "10.0.100.1:8180", "10.0.4.1"},
		{"the host", "", "127.0.0.1:8080", "10.0.0.1"},
		{"the host's address", "", "10.0.100.1:8080", "10.0.100.1"},
		{"the host, isolated", "", "127.0.0.1:8180", "10.0.4.1"},
		{"the host, limited", "", "127.0.0.1:8280", "10.0.5.1"},
		{"the host, IPv6", "", "[fd00:0:0:64::1]:8080", "fd00:0:0:64::1"},
		{"the host, IPv6 loopback", "", "[::1]:8080", "fd00::1"},
		{"the host, IPv6 loopback, isolated", "", "[::1]:8180", "fd00:0:0:4::1"},
	} {
		from := s.hosts[c.from]
		if from == nil {
			from = &host{}
		}
		if bridged && c.from == "web" {
			continue
		}
		for _, network := range []string{"tcp", "udp"} {
			seen, err := from.ask(network, netip.AddrPort{}, netip.MustParseAddrPort(c.to), 5*time.Second)
			if c.seen == "" && !errors.Is(err, errRejected) || c.seen != "" && (err != nil || seen.Addr() != addr(c.seen)) {
				t.Errorf("%s, %s: %s sees %v, %v; want %q", c.name, network, c.to, seen.Addr(), err, c.seen)
			}
		}
	}
	if t.Failed() {
		t.Log(nft(t, "", "list", "ruleset"))
	}
}

// do runs fn where the host is.
func (h *host) do(fn func() error) error {
	if h.guest == nil {
		return fn()
	}
	return h.guest.Do(fn)
}

// serve has a host say its name, and the port, to everybody who connects.
func (h *host) serve(t *testing.T, ports ...uint16) {
	t.Helper()
	for _, port := range ports {
		var l net.Listener
		err := h.do(func() (err error) { l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); return err })
		if err != nil {
			t.Fatalf("serving on %s: %v", h.name, err)
		}
		var done sync.WaitGroup
		done.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = fmt.Fprintf(c, "%s:%d", h.name, port)
				_ = c.Close()
			}
		})
		t.Cleanup(func() { _ = l.Close(); done.Wait() })
	}
}

// who returns what is said at an address, or "nobody".
func (h *host) who(to string) string {
	var c net.Conn
	err := h.do(func() (err error) { c, err = net.DialTimeout("tcp", to, patience); return err })
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "nobody"
	}
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(c)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestForwardOrder: of several forwards the first decides, ports move by their
// offset, and what is excepted is the host's own.
func TestForwardOrder(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		s := newSite(t)
		s.hosts["web"].serve(t, 80, 85, 4096, 5000, 9000, 53)
		s.hosts["peer"].serve(t, 8083, 8084, 8086, 53)
		(&host{name: "host"}).serve(t, 8086, 8082)
		cut := forward("tcp", "web", 8000, 8020, 80)
		cut.Ranges = append(cut.Ranges, xml.ForwardRange{Start: 8001, Exclude: true})
		dev := forward("tcp", "web", 9000, 0, 0)
		dev.Dev = "up0"
		s.install(t, map[string]*xml.Extensions{"nat": {Forwards: []xml.PortForward{
			at("192.0.2.1", ignored(forward("tcp", "", 8080, 0, 0))),
			ignored(forward("tcp", "", 8082, 0, 0)),
			forward("tcp", "web", 8080, 8082, 80),
			forward("tcp", "peer", 8080, 8090, 8080),
			forward("tcp", "web", 4000, 5000, 0),
			at("192.0.2.1", forward("tcp", "web", 53, 0, 0)),
			forward("tcp", "peer", 53, 0, 0),
			cut, dev,
		}}})
		for _, c := range []struct{ to, want string }{
			{"10.0.100.1:8080", "web:80"},
			{"192.0.2.1:8080", "nobody"},
			{"10.0.100.1:8082", "host:8082"},
			{"10.0.100.1:8083", "peer:8083"},
			{"10.0.100.1:8084", "peer:8084"},
			{"10.0.100.1:8086", "host:8086"}, // what the host listens on, a forward of any address leaves alone
			{"10.0.100.1:4096", "web:4096"},
			{"10.0.100.1:5000", "web:5000"},
			{"10.0.100.1:5001", "nobody"},
			{"[fd00:0:0:64::1]:4096", "web:4096"},
			{"10.0.100.1:8000", "web:80"},
			{"10.0.100.1:8005", "web:85"},
			{"10.0.100.1:8001", "nobody"},
			{"10.0.100.1:9000", "web:9000"},
			{"192.0.2.1:9000", "web:9000"},
			{"[2001:db8::1]:9000", "web:9000"},
			{"10.0.0.1:9000", "nobody"},
			{"10.0.100.1:53", "peer:53"},
			{"192.0.2.1:53", "web:53"},
		} {
			if got := s.hosts["outside"].who(c.to); got != c.want {
				t.Errorf("%s answers at %s, want %s", got, c.to, c.want)
			}
		}
		if t.Failed() {
			t.Log(nft(t, "", "list", "ruleset"))
		}
	})
}

// forge sends a UDP packet with addresses of the caller's choice to a link-layer
// address, as a hostile guest can: once, and again while more says so.
func (h *host) forge(to net.HardwareAddr, source, dest netip.AddrPort, more func() bool) error {
	ip := []byte{0x45, 0, 0, 29, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0} // RFC 791
	ip = append(append(ip, source.Addr().AsSlice()...), dest.Addr().AsSlice()...)
	sum := uint32(0)
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	udp := binary.BigEndian.AppendUint16(nil, source.Port())
	udp = binary.BigEndian.AppendUint16(udp, dest.Port())
	udp = append(udp, 0, 9, 0, 0, '!') // no checksum
	frame := append(append(append([]byte{}, to...), h.guest.MAC...), 0x08, 0x00)
	frame = append(append(frame, ip...), udp...)
	return h.do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		for {
			if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil || !more() {
				return err
			}
		}
	})
}

// TestLoopbackIsOurs: that the host's own connections to 127.0.0.1 are forwarded lets
// nobody on a bridge, or outside, reach what the host keeps to itself
// (CVE-2020-8558), or speak in its name: neither with our rules, nor without, nor
// while somebody takes them away and they come back.
func TestLoopbackIsOurs(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		s := newSite(t)
		callBridge(t, "0")
		web := s.hosts["web"]
		web.serve(t, 80)
		o := &ours{site: s, private: listen(t, &host{}, "127.0.0.1:99"), public: listen(t, &host{}, ":98"), guests: listen(t, web, ":97")}
		exts := map[string]*xml.Extensions{"nat": {Forwards: []xml.PortForward{
			at("127.0.0.1", forward("tcp", "web", 8080, 0, 80)),
			at("127.0.0.1", forward("udp", "web", 8097, 0, 97)),
			forward("udp", "web", 8099, 0, 97),
		}}}
		s.install(t, exts)
		if got := (&host{}).who("127.0.0.1:8080"); got != "web:80" {
			t.Fatalf("%s answers the host", got)
		}
		o.try(t, "with rules")
		nft(t, "", "flush", "ruleset")
		o.try(t, "without rules")
		stop, flooded := make(chan struct{}), make(chan int)
		go func() { flooded <- o.flood(t, stop) }()
		for range 20 {
			s.install(t, exts)
			nft(t, "", "flush", "ruleset")
		}
		close(stop)
		if n := <-flooded; n < 1000 {
			t.Errorf("%d packets are no flood", n)
		}
		if who := arrives(o.private, 200*time.Millisecond); who != nil {
			t.Errorf("while rules came and went, a packet of %s arrived", who)
		}
		// What the kernel keeps out, it lets in with the switch that we leave alone.
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/br-nat/route_localnet", []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
		o.forge(t, "peer", "10.0.0.3:5", "127.0.0.1:99")
		if arrives(o.private, patience) == nil {
			t.Error("with route_localnet nothing arrives either: nothing is tested here")
		}
	})
}

// ours are sockets of the host, and one of a guest.
type ours struct {
	site                    *site
	private, public, guests net.PacketConn
}

// try has guests and a host outside send what must not arrive, and what shows that
// sending works.
func (o *ours) try(t *testing.T, when string) {
	t.Helper()
	for _, c := range []struct {
		from, source, dest string
		at                 net.PacketConn
		arrives            bool
	}{
		{"peer", "10.0.0.3:5", "10.0.0.1:98", o.public, true},
		{"outside", "10.0.100.2:5", "10.0.100.1:98", o.public, true},
		{"outside", "10.0.100.2:5", "127.0.0.1:99", o.private, false},
		{"peer", "10.0.0.3:5", "127.0.0.1:99", o.private, false},
		{"peer", "127.0.0.1:5", "10.0.0.1:98", o.public, false},
		{"peer", "127.0.0.1:5", "127.0.0.1:99", o.private, false},
		{"peer", "192.0.0.8:5", "127.0.0.1:99", o.private, false},
		{"peer", "10.0.0.3:5", "127.0.0.1:8097", o.guests, false},
		{"outside", "10.0.100.2:5", "127.0.0.1:8097", o.guests, false},
		{"peer", "127.0.0.1:5", "127.0.0.1:8099", o.guests, false},
	} {
		o.forge(t, c.from, c.source, c.dest)
		wait := patience
		if !c.arrives {
			wait = 200 * time.Millisecond
		}
		if who := arrives(c.at, wait); (who != nil) != c.arrives {
			t.Errorf("%s: from %s, %s to %s: %v", when, c.from, c.source, c.dest, who)
		}
	}
}

func (o *ours) forge(t *testing.T, from, source, dest string) {
	t.Helper()
	link := "br-nat"
	if from == "outside" {
		link = "up0"
	}
	router, err := net.InterfaceByName(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.site.hosts[from].forge(router.HardwareAddr, netip.MustParseAddrPort(source), netip.MustParseAddrPort(dest), func() bool { return false }); err != nil {
		t.Fatal(err)
	}
}

// flood sends to the host's loopback until it is stopped, and counts.
func (o *ours) flood(t *testing.T, stop chan struct{}) (n int) {
	router, err := net.InterfaceByName("br-nat")
	if err == nil {
		err = o.site.hosts["peer"].forge(router.HardwareAddr, netip.MustParseAddrPort("10.0.0.3:5"), netip.MustParseAddrPort("127.0.0.1:99"), func() bool {
			n++
			select {
			case <-stop:
				return false
			default:
				return true
			}
		})
	}
	if err != nil {
		t.Errorf("sending: %v", err)
	}
	return n
}

func listen(t *testing.T, h *host, at string) (c net.PacketConn) {
	t.Helper()
	if err := h.do(func() (err error) { c, err = net.ListenPacket("udp4", at); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// arrives returns who sent the next packet; nil: nobody for a while.
func arrives(c net.PacketConn, wait time.Duration) net.Addr {
	_ = c.SetReadDeadline(time.Now().Add(wait))
	_, who, err := c.ReadFrom(make([]byte, 9))
	if err != nil {
		return nil
	}
	return who
}
