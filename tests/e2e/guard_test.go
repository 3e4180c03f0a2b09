package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/netnstest"
)

// tapped is a guest whose interface a hypervisor driver plugged into a network: with a
// port, and a tap whose MAC address libvirt made of the guest's.
func tapped(t *testing.T, d *daemon, network, bridge, name, more string) *netnstest.Guest {
	t.Helper()
	g := netnstest.NewGuest(t, name, bridge)
	tap := "vnet-" + name
	run(t, "ip", "link", "set", tap, "nomaster")
	doc := filepath.Join(t.TempDir(), "port.xml")
	write(t, doc, fmt.Sprintf(`<networkport><uuid>%s</uuid><owner><name>%s</name><uuid>%s</uuid></owner>%s<mac address='%s'/></networkport>`,
		uuidOf("port "+name), name, uuidOf(name), more, g.MAC))
	d.virsh("net-port-create", network, doc)
	mac := slices.Clone(g.MAC)
	mac[0] = 0xfe
	run(t, "ip", "link", "set", tap, "address", mac.String())
	run(t, "ip", "link", "set", tap, "master", bridge)
	return g
}

func uuidOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// readSys returns an attribute of a bridge.
func readSys(t *testing.T, bridge, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", "-j", "-d", "link", "show", bridge).Output()
	var list []struct {
		Linkinfo struct {
			Data map[string]any `json:"info_data"`
		} `json:"linkinfo"`
	}
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil || len(list) != 1 {
		t.Fatalf("looking at %s: %v\n%s", bridge, err, out)
	}
	return fmt.Sprint(list[0].Linkinfo.Data[name])
}

