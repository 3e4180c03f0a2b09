package host_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// uplink makes a host with a router outside on "up0", a bridge, a guest there,
// and forwarding. Addresses of the outside's own prefixes are the guest's.
func uplink(t *testing.T, h *host.Host) (router, guest *netnstest.Guest) {
	t.Helper()
	router = netnstest.NewOutside(t, "router", "up0", netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24"))
	run(t, h,
		step.AddAddress{Link: "up0", Address: netip.MustParsePrefix("2001:db8::1/64")},
		step.AddBridge{Name: "virbr0"},
		step.AddAddress{Link: "virbr0", Address: netip.MustParsePrefix("10.7.0.1/24")},
		step.AddAddress{Link: "virbr0", Address: netip.MustParsePrefix("fd00:7::1/64")},
		step.SetUp{Link: "virbr0"},
		step.SetSysctl{Key: "net/ipv4/ip_forward", Value: "1"},
		step.SetSysctl{Key: "net/ipv6/conf/all/forwarding", Value: "1"},
	)
	router.Address(t, netip.MustParsePrefix("2001:db8::2/64"))
	guest = netnstest.NewGuest(t, "g", "virbr0")
	for _, a := range []string{"192.0.2.7/32", "2001:db8::7/128", "10.7.0.2/24", "fd00:7::2/64"} {
		guest.Address(t, netip.MustParsePrefix(a))
	}
	guest.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.7.0.1"))
	guest.Route(t, netip.MustParsePrefix("::/0"), netip.MustParseAddr("fd00:7::1"))
	return router, guest
}

func TestGuestsAreAnsweredForByARP(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "busybox", "ip")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		router, _ := uplink(t, h)
		public := netip.MustParseAddr("192.0.2.7")
		asks := func() error {
			_, err := router.Output(t.Context(), "busybox", "arping", "-f", "-I", "eth0", "-c", "1", "-w", "2", public.String())
			return err
		}
		before := netnstest.Snapshot(t)
		if asks() == nil {
			t.Fatal("somebody answers before the proxy: nothing is tested here")
		}
		// The router remembers who had the address before.
		router.Run(t, "ip", "neigh", "replace", public.String(), "lladdr", "52:54:00:00:00:01", "nud", "stale", "dev", "eth0")
		proxy := step.ProxyNeighbour{Link: "up0", Address: public}
		route := step.RouteGuest{Bridge: "virbr0", Address: public}
		run(t, h, route, proxy, route, proxy)
		mac := linkNamed(t, "up0").Attrs().HardwareAddr.String()
		netnstest.Wait(t, "the router has heard of the new owner", func() error {
			if out := router.Run(t, "ip", "neigh", "show", public.String()); !strings.Contains(out, mac) {
				return errors.New(out)
			}
			return nil
		})
		if err := asks(); err != nil {
			t.Errorf("with the proxy: %v", err)
		}
		router.Run(t, "ip", "neigh", "flush", "dev", "eth0")
		if out, err := router.Output(t.Context(), "busybox", "ping", "-c", "1", "-W", "5", public.String()); err != nil {
			t.Errorf("the guest is not reached: %v\n%s", err, out)
		}
		unproxy, unroute := step.UnproxyNeighbour{Link: "up0", Address: public}, step.UnrouteGuest{Bridge: "virbr0", Address: public}
		run(t, h, unproxy)
		if asks() == nil {
			t.Error("answered after the proxy has gone")
		}
		run(t, h, unroute, unproxy, unroute)
		after := netnstest.Snapshot(t)
		delete(before, "sysctls")
		delete(after, "sysctls")
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("left behind (-before +after):\n%s", diff)
		}
		other := step.UnrouteGuest{Bridge: "up0", Address: public}
		run(t, h, route, other) // another link's route is not ours to remove
		refused(t, h, step.RouteGuest{Bridge: "up0", Address: public}, syscall.EEXIST)
		if out := output(t, "ip", "route", "get", public.String()); !strings.Contains(out, "dev virbr0") {
			t.Errorf("the guest's route has gone: %s", out)
		}
	})
}

