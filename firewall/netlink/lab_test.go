package netlink_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	vnetlink "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// host is one end of a conversation.
type host struct {
	name     string
	guest    *netnstest.Guest
	ip4, ip6 netip.Addr
	gateway4 netip.Addr // the router's address on its network
	gateway6 netip.Addr
	port     uint16 // where it echoes, UDP and TCP
}

// newHost gives the n-th host its addresses, and to the router those beside it.
func newHost(t *testing.T, n int, name string, plug func() *netnstest.Guest) *host {
	t.Helper()
	h := &host{
		name: name, port: 7,
		ip4: netip.AddrFrom4([4]byte{10, 0, byte(n), 2}), gateway4: netip.AddrFrom4([4]byte{10, 0, byte(n), 1}),
	}
	prefix := fmt.Sprintf("fd00:0:0:%x::", n)
	h.ip6, h.gateway6 = netip.MustParseAddr(prefix+"2"), netip.MustParseAddr(prefix+"1")
	h.guest = plug()
	h.guest.Address(t, netip.PrefixFrom(h.ip4, 24))
	h.guest.Address(t, netip.PrefixFrom(h.ip6, 64))
	h.guest.Route(t, netip.MustParsePrefix("0.0.0.0/0"), h.gateway4)
	h.guest.Route(t, netip.MustParsePrefix("::/0"), h.gateway6)
	return h
}

// networks are the definitions of the packet table, in its order.
func networks() []*xml.Network {
	up0 := []xml.ForwardInterface{{Dev: "up0"}}
	pool := xml.NAT{
		AddressStart: netip.MustParseAddr("198.18.0.10"), AddressEnd: netip.MustParseAddr("198.18.0.20"),
		PortStart: 20000, PortEnd: 20099,
	}
	return []*xml.Network{
		{Name: "none"},
		{Name: "nat", Forward: xml.Forward{Mode: xml.ForwardNAT}},
		{Name: "nat-dev", Forward: xml.Forward{Mode: xml.ForwardNAT, Interfaces: up0}},
		{Name: "nat66", Forward: xml.Forward{Mode: xml.ForwardNAT, NAT: xml.NAT{IPv6: xml.Yes}}},
		{Name: "pool", Forward: xml.Forward{Mode: xml.ForwardNAT, NAT: pool}},
		{Name: "route", Forward: xml.Forward{Mode: xml.ForwardRoute}},
		{Name: "route-dev", Forward: xml.Forward{Mode: xml.ForwardRoute, Interfaces: up0}},
		{Name: "open", Forward: xml.Forward{Mode: xml.ForwardOpen}},
	}
}

// lab makes the test's namespace a router with all networks, a guest on each,
// and two hosts outside; rules are installed, and all hosts echo.
func lab(t *testing.T) []*host {
	t.Helper()
	return labOf(t, networks())
}

// labOf is lab with the networks given, which get bridges and addresses.
func labOf(t *testing.T, defs []*xml.Network) []*host {
	t.Helper()
	router(t)
	var hosts []*host
	for n, def := range defs {
		def.Bridge.Name = "br-" + def.Name
		h := newHost(t, n, def.Name, func() *netnstest.Guest {
			addBridge(t, def.Bridge.Name)
			return netnstest.NewGuest(t, def.Name, def.Bridge.Name)
		})
		def.IPs = []xml.IP{{Address: h.gateway4, Prefix: 24}, {Address: h.gateway6, Prefix: 64}}
		addAddress(t, def.Bridge.Name, netip.PrefixFrom(h.gateway4, 24), netip.PrefixFrom(h.gateway6, 64))
		install(t, compile(t, def))
		hosts = append(hosts, h)
	}
	for i, name := range []string{"up0", "up1"} {
		n := 100 + i
		hosts = append(hosts, newHost(t, n, name, func() *netnstest.Guest {
			g := netnstest.NewOutside(t, name, name,
				netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n), 1}), 24), netip.MustParsePrefix("192.0.2.1/32"))
			addAddress(t, name, netip.MustParsePrefix(fmt.Sprintf("fd00:0:0:%x::1/64", n)))
			return g
		}))
	}
	for _, h := range hosts {
		h.echo(t)
	}
	return hosts
}