// guarded returns a set of the table of guards: its elements, and how often each was found.
func guarded(t *testing.T, set string) map[string]int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nft", "-j", "list", "set", "bridge", "virbr", set).Output()
	if err != nil {
		return nil
	}
	var doc struct {
		Nftables []struct {
			Set struct{ Elem []json.RawMessage }
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	list := map[string]int{}
	for _, object := range doc.Nftables {
		for _, e := range object.Set.Elem {
			var elem struct {
				Elem struct {
					Val     json.RawMessage
					Counter struct{ Packets int }
				}
			}
			if err := json.Unmarshal(e, &elem); err != nil || elem.Elem.Val == nil {
				list[strings.Trim(string(e), `"`)] = 0
				continue
			}
			list[strings.Trim(string(elem.Elem.Val), `"`)] = elem.Elem.Counter.Packets
		}
	}
	return list
}

func waitGuarded(t *testing.T, set, part string) {
	t.Helper()
	netnstest.Wait(t, set+" has "+part, func() error {
		list := guarded(t, set)
		for key := range list {
			if strings.Contains(key, part) {
				return nil
			}
		}
		return fmt.Errorf("has %v", list)
	})
}

const guardNetwork = `<network><name>g</name>
  <metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>GUARD</virbr:network></metadata>
  <forward mode='nat'/><bridge name='br-g' stp='STP'/>
  <ip address='10.77.0.1' prefix='24'><dhcp><range start='10.77.0.100' end='10.77.0.150'/></dhcp></ip>
  <ip family='ipv6' address='fd00:77::1' prefix='64'/>
  <portgroup name='routers'/>
</network>`

// attack is a frame that an honest guest does not send.
type attack struct {
	name  string
	cause string // the set that counts it
	frame []byte
}

// attacks returns frames of an attacker about a victim, each with its name at the end.
func attacks(me, victim *netnstest.Guest, mine, theirs netip.Addr) []attack {
	gateway, all := netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("255.255.255.255")
	gateway6, nodes := netip.MustParseAddr("fd00:77::1"), netip.MustParseAddr("ff02::1")
	low, his, none := lowlink(me.MAC), lowlink(victim.MAC), netip.IPv6Unspecified()
	var list []attack
	add := func(cause, name string, to net.HardwareAddr, kind uint16, make func(name []byte) []byte) {
		list = append(list, attack{name, cause, frame(to, me.MAC, kind, make([]byte(name+".")))})
	}
	four := func(cause, name string, from, to netip.Addr, proto byte, body []byte) {
		add(cause, name, broadcast, 0x0800, func(b []byte) []byte { return ipv4(from, to, proto, append(body, b...)) })
	}
	six := func(cause, name string, from netip.Addr, next byte, body []byte) {
		add(cause, name, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, 0x86dd, func(b []byte) []byte { return ipv6(from, nodes, next, slices.Concat(body, b)) })
	}
	discover := func(cause, name string, from netip.Addr, kind byte, body []byte) {
		six(cause, name, from, 58, icmp6(from, nodes, kind, body))
	}
	plainARP := func(cause, name string, op uint16, sha net.HardwareAddr, spa netip.Addr) {
		add(cause, name, broadcast, 0x0806, func(b []byte) []byte { return append(arp(op, sha, spa, broadcast, theirs), b...) })
	}
	four("stop_ip", "IPv4 address of another guest", theirs, all, 17, udp(9, 9, nil))
	four("stop_ip", "IPv4 address of nobody's", netip.MustParseAddr("203.0.113.9"), all, 17, udp(9, 9, nil))
	six("stop_ip", "IPv6 address of another guest", his, 17, udp(9, 9, nil))
	plainARP("stop_ip", "ARP for the gateway", 2, me.MAC, gateway)
	plainARP("stop_ip", "ARP for another guest", 1, me.MAC, theirs)
	plainARP("stop_mac", "ARP with another's MAC address", 1, victim.MAC, mine)
	discover("stop_ip", "advertisement of the gateway", low, 136, neighbour(136, gateway6, option(2, me.MAC)))
	discover("stop_ip", "advertisement of another guest", low, 136, neighbour(136, his, option(2, me.MAC)))
	discover("stop_mac", "advertisement with another's MAC address", low, 136, neighbour(136, low, option(2, victim.MAC)))
	discover("stop_ip", "solicitation that says another's address", his, 135, neighbour(135, gateway6, option(1, me.MAC)))
	discover("", "solicitation that keeps another from its address", none, 135, neighbour(135, his))
	ra := icmp6(low, nodes, 134, router())
	six("stop_ra", "router advertisement", low, 58, ra)
	six("stop_ra", "router advertisement behind options", low, 60, slices.Concat([]byte{58, 0, 1, 4, 0, 0, 0, 0}, ra))
	six("stop_ra", "router advertisement in an atomic fragment", low, 44, slices.Concat([]byte{58, 0, 0, 0, 0, 0, 0, 7}, ra))
	six("stop_ra", "first fragment that does not say what it is", low, 44, []byte{60, 0, 0, 1, 0, 0, 0, 7, 58, 3, 1, 4, 0, 0, 0, 0})
	discover("stop_ra", "redirect", low, 137, make([]byte, 36))
	four("stop_dhcp", "DHCP answer", mine, all, 17, udp(67, 68, nil))
	four("stop_dhcp", "DHCP answer from another port", mine, all, 17, udp(1234, 68, nil))
	six("stop_dhcp6", "DHCPv6 answer", low, 17, udp(547, 546, nil))
	add("stop_stp", "bridge protocol", net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0}, 38, func(b []byte) []byte { // the best bridge of all
		id := append([]byte{0, 0}, me.MAC...)
		return slices.Concat([]byte{0x42, 0x42, 3, 0, 0, 0, 0, 0}, id, make([]byte, 4), id, []byte{0x80, 1, 0, 0, 20, 0, 2, 0, 15, 0}, b)
	})
	add("stop_hidden", "router advertisement in SNAP", broadcast, 100, func(b []byte) []byte {
		return slices.Concat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd}, ipv6(low, nodes, 58, slices.Concat(ra, b)))
	})
	for _, v := range []struct {
		name       string
		tpid, vlan uint16
	}{{"frame of a VLAN", 0x8100, 7}, {"frame of a provider's VLAN", 0x88a8, 7}, {"router advertisement behind a priority", 0x8100, 0}} {
		f := frame(broadcast, me.MAC, 0x86dd, ipv6(low, nodes, 58, slices.Concat(ra, []byte(v.name+"."))))
		list = append(list, attack{v.name, "stop_vlan", tagged(f, v.tpid, v.vlan)})
	}
	spoofed := frame(broadcast, victim.MAC, 0x0806, append(arp(1, me.MAC, mine, broadcast, theirs), "MAC address of another guest."...))
	return append(list, attack{"MAC address of another guest", "stop_mac", spoofed}) // the bridge believes it: nothing after it arrives
}