// solicit asks for an IPv6 address by a neighbour solicitation (RFC 4861 section
// 4.3) to a destination, and returns the answer's flags.
func solicit(g *netnstest.Guest, to, target netip.Addr) (flags byte, err error) {
	err = g.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		second := unix.NsecToTimeval(time.Second.Nanoseconds())
		if err := errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &second),
			unix.Bind(fd, &unix.SockaddrInet6{Addr: netip.MustParseAddr("2001:db8::2").As16()}),
		); err != nil {
			return err
		}
		p := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
		p = append(append(p, 1, 1), link.HardwareAddr...)
		if err := unix.Sendto(fd, p, 0, &unix.SockaddrInet6{Addr: to.As16(), ZoneId: uint32(link.Index)}); err != nil {
			return err
		}
		for {
			n, _, err := unix.Recvfrom(fd, p[:cap(p)], 0)
			if err != nil {
				return err
			}
			if n >= 24 && p[0] == 136 && netip.AddrFrom16([16]byte(p[8:24])) == target {
				flags = p[4]
				return nil
			}
		}
	})
	return flags, err
}

func TestGuestsAreAnsweredForByNeighbourDiscovery(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip", "busybox")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		router, _ := uplink(t, h)
		public := netip.MustParseAddr("2001:db8::7")
		nodes := netip.MustParseAddr("ff02::1:ff00:7") // solicited-node multicast address
		mac := linkNamed(t, "up0").Attrs().HardwareAddr.String()
		router.Run(t, "ip", "neigh", "replace", public.String(), "lladdr", mac, "nud", "permanent", "dev", "eth0")
		ways := map[string]netip.Addr{"multicast": nodes, "unicast": public}
		for way, to := range ways {
			if _, err := solicit(router, to, public); err == nil {
				t.Fatalf("somebody answers a %s solicitation before the proxy: nothing is tested here", way)
			}
		}
		route := step.RouteGuest{Bridge: "virbr0", Address: public}
		proxy := step.ProxyNeighbour{Link: "up0", Address: public}
		run(t, h, route, proxy, route, proxy)
		for way, to := range ways {
			flags, err := solicit(router, to, public)
			if err != nil || flags&0x40 == 0 {
				t.Errorf("a %s solicitation: flags %#x, %v", way, flags, err)
			}
		}
		router.Run(t, "ip", "neigh", "del", public.String(), "dev", "eth0")
		if out, err := router.Output(t.Context(), "busybox", "ping", "-6", "-c", "1", "-W", "5", public.String()); err != nil {
			t.Errorf("the guest is not reached: %v\n%s", err, out)
		}
		router.Run(t, "ip", "neigh", "replace", public.String(), "lladdr", mac, "nud", "permanent", "dev", "eth0")
		run(t, h, step.UnproxyNeighbour{Link: "up0", Address: public}, step.UnrouteGuest{Bridge: "virbr0", Address: public})
		for way, to := range ways {
			if _, err := solicit(router, to, public); err == nil {
				t.Errorf("a %s solicitation is answered after the proxy has gone", way)
			}
		}
	})
}

// A router that remembers another host for the address learns the new way
// without asking.
func TestNewIPv6OwnerIsAnnounced(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		router, _ := uplink(t, h)
		netnstest.Wait(t, "the uplink has a link-local address", func() error {
			if out := output(t, "ip", "-6", "addr", "show", "dev", "up0", "scope", "link", "-tentative"); !strings.Contains(out, "fe80") {
				return errors.New("tentative")
			}
			return nil
		})
		router.Run(t, "ip", "neigh", "replace", "2001:db8::7", "lladdr", "52:54:00:00:00:01", "nud", "stale", "dev", "eth0")
		run(t, h, step.ProxyNeighbour{Link: "up0", Address: netip.MustParseAddr("2001:db8::7")})
		mac := linkNamed(t, "up0").Attrs().HardwareAddr.String()
		netnstest.Wait(t, "the router has heard of the new owner", func() error {
			if out := router.Run(t, "ip", "neigh", "show", "2001:db8::7"); !strings.Contains(out, mac) {
				return errors.New(out)
			}
			return nil
		})
	})
}

