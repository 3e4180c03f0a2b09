package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
)

// Messages of DHCP (RFC 2132 section 9.6).
const (
	dhcpDiscover = 1
	dhcpRequest  = 3
	dhcpRelease  = 7
)

// dhcpClient is a guest that says what it wants in DHCP.
type dhcpClient struct {
	t        *testing.T
	from     *netnstest.Guest
	conn     net.PacketConn
	hardware byte             // htype; 1: Ethernet
	mac      net.HardwareAddr // chaddr
	id       string           // client identifier
	name     string           // host name
}

func newDHCPClient(t *testing.T, from *netnstest.Guest, mac net.HardwareAddr, id, name string) *dhcpClient {
	t.Helper()
	c := &dhcpClient{t: t, from: from, hardware: 1, mac: mac, id: id, name: name}
	err := from.Do(func() (err error) {
		lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
			var failed error
			err := raw.Control(func(fd uintptr) {
				failed = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_BROADCAST, 1), syscall.BindToDevice(int(fd), "eth0"))
			})
			return errors.Join(err, failed)
		}}
		c.conn, err = lc.ListenPacket(t.Context(), "udp4", ":68")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	return c
}

// send sends a message; addr is the one that it is about.
func (c *dhcpClient) send(kind byte, addr, server netip.Addr) {
	c.t.Helper()
	m := make([]byte, 240)
	m[0], m[1], m[2] = 1, c.hardware, 6
	binary.BigEndian.PutUint32(m[4:], 0x76697262)
	m[10] = 0x80 // an answer by broadcast
	copy(m[28:], c.mac)
	copy(m[236:], []byte{99, 130, 83, 99})
	option := func(code byte, value ...byte) { m = append(append(m, code, byte(len(value))), value...) }
	option(53, kind)
	option(61, []byte(c.id)...)
	if c.name != "" {
		option(12, []byte(c.name)...)
	}
	if kind == dhcpRequest {
		option(50, addr.AsSlice()...)
	}
	if server.IsValid() {
		option(54, server.AsSlice()...)
	}
	to := net.IPv4bcast
	if kind == dhcpRelease {
		copy(m[12:], addr.AsSlice()) // ciaddr
		to = server.AsSlice()
	}
	m = append(m, 255)
	if _, err := c.conn.WriteTo(m, &net.UDPAddr{IP: to, Port: 67}); err != nil {
		c.t.Fatal(err)
	}
}

// lease gets one, and returns its address.
func (c *dhcpClient) lease(server netip.Addr) netip.Addr {
	c.t.Helper()
	var got netip.Addr
	netnstest.Wait(c.t, "a lease", func() error {
		c.send(dhcpDiscover, netip.Addr{}, netip.Addr{})
		offer, err := c.answer(2)
		if err != nil {
			return err
		}
		c.send(dhcpRequest, offer, server)
		got, err = c.answer(5)
		return err
	})
	return got
}

// answer waits for a message and returns the client's address in it (yiaddr).
func (c *dhcpClient) answer(kind byte) (netip.Addr, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return netip.Addr{}, err
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := c.conn.ReadFrom(buf)
		if err != nil {
			return netip.Addr{}, err
		}
		if n > 243 && strings.Contains(string(buf[236:n]), string([]byte{53, 1, kind})) {
			return netip.AddrFrom4([4]byte(buf[16:20])), nil
		}
	}
}