// TestGuard: what a guest sends that is not its own reaches nobody on a network with a
// guard, and does on one without. Each is counted for its port and its cause. Honest
// traffic passes, and the victim is reached all the time.
func TestGuard(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "virsh", "dnsmasq", "nft", "busybox", "ping")
	netnstest.Run(t, func(t *testing.T) {
		for _, name := range []string{"iptables", "ip6tables", "arptables"} { // they would put fragments together
			_ = os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+name, []byte("0"), 0o644)
		}
		d := startVirbrd(t)
		off := "<virbr:guard mac='no' ip='no' ra='no' dhcp='no' stp='no' vlan='no' rate='no'/>"
		d.up("g", strings.NewReplacer("GUARD", off, "STP", "off").Replace(guardNetwork))
		victim, me := tapped(t, d, "g", "br-g", "victim", ""), tapped(t, d, "g", "br-g", "me", "")
		mine, theirs := leased(t, me), leased(t, victim)
		list := attacks(me, victim, mine, theirs)
		out, in := newCable(t, me), newCable(t, victim)
		guardAttacks(t, out, in, mine, list, nil)
		honest(t, me, victim, mine)
		honest(t, victim, me, theirs)

		run(t, "ip", "link", "set", "br-g", "type", "bridge", "stp_state", "1") // then the bridge itself takes its frames
		setGuard(t, "<virbr:guard dhcp='yes'/>")
		waitGuarded(t, "addresses4", theirs.String())
		waitGuarded(t, "addresses4", mine.String())
		honest(t, victim, me, theirs)
		before := map[string]map[string]int{}
		for _, a := range list {
			if a.cause != "" && before[a.cause] == nil {
				before[a.cause] = guarded(t, a.cause)
			}
		}
		guardAttacks(t, out, in, mine, nil, list)
		for cause, was := range before {
			want := 0
			for _, a := range list {
				if a.cause == cause {
					want++
				}
			}
			if got := guarded(t, cause)["vnet-me"] - was["vnet-me"]; got < want {
				t.Errorf("%s: %d frames of the attacker are counted, want %d", cause, got, want)
			}
			if got := guarded(t, cause)["vnet-victim"] - was["vnet-victim"]; cause != "stop_ip" && got != 0 {
				t.Errorf("%s: %d frames of the victim are counted", cause, got)
			}
		}
		honest(t, victim, me, theirs)
		if root := readSys(t, "br-g", "root_id"); root != readSys(t, "br-g", "bridge_id") {
			t.Errorf("a guest has become the root of the bridge's tree: %s", root)
		}

		d.virsh("net-port-delete", "g", uuidOf("port me"))
		netnstest.Wait(t, "a port without a guest is no more guarded", func() error {
			if list := guarded(t, "guarded"); len(list) != 1 {
				return fmt.Errorf("guarded: %v", list)
			}
			return nil
		})
		d.virsh("net-destroy", "g")
		if out, err := exec.CommandContext(t.Context(), "nft", "list", "table", "bridge", "virbr").CombinedOutput(); err == nil {
			t.Errorf("a stopped network left its guard:\n%s", out)
		}
	})
}