func TestHostileReachIsRefused(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		for _, text := range []string{"", "0.0.0.0", "::", "127.0.0.1", "::1", "224.0.0.1", "ff02::1", "::ffff:10.0.0.1", "fe80::1%lo"} {
			a, _ := netip.ParseAddr(text)
			for _, op := range []step.Op{
				step.ProxyNeighbour{Link: "lo", Address: a}, step.UnproxyNeighbour{Link: "lo", Address: a},
				step.RouteGuest{Bridge: "lo", Address: a}, step.UnrouteGuest{Bridge: "lo", Address: a},
				step.EndConnections{Guest: a},
			} {
				refused(t, h, op, syscall.EINVAL)
			}
		}
		a := netip.MustParseAddr("192.0.2.7")
		refused(t, h, step.ProxyNeighbour{Link: "../all", Address: a}, syscall.EINVAL)
		refused(t, h, step.ProxyNeighbour{Link: "nosuch", Address: a}, syscall.ENODEV)
		refused(t, h, step.RouteGuest{Bridge: "nosuch", Address: a}, syscall.ENODEV)
		refused(t, h, step.EndConnections{Guest: a, Proto: "icmp"}, syscall.EINVAL)
		refused(t, h, step.EndConnections{Guest: a, Start: 2, End: 1}, syscall.EINVAL)
		refused(t, h, step.EndConnections{Guest: a, Listen: netip.MustParseAddr("::1")}, syscall.EINVAL)
		run(t, h, step.UnproxyNeighbour{Link: "nosuch", Address: a}, step.UnrouteGuest{Bridge: "nosuch", Address: a},
			step.EndConnections{Guest: a}, step.EndConnections{Guest: netip.MustParseAddr("2001:db8::1")})
	})
}

// echo serves TCP on an address inside a guest: each byte comes back.
func echo(t *testing.T, g *netnstest.Guest, address string) {
	t.Helper()
	var l net.Listener
	if err := g.Do(func() (err error) { l, err = net.Listen("tcp", address); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				b := make([]byte, 1)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					if _, err := c.Write(b); err != nil {
						return
					}
				}
			}()
		}
	}()
}

// talk sends a byte and waits for it to come back.
func talk(c net.Conn, patience time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	b := []byte{'x'}
	if _, err := c.Write(b); err != nil {
		return err
	}
	_, err := c.Read(b)
	return err
}

func TestConnectionsEnd(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		router, guest := uplink(t, h)
		echo(t, guest, "10.7.0.2:80")
		echo(t, guest, "[fd00:7::2]:80")
		output(t, "nft", `table inet t { chain p { type nat hook prerouting priority -100;
			ip daddr 192.0.2.1 tcp dport { 8080, 8081 } dnat to 10.7.0.2:80
			ip6 daddr 2001:db8::1 tcp dport { 8080 } dnat to [fd00:7::2]:80; };
			chain f { type filter hook forward priority 0; ct state established accept; }; }`) // without a rule that asks, nothing is tracked
		router.Route(t, netip.MustParsePrefix("10.7.0.0/24"), netip.MustParseAddr("192.0.2.1"))
		addresses := []string{"192.0.2.1:8080", "192.0.2.1:8081", "[2001:db8::1]:8080", "10.7.0.2:80"}
		conns := map[string]net.Conn{}
		for _, a := range addresses {
			netnstest.Wait(t, a+" is reached", func() error { // a neighbour may not be found at first
				return router.Do(func() (err error) {
					conns[a], err = (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", a)
					return err
				})
			})
			defer func() { _ = conns[a].Close() }()
			if err := talk(conns[a], 10*time.Second); err != nil {
				t.Fatalf("%s: %v", a, err)
			}
		}
		output(t, "nft", "flush chain inet t p") // established connections go on without rules
		check := func(after string, alive ...string) {
			t.Helper()
			for _, a := range addresses {
				want := strings.Contains(strings.Join(alive, " "), a)
				patience := 10 * time.Second
				if err := talk(conns[a], patience); (err == nil) != want {
					t.Errorf("%s: %s: %v, want alive %v", after, a, err, want)
				}
			}
		}
		check("after the rules", addresses...)
		v4 := step.EndConnections{Proto: "tcp", Listen: netip.MustParseAddr("192.0.2.1"), Start: 8080, End: 8080, Guest: netip.MustParseAddr("10.7.0.2")}
		for _, other := range []step.EndConnections{
			{Proto: "udp", Guest: v4.Guest}, {Proto: "tcp", Guest: netip.MustParseAddr("10.7.0.3")},
			{Listen: netip.MustParseAddr("192.0.2.2"), Guest: v4.Guest}, {Start: 8082, End: 9000, Guest: v4.Guest},
		} {
			run(t, h, other)
		}
		for _, other := range []step.EndConnections{
			{Guest: v4.Guest, From: netip.MustParseAddr("192.0.2.3"), Until: netip.MustParseAddr("192.0.2.9")},
			{Guest: v4.Guest, From: netip.MustParseAddr("0.0.0.0"), Until: netip.MustParseAddr("192.0.2.1")},
		} {
			run(t, h, other)
		}
		v4.From, v4.Until = netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.2")
		check("after others", addresses...)
		run(t, h, v4)
		check("after one port", addresses[1:]...)
		run(t, h, step.EndConnections{Guest: v4.Guest, Listen: netip.IPv4Unspecified()})
		check("after all of IPv4", addresses[2:]...)
		run(t, h, step.EndConnections{Guest: netip.MustParseAddr("fd00:7::2"), Proto: "tcp", Start: 8080, End: 8080})
		check("after IPv6", addresses[3])
	})
}