// TestNobodyTakesAForward: a guest that says by DHCP that it is another one, under
// another client identifier, kind of hardware or name, or that the other one has
// gone, gets nothing of what leads to that one; also across the death of virbrd.
func TestNobodyTakesAForward(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "curl", "busybox", "ping")
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("one", forwardNetwork("one", "br-one", "91"))
		server := netip.MustParseAddr("10.91.0.1")
		owner := netnstest.NewGuest(t, "owner", "br-one")
		mustVirbr(t, "forward", "add", "one", "8001:80", "web1", "--family", "ipv4")
		mustVirbr(t, "forward", "add", "one", "8002:80", owner.MAC.String(), "--family", "ipv4")
		mustVirbr(t, "address", "add", "one", "198.18.7.1", "web1")
		out.Route(t, netip.MustParsePrefix("198.18.7.1/32"), netip.MustParseAddr(uplink4))
		addr, err := owner.DHCP(t, "-x", "hostname:web1").Address()
		if err != nil {
			t.Fatal(err)
		}
		website(t, owner, "80")
		attacker := netnstest.NewGuest(t, "attacker", "br-one")
		website(t, attacker, "80")
		want := func(what string) {
			t.Helper()
			netnstest.Wait(t, what, func() error {
				text := mustVirbr(t, "forward", "list", "one") + mustVirbr(t, "address", "list", "one")
				if strings.Count(text, "active to "+addr.String()) != 3 {
					return errors.New(text)
				}
				return nil
			})
			for _, url := range []string{"http://" + uplink4 + ":8001/", "http://" + uplink4 + ":8002/", "http://198.18.7.1/"} {
				wantPage(t, what, out, url, "owner")
			}
		}
		want("before")

		// The lease is in the owner's name; then the attacker is at its address.
		poses := func(what string, c *dhcpClient) {
			t.Helper()
			a := c.lease(server)
			_ = c.conn.Close()
			if a != addr {
				attacker.Run(t, "ip", "addr", "replace", a.String()+"/24", "dev", "eth0")
				attacker.Run(t, "ip", "route", "replace", "default", "via", server.String())
				_ = pings(attacker, t, server.String(), a.String()) // the answer may go to the owner
			}
			run(t, "sh", "-c", "ip neigh flush dev br-one") // and the owner was quiet for long
			want(what)
		}
		poses("another client identifier", newDHCPClient(t, attacker, owner.MAC, "\xff\x00\x11\x22\x33", "evil"))
		infiniband := newDHCPClient(t, attacker, owner.MAC, "\xff\x00\x11\x22\x44", "")
		infiniband.hardware = 32
		poses("another kind of hardware", infiniband)
		poses("the name", newDHCPClient(t, attacker, attacker.MAC, "\xff\x00\x11\x22\x55", "web1"))
		said := fmt.Sprintf("active to %s; another guest, %s, asks for its name, and gets nothing by it", addr, attacker.MAC)
		netnstest.Wait(t, "it is said that somebody tried", func() error {
			if text := mustVirbr(t, "forward", "list", "one"); !strings.Contains(text, said) {
				return errors.New(text)
			}
			return nil
		})
		renamed := newDHCPClient(t, attacker, owner.MAC, "\x01"+string(owner.MAC), "evil")
		poses("another name for the owner's lease", renamed)

		// It says once to be at the owner's address, and the owner says nothing. The host
		// sends nothing there but an answer to that, which moves no entry of its table.
		attacker.Run(t, "ip", "addr", "add", addr.String()+"/24", "dev", "eth0")
		attacker.Run(t, "busybox", "arping", "-c", "1", "-I", "eth0", "-s", addr.String(), server.String())
		attacker.Run(t, "ip", "addr", "del", addr.String()+"/24", "dev", "eth0")
		want("the owner's address")

		d.kill()
		d = startVirbrd(t)
		want("after a crash")

		gone := newDHCPClient(t, attacker, owner.MAC, "\x01"+string(owner.MAC), "")
		gone.send(dhcpRelease, addr, server)
		netnstest.Wait(t, "the owner's lease is gone", func() error {
			if text := d.virsh("net-dhcp-leases", "one"); strings.Contains(text, addr.String()+"/") {
				return errors.New(text)
			}
			return nil
		})
		_ = gone.conn.Close()
		want("a released lease")
		poses("the name of who has no lease", newDHCPClient(t, attacker, attacker.MAC, "\xff\x00\x11\x22\x66", "web1"))
	})
}

// TestNameOfADomain: a name that is a domain's is its guest's alone, whatever that and
// others call themselves, also while the domain is shut off; and that of one made anew.
func TestNameOfADomain(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "curl", "busybox")
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("one", forwardNetwork("one", "br-one", "91"))
		mustVirbr(t, "forward", "add", "one", "8001:80", "web1", "--family", "ipv4")
		plugged := func(g *netnstest.Guest, domain, id string) {
			doc := filepath.Join(t.TempDir(), "port.xml")
			write(t, doc, fmt.Sprintf("<networkport><uuid>%s</uuid><owner><name>%s</name><uuid>%[1]s</uuid></owner><mac address='%[3]s'/></networkport>", id, domain, g.MAC))
			d.virsh("net-port-create", "one", doc)
		}
		const first, second, third = "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002", "11111111-0000-4000-8000-000000000003"
		owner := netnstest.NewGuest(t, "owner", "br-one")
		plugged(owner, "web1", first)
		owner.DHCP(t, "-x", "hostname:debian")
		website(t, owner, "80")
		wantPage(t, "it calls itself debian", out, "http://"+uplink4+":8001/", "owner")

		attacker := netnstest.NewGuest(t, "attacker", "br-one")
		plugged(attacker, "evil", second)
		events := followEvents(t, d, "one")
		attacker.DHCP(t, "-x", "hostname:web1")
		website(t, attacker, "80")
		listed := func(what, want string) {
			t.Helper()
			netnstest.Wait(t, what, func() error {
				if text := mustVirbr(t, "forward", "list", "one"); !strings.Contains(text, want) {
					return errors.New(text)
				}
				return nil
			})
		}
		tried := fmt.Sprintf("another guest, %s (domain evil), asks for its name, and gets nothing by it", attacker.MAC)
		listed("another one calls itself web1", tried)
		events.prints("somebody tries", `guest `+attacker.MAC.String()+` \(domain evil\) asks for the name of web1, and gets nothing by it`)
		wantPage(t, "another one calls itself web1", out, "http://"+uplink4+":8001/", "owner")

		d.virsh("net-port-delete", "one", first)
		listed("the domain is shut off", `waiting for "web1" to get an address (IPv4): `+tried)
		d.kill()
		d = startVirbrd(t)
		listed("and virbrd died", `waiting for "web1" to get an address (IPv4): `+tried)

		again := netnstest.NewGuest(t, "again", "br-one")
		plugged(again, "web1", third)
		again.DHCP(t)
		website(t, again, "80")
		wantPage(t, "it was made anew", out, "http://"+uplink4+":8001/", "again")
	})
}