// TestGuardHonest: guests get what they may have by every honest way: leases, static
// addresses that they say first, privacy addresses, declared failover addresses, the
// exceptions of a port group. Who comes second gets nothing. All of that outlives
// virbrd, and a table that somebody deleted is back.
func TestGuardHonest(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "virsh", "dnsmasq", "nft", "busybox", "ping")
	netnstest.Run(t, func(t *testing.T) {
		d := startVirbrd(t)
		d.up("g", strings.NewReplacer("STP", "on", "GUARD", `<virbr:guard unknown='drop'><virbr:allow guest='web1' address='10.77.0.200'/>
			<virbr:allow guest='web2' address='10.77.0.200'/><virbr:allow guest='web2' address='10.99.0.0/16'/></virbr:guard>
			<virbr:guard portgroup='routers' ra='no' dhcp='no' mac='no' ip='no' stp='no' vlan='no' rate='no'/>`).Replace(guardNetwork))
		web1, web2 := tapped(t, d, "g", "br-g", "web1", ""), tapped(t, d, "g", "br-g", "web2", "")
		web1.Address(t, netip.MustParsePrefix("10.77.0.11/24"))
		web2.Address(t, netip.MustParsePrefix("10.77.0.12/24"))
		reaches(t, web1, "10.77.0.1") // nobody told of its address but itself
		reaches(t, web1, "10.77.0.12")

		web2.Run(t, "ip", "addr", "add", "10.77.0.11/24", "dev", "eth0")
		if err := pings(web2, t, "10.77.0.1", "10.77.0.11"); err == nil {
			t.Error("the second guest with an address gets answers to it")
		}
		web2.Run(t, "ip", "addr", "del", "10.77.0.11/24", "dev", "eth0")
		reaches(t, web1, "10.77.0.1")

		for _, g := range []*netnstest.Guest{web1, web2} { // failover: now this one has it, now that one
			g.Run(t, "ip", "addr", "add", "10.77.0.200/24", "dev", "eth0")
			g.Run(t, "busybox", "arping", "-U", "-c", "1", "-I", "eth0", "10.77.0.200") // as whoever takes an address over says
			if err := pings(g, t, "10.77.0.1", "10.77.0.200"); err != nil {
				t.Errorf("%s has its declared address: %v", g.Name, err)
			}
			g.Run(t, "ip", "addr", "del", "10.77.0.200/24", "dev", "eth0")
		}
		slaac(t, web1, netip.MustParsePrefix("fd00:77::/64"))
		reaches(t, web1, "fd00:77::1")
		web1.Run(t, "ip", "addr", "add", "fd00:77::abcd/64", "dev", "eth0") // as one for privacy, it asks first
		netnstest.Wait(t, "an answer to a new address", func() error { return pings(web1, t, "fd00:77::1", "fd00:77::abcd") })

		stranger := netnstest.NewGuest(t, "stranger", "br-g")
		waitGuarded(t, "stop_unknown", "vnet-stranger")
		stranger.Address(t, netip.MustParsePrefix("10.77.0.13/24"))
		if err := pings(stranger, t, "10.77.0.1"); err == nil {
			t.Error("a port of no guest gets answers with unknown='drop'")
		}
		router := tapped(t, d, "g", "br-g", "router", "<group>routers</group>")
		router.Address(t, netip.MustParsePrefix("10.77.0.14/24"))
		router.Run(t, "ip", "link", "set", "eth0", "address", "02:00:00:00:00:77")
		reaches(t, router, "10.77.0.1")

		d.kill()
		startVirbrd(t)
		if out, err := exec.CommandContext(t.Context(), "nft", "delete", "table", "bridge", "virbr").CombinedOutput(); err != nil {
			t.Fatalf("nft: %v\n%s", err, out)
		}
		waitGuarded(t, "addresses4", "10.77.0.11")
		waitGuarded(t, "addresses6", "fd00:77::abcd")
		web2.Run(t, "ip", "addr", "add", "10.77.0.11/24", "dev", "eth0")
		if err := pings(web2, t, "10.77.0.1", "10.77.0.11"); err == nil {
			t.Error("after a restart the second guest with an address gets answers to it")
		}
		reaches(t, web1, "10.77.0.1")
	})
}

// TestGuardFlood: without any words about it, a guest that fills the host's table of
// neighbours is slowed down, and one that answers as DHCP server or router is stopped.
func TestGuardFlood(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "virsh", "dnsmasq", "nft", "busybox", "ping")
	netnstest.Run(t, func(t *testing.T) {
		d := startVirbrd(t)
		d.up("g", strings.NewReplacer("STP", "on", "<virbr:network xmlns:virbr='urn:virbr:network:1'>GUARD</virbr:network>", "").Replace(guardNetwork))
		victim, me := tapped(t, d, "g", "br-g", "victim", ""), tapped(t, d, "g", "br-g", "me", "")
		waitGuarded(t, "stop_rate", "vnet-me")
		waitGuarded(t, "stop_dhcp", "vnet-victim")
		me.Address(t, netip.MustParsePrefix("10.77.0.66/24"))
		reaches(t, me, "10.77.0.1") // STP lets the port pass
		out := newCable(t, me)
		const frames = 2000
		for i := range frames {
			from := netip.AddrFrom4([4]byte{10, 77, byte(1 + i>>8), byte(i)})
			out.send(frame(broadcast, me.MAC, 0x0806, arp(1, me.MAC, from, broadcast, netip.MustParseAddr("10.77.0.1"))))
		}
		if got := guarded(t, "stop_rate")["vnet-me"]; got < frames/2 {
			t.Errorf("%d of %d frames of a flood are dropped", got, frames)
		}
		rogue := exec.Command("dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces", "--dhcp-authoritative", "--enable-ra",
			"--dhcp-range=10.77.0.160,10.77.0.170", "--dhcp-range=fd00:66::,ra-only", "--pid-file=", "--leasefile-ro", "--user=root")
		me.Run(t, "ip", "addr", "add", "fd00:66::1/64", "dev", "eth0")
		if err := me.Start(rogue); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = rogue.Process.Kill(); _ = rogue.Wait() })
		netnstest.Wait(t, "advertisements of the rogue router", func() error {
			if guarded(t, "stop_ra")["vnet-me"] == 0 {
				return fmt.Errorf("none is dropped")
			}
			return nil
		})
		if a := leased(t, victim); a.Compare(netip.MustParseAddr("10.77.0.150")) > 0 {
			t.Errorf("the victim got %s of the rogue server", a)
		}
		if routes := victim.Run(t, "ip", "-6", "route", "show"); strings.Contains(routes, lowlink(me.MAC).String()) || strings.Contains(routes, "fd00:66:") {
			t.Errorf("the victim took the rogue router's routes:\n%s", routes)
		}
		reaches(t, victim, "10.77.0.1")
	})
}