// TestUntranslatedConnectionsEnd: what was sent to a port before it is forwarded is
// forwarded then, though the peer never stops sending. What is elsewhere, is
// translated, or is a connection of the host that is answered, goes on.
func TestUntranslatedConnectionsEnd(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		router, _ := uplink(t, h)
		output(t, "nft", `table inet t { chain p { type nat hook prerouting priority -100; udp dport 7 dnat ip to 10.7.0.2:7; };
			chain f { type filter hook input priority 0; ct state established accept; }; }`)
		router.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.0.2.1"))
		router.Route(t, netip.MustParsePrefix("::/0"), netip.MustParseAddr("2001:db8::1"))
		run(t, h, step.RouteGuest{Bridge: "virbr0", Address: netip.MustParseAddr("203.0.113.8")}, step.RouteGuest{Bridge: "virbr0", Address: netip.MustParseAddr("203.0.113.9")})
		l, err := net.Listen("tcp", "192.0.2.1:80")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		send := func(network string, to ...string) {
			for _, a := range to {
				err := router.Do(func() error {
					c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), network, a)
					if err != nil {
						return err
					}
					t.Cleanup(func() { _ = c.Close() })
					_, err = c.Write([]byte("x"))
					return err
				})
				if err != nil {
					t.Fatalf("%s: %v", a, err)
				}
			}
		}
		udp := []string{"192.0.2.1:5000", "192.0.2.1:5001", "203.0.113.8:5000", "203.0.113.9:5000", "[2001:db8::1]:5000", "192.0.2.1:7"}
		send("udp", udp...)
		send("tcp", "192.0.2.1:80")
		known := func() string {
			table := output(t, "cat", "/proc/net/nf_conntrack")
			var list []string
			for _, a := range append(slices.Clone(udp), "192.0.2.1:80") {
				at := netip.MustParseAddrPort(a)
				if strings.Contains(table, fmt.Sprintf("dst=%s sport=", at.Addr().StringExpanded())) && regexp.MustCompile(
					"dst="+regexp.QuoteMeta(at.Addr().StringExpanded())+` sport=\d+ dport=`+strconv.Itoa(int(at.Port()))+" ").MatchString(table) {
					list = append(list, a)
				}
			}
			return strings.Join(list, " ")
		}
		all := strings.Join(append(slices.Clone(udp), "192.0.2.1:80"), " ")
		if got := known(); got != all {
			t.Fatalf("tracked: %s, want %s", got, all)
		}
		v4, v6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
		for _, c := range []struct {
			taken []step.Taken
			gone  string
		}{
			{[]step.Taken{{Proto: "tcp", Listen: v4, Start: 1, End: 65535}, {Proto: "udp", Listen: v6, Start: 5001, End: 6000}}, ""},
			{[]step.Taken{{Proto: "udp", Listen: v4, Start: 7, End: 8}}, ""},
			{[]step.Taken{{Proto: "udp", Listen: v4, Start: 4000, End: 5000}, {Proto: "udp", Listen: v6, Start: 5000, End: 5000}}, "192.0.2.1:5000 [2001:db8::1]:5000"},
			{[]step.Taken{{Proto: "udp", Listen: netip.MustParseAddr("192.0.2.1"), Start: 5001, End: 5001}}, "192.0.2.1:5001"},
			{[]step.Taken{{Listen: netip.MustParseAddr("203.0.113.9")}}, "203.0.113.9:5000"},
		} {
			run(t, h, step.EndUntranslated{Taken: c.taken})
			for _, a := range strings.Fields(c.gone) {
				all = strings.TrimSpace(strings.Replace(" "+all, " "+a+" ", " ", 1))
			}
			if got := known(); got != all {
				t.Errorf("after %v: %s, want %s", c.taken, got, all)
			}
		}
		for _, bad := range []step.Taken{{Proto: "icmp", Listen: v4, Start: 1, End: 1}, {Proto: "udp", Listen: v4}, {Listen: v4}, {Proto: "udp", Start: 1, End: 1}} {
			refused(t, h, step.EndUntranslated{Taken: []step.Taken{bad}}, syscall.EINVAL)
		}
	})
}