// TestGuestWithTwoLeases: what boots a guest (PXE) asks for a lease under another
// client identifier than its system: both leases last, and the guest is where its
// system is.
func TestGuestWithTwoLeases(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "curl", "busybox", "ip")
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("one", forwardNetwork("one", "br-one", "91"))
		web := netnstest.NewGuest(t, "web", "br-one")
		website(t, web, "80")
		mustVirbr(t, "forward", "add", "one", "8001:80", "web1", "--family", "ipv4")
		boot, err := web.DHCP(t, "-x", "hostname:web1").Address()
		if err != nil {
			t.Fatal(err)
		}
		followed := func(to netip.Addr) {
			t.Helper()
			netnstest.Wait(t, "the forward is followed", func() error {
				if text := mustVirbr(t, "forward", "list", "one"); !strings.Contains(text, fmt.Sprintf("active to %s\n", to)) {
					return errors.New(text)
				}
				return nil
			})
			wantPage(t, "at "+to.String(), out, "http://"+uplink4+":8001/", "web")
		}
		followed(boot)
		web.Run(t, "ip", "addr", "flush", "dev", "eth0")
		for range 2 { // it renews its lease
			system, err := web.DHCP(t, "-C", "-x", "0x3d:ff00aabbcc00020000ab11deadbeef", "-x", "hostname:web1").Address()
			if err != nil || system == boot {
				t.Fatalf("%v, %v", system, err)
			}
			followed(system)
		}
	})
}

// TestQuietGuest: an IPv6 address that a guest made of a random number and tells
// nobody is found, whether the guest took it before the forward was added or later,
// and so is the next one.
func TestQuietGuest(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "curl", "busybox", "ip", "sysctl")
		out := newOutside(t)
		d := startVirbrd(t)
		doc, _, _ := strings.Cut(forwardNetwork("one", "br-one", "91"), "<ip family")
		d.up("one", doc+"<ipv6 advprefix='fd00:91::/64'/></network>")
		quiet := func(name string) *netnstest.Guest {
			t.Helper()
			g := netnstest.NewGuest(t, name, "br-one")
			for _, key := range []string{"accept_ra=0", "router_solicitations=0"} { // what it would ask for tells of it
				g.Run(t, "sysctl", "-qw", "net.ipv6.conf.eth0."+key)
			}
			website(t, g, "80")
			return g
		}
		takes := func(g *netnstest.Guest, addr string) {
			t.Helper()
			g.Run(t, "ip", "-6", "addr", "add", addr+"/64", "dev", "eth0")
			g.Run(t, "ip", "-6", "route", "replace", "default", "via", "fd00:91::1")
		}
		early, late := quiet("early"), quiet("laterone")
		takes(early, "fd00:91::7a3c:11ff:a:a")
		mustVirbr(t, "forward", "add", "one", "8001:80", early.MAC.String(), "--family", "ipv6")
		mustVirbr(t, "forward", "add", "one", "8002:80", late.MAC.String(), "--family", "ipv6")
		listed := func(what, port, addr string) {
			t.Helper()
			netnstest.Wait(t, what, func() error {
				for line := range strings.Lines(mustVirbr(t, "forward", "list", "one")) {
					if strings.Contains(line, port+":80") && strings.Contains(line, "active to "+addr) {
						return nil
					}
				}
				return errors.New(mustVirbr(t, "forward", "list", "one"))
			})
			wantPage(t, what, out, "http://["+uplink6+"]:"+port+"/", map[string]string{"8001": "early", "8002": "laterone"}[port])
		}
		listed("a guest that was there", "8001", "fd00:91::7a3c:11ff:a:a")
		takes(late, "fd00:91::7a3c:11ff:b:b")
		listed("a guest that came", "8002", "fd00:91::7a3c:11ff:b:b")
		late.Run(t, "ip", "-6", "addr", "del", "fd00:91::7a3c:11ff:b:b/64", "dev", "eth0")
		takes(late, "fd00:91::7a3c:11ff:c:c")
		listed("its next address", "8002", "fd00:91::7a3c:11ff:c:c")
	})
}