// TestGuardHook: the hook guards the ports of a network that libvirt's own daemon runs,
// where the network has extensions that ask for it.
func TestGuardHook(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft", "busybox", "ping")
	netnstest.Run(t, func(t *testing.T) {
		extendFile(t, "default", "<virbr:guard/>")
		d := startHooked(t)
		d.up("default", hookedXML)
		web1, web2 := tapped(t, d, "default", "virbr0", "web1", ""), tapped(t, d, "default", "virbr0", "web2", "")
		own := leased(t, web1)
		waitGuarded(t, "addresses4", own.String())
		reaches(t, web1, "192.168.122.1")
		web2.Address(t, netip.PrefixFrom(own, 24))
		if err := pings(web2, t, "192.168.122.1"); err == nil {
			t.Error("the second guest with an address gets answers to it")
		}
		reaches(t, web1, "192.168.122.1")
		d.virsh("net-port-delete", "default", uuidOf("port web2"))
		d.virsh("net-destroy", "default")
		netnstest.Wait(t, "the guard is gone", func() error {
			if list := guarded(t, "guarded"); list != nil {
				return fmt.Errorf("guarded: %v", list)
			}
			return nil
		})
	})
}

func leased(t *testing.T, g *netnstest.Guest) netip.Addr {
	t.Helper()
	a, err := g.DHCP(t).Address()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// setGuard replaces the extensions of the running network.
func setGuard(t *testing.T, guard string) {
	t.Helper()
	c := dial(t, socketRW, 0)
	const element, live, config = 2, 1, 2
	text := "<network>" + strings.ReplaceAll(guard, "virbr:", "") + "</network>"
	c.must(proto.NetworkSetMetadata, &proto.SetMetadataArgs{
		Network: c.lookup("g"), Type: element, Metadata: &text, Key: pointer("virbr"), URI: pointer("urn:virbr:network:1"), Flags: live | config,
	}, nil)
}

// guardAttacks sends frames and sees what of them arrives.
func guardAttacks(t *testing.T, out, in *cable, mine netip.Addr, pass, stop []attack) {
	t.Helper()
	var names []string
	for _, a := range slices.Concat(pass, stop) {
		out.send(a.frame)
		names = append(names, a.name+".")
	}
	out.send(append(frame(broadcast, out.mac, 0x0806, arp(1, out.mac, mine, broadcast, mine)), "that is all"...))
	seen := in.until("that is all", names...)
	for _, a := range pass {
		if !slices.Contains(seen, a.name+".") {
			t.Errorf("%s: it did not arrive without a guard", a.name)
		}
	}
	for _, a := range stop {
		if slices.Contains(seen, a.name+".") {
			t.Errorf("%s: it arrived", a.name)
		}
	}
}

// honest has two guests reach the host and each other.
func honest(t *testing.T, a, b *netnstest.Guest, addr netip.Addr) {
	t.Helper()
	for _, to := range []string{addr.String(), "10.77.0.1"} {
		reaches(t, b, to)
	}
	reaches(t, b, lowlink(a.MAC).String()+"%eth0")
	reaches(t, a, "fd00:77::1")
}

// reaches waits until a guest reaches an address: who is new is known a moment later.
func reaches(t *testing.T, g *netnstest.Guest, to string) {
	t.Helper()
	netnstest.Wait(t, "an answer of "+to, func() error { return pings(g, t, to) })
}