// Thousands of connections of one guest end, and those of the others stay.
func TestManyConnectionsEnd(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.AddAddress{Link: "lo", Address: netip.MustParsePrefix("10.7.0.1/24")},
			step.AddAddress{Link: "lo", Address: netip.MustParsePrefix("10.7.0.2/24")},
			step.AddAddress{Link: "lo", Address: netip.MustParsePrefix("10.7.0.3/24")})
		output(t, "nft", `table ip t { chain o { type nat hook output priority -100;
			udp dport 5000 dnat to 10.7.0.2:6000; udp dport 5001 dnat to 10.7.0.3:6000; }; }`)
		const each = 3000
		flood(t, each)
		if n := tracked(t); n != 2*each {
			t.Fatalf("%d connections, want %d", n, 2*each)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Run(ctx, step.EndConnections{Guest: netip.MustParseAddr("10.7.0.2")}); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
		run(t, h, step.EndConnections{Guest: netip.MustParseAddr("10.7.0.2"), Proto: "udp", Start: 5000, End: 5000})
		if n := tracked(t); n != each {
			t.Errorf("%d connections, want %d", n, each)
		}
	})
}

// flood makes connections to two ports, each from ports of its own.
func flood(t *testing.T, each int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	for port := range each {
		for dst := range 2 {
			src := 10000 + port
			to := 5000 + dst
			p := []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 10, 7, 0, 1, 10, 7, 0, 9,
				byte(src >> 8), byte(src), byte(to >> 8), byte(to), 0, 8, 0, 0}
			err := unix.Sendto(fd, p, 0, &unix.SockaddrInet4{Addr: [4]byte{10, 7, 0, 9}})
			if err != nil && !errors.Is(err, unix.EPERM) {
				t.Fatal(err)
			}
		}
	}
}

// tracked counts connections.
func tracked(t *testing.T) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(read(t, "/proc/sys/net/netfilter/nf_conntrack_count"), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLoopbackRouteGoes: a route to ::1 that an earlier version gave a bridge goes,
// and the loopback device keeps its own.
func TestLoopbackRouteGoes(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		output(t, "ip", "link", "set", "lo", "up")
		routes := func() string { return output(t, "ip", "-6", "route", "show", "table", "local", "::1") }
		for _, bridge := range []string{"virbr0", "virbr1"} {
			run(t, h, step.AddBridge{Name: bridge}, step.SetUp{Link: bridge})
		}
		before := routes()
		if !strings.Contains(before, "dev lo") {
			t.Fatalf("the host has no ::1: nothing is tested here\n%s", before)
		}
		for _, bridge := range []string{"virbr0", "virbr1"} {
			output(t, "ip", "-6", "route", "append", "local", "::1", "dev", bridge, "table", "local", "metric", "2048")
		}
		run(t, h, step.UnrouteLoopback{Bridge: "virbr0"}, step.UnrouteLoopback{Bridge: "virbr0"})
		if text := routes(); strings.Contains(text, "dev virbr0") || !strings.Contains(text, "dev virbr1") {
			t.Errorf("routes to ::1, one of two taken back:\n%s", text)
		}
		run(t, h, step.UnrouteLoopback{Bridge: "virbr1"}, step.UnrouteLoopback{Bridge: "nosuch"})
		if text := routes(); text != before {
			t.Errorf("routes to ::1 were\n%s\nand are\n%s", before, text)
		}
	})
}