// router has the test's namespace forward packets, and reject as many as asked.
func router(t *testing.T) {
	t.Helper()
	for key, value := range map[string]string{
		"net/ipv4/ip_forward":              "1",
		"net/ipv6/conf/all/forwarding":     "1",
		"net/ipv4/icmp_ratelimit":          "0",
		"net/ipv6/icmp/ratelimit":          "0",
		"net/ipv4/icmp_msgs_per_sec":       "1000000",
		"net/ipv4/icmp_msgs_burst":         "100000",
		"net/ipv4/conf/all/send_redirects": "0",
	} {
		if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func addBridge(t *testing.T, name string) {
	t.Helper()
	link := &vnetlink.Bridge{LinkAttrs: vnetlink.LinkAttrs{Name: name}}
	if err := vnetlink.LinkAdd(link); err != nil {
		t.Fatalf("adding bridge %q: %v", name, err)
	}
	if err := vnetlink.LinkSetUp(link); err != nil {
		t.Fatalf("bringing up %q: %v", name, err)
	}
}

func addAddress(t *testing.T, link string, prefixes ...netip.Prefix) {
	t.Helper()
	l, err := vnetlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prefixes {
		addr := &vnetlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := vnetlink.AddrAdd(l, addr); err != nil {
			t.Fatalf("adding %s to %q: %v", p, link, err)
		}
	}
}

// echo has the host tell everybody who asks what address and port it sees.
func (h *host) echo(t *testing.T) {
	t.Helper()
	var packets net.PacketConn
	var listener net.Listener
	err := h.do(func() (err error) {
		at := fmt.Sprintf(":%d", h.port)
		if packets, err = net.ListenPacket("udp", at); err != nil {
			return err
		}
		listener, err = net.Listen("tcp", at)
		return err
	})
	if err != nil {
		t.Fatalf("echoing on %s: %v", h.name, err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for buf := make([]byte, 64); ; {
			_, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo([]byte(from.String()), from)
		}
	})
	done.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(c.RemoteAddr().String()))
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = packets.Close()
		_ = listener.Close()
		done.Wait()
	})
}

// patience bounds the wait for an answer that never comes.
const patience = 10 * time.Second

// errRejected: an ICMP port-unreachable came back.
var errRejected = errors.New("rejected")

// knock asks the host at an address what it sees. The sender's own address and
// port may be given.
func (h *host) knock(network string, from netip.AddrPort, to netip.AddrPort) (netip.AddrPort, error) {
	return h.ask(network, from, to, patience)
}

// ask is knock with as much patience as is given. A host without a guest is the
// router itself.
func (h *host) ask(network string, from, to netip.AddrPort, patience time.Duration) (netip.AddrPort, error) {
	d := net.Dialer{Timeout: patience}
	if from.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(from)
		if network == "tcp" {
			d.LocalAddr = net.TCPAddrFromAddrPort(from)
		}
	}
	var c net.Conn
	dial := func() (err error) {
		c, err = d.Dial(network, to.String())
		return err
	}
	do := func(fn func() error) error { return fn() }
	if h.guest != nil {
		do = h.guest.Do
	}
	err := do(dial)
	if err == nil {
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = c.Write([]byte("?"))
	}
	buf := make([]byte, 64)
	n := 0
	if err == nil {
		n, err = c.Read(buf)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return netip.AddrPort{}, errRejected
	case err != nil:
		return netip.AddrPort{}, err
	}
	seen, err := netip.ParseAddrPort(string(buf[:n]))
	return netip.AddrPortFrom(seen.Addr().Unmap(), seen.Port()), err
}
