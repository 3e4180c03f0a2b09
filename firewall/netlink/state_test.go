package netlink_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// fresh returns the table as it is with just these networks, and leaves nothing.
func fresh(t *testing.T, nets ...*firewall.Network) []string {
	t.Helper()
	nft(t, "", "flush", "ruleset")
	install(t, nets...)
	want := table(t)
	nft(t, "", "flush", "ruleset")
	return want
}

// variants are definitions of one bridge that replace each other in tests.
func variants(bridge string, n int) []*xml.Network {
	subnet := func(i, bits int) string { return fmt.Sprintf("10.%d.%d.1/%d", n, i, bits) }
	var out []*xml.Network
	add := func(change func(*xml.Network), subnets ...string) {
		def := natDef(bridge, subnets...)
		change(def)
		out = append(out, def)
	}
	v6 := fmt.Sprintf("fd00:%x::1/64", n)
	add(func(*xml.Network) {}, subnet(0, 24), v6)
	add(func(*xml.Network) {}, subnet(0, 23), v6)
	add(func(*xml.Network) {}, subnet(0, 25), subnet(128, 25))
	add(func(d *xml.Network) { d.Forward.Interfaces = []xml.ForwardInterface{{Dev: "eth0"}} }, subnet(0, 24), v6)
	add(func(d *xml.Network) { d.Forward.NAT.PortStart, d.Forward.NAT.PortEnd = 2000, 3000 }, subnet(0, 24))
	add(func(d *xml.Network) { d.Forward.NAT.IPv6 = xml.No }, subnet(0, 24), v6)
	add(func(d *xml.Network) { d.Forward = xml.Forward{Mode: xml.ForwardRoute} }, subnet(0, 24), v6)
	add(func(d *xml.Network) { d.Forward = xml.Forward{} }, subnet(0, 24))
	return out
}

// TestReplace goes from every variant to every other one: the result is as if
// the new one had come first, and chains that are in both keep their rules.
func TestReplace(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		other := compile(t, natDef("other", "192.168.5.1/24"))
		var all []*firewall.Network
		var want [][]string
		for _, def := range variants("virbr0", 1) {
			n := compile(t, def)
			all, want = append(all, n), append(want, fresh(t, n, other))
		}
		install(t, other)
		for i, from := range all {
			for j, to := range all {
				install(t, from)
				before := listing(t, true)
				install(t, to)
				if diff := cmp.Diff(want[j], table(t)); diff != "" {
					t.Errorf("%d to %d (-fresh +replaced):\n%s", i, j, diff)
				}
				after := listing(t, true)
				checkKept(t, from, to, before, after)
				checkKept(t, other, other, before, after)
			}
		}
	})
}

// checkKept holds the rules of equal chains against each other, handles too.
func checkKept(t *testing.T, from, to *firewall.Network, before, after []string) {
	t.Helper()
	for i, c := range to.Chains {
		if i >= len(from.Chains) || !reflect.DeepEqual(from.Chains[i], c) {
			continue
		}
		of := func(lines []string) (rules []string) {
			for _, line := range lines {
				if strings.HasPrefix(line, `{"rule":`) && strings.Contains(line, `"chain":"`+c.Name+`"`) {
					rules = append(rules, line)
				}
			}
			return rules
		}
		if diff := cmp.Diff(of(before), of(after)); diff != "" || len(of(after)) == 0 {
			t.Errorf("chain %q has not changed, but its rules have (-before +after):\n%s", c.Name, diff)
		}
	}
}

// TestCounters: what was counted outlives a change of another chain.
func TestCounters(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		all := variants("virbr0", 1)
		install(t, compile(t, all[0]))
		text := nft(t, "", "list", "chain", "inet", "virbr", "leave_virbr0")
		if !strings.Contains(text, "counter packets 0 bytes 0 return") {
			t.Fatalf("no counters in\n%s", text)
		}
		router(t)
		h := newHost(t, 0, "guest", func() *netnstest.Guest {
			addBridge(t, "virbr0")
			addAddress(t, "virbr0", netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64"))
			return netnstest.NewGuest(t, "guest", "virbr0")
		})
		addBridge(t, "away")
		addAddress(t, "away", netip.MustParsePrefix("192.0.2.1/24"))
		if _, err := h.knock("udp", netip.AddrPort{}, netip.MustParseAddrPort("192.0.2.2:7")); !errors.Is(err, errRejected) {
			t.Fatalf("a packet from a foreign subnet: %v", err)
		}
		counted := "counter packets 1 bytes"
		ports := natDef("virbr0", "10.1.0.1/24", "fd00:1::1/64")
		ports.Forward.NAT.PortStart, ports.Forward.NAT.PortEnd = 2000, 3000
		install(t, compile(t, ports)) // changes nat4_virbr0 and nat6_virbr0 only
		if text := nft(t, "", "list", "chain", "inet", "virbr", "leave_virbr0"); !strings.Contains(text, counted) {
			t.Errorf("the counter is gone:\n%s", text)
		}
	})
}

// tampering is what others may do to our table.
var tampering = map[string]string{
	"nothing":            "",
	"flush ruleset":      "flush ruleset",
	"flush table":        "flush table inet virbr",
	"flush chain":        "flush chain inet virbr leave_virbr0",
	"flush nat":          "flush chain inet virbr nat4_virbr0",
	"flush base":         "flush chain inet virbr forward",
	"rule in base":       "insert rule inet virbr forward accept",
	"rule in chain":      "insert rule inet virbr enter_virbr0 accept",
	"no element":         "delete element inet virbr leave { \"virbr0\" }",
	"no subnet":          "delete element inet virbr nat4 { 10.1.0.0/24 }",
	"no elements":        "flush map inet virbr leave; flush map inet virbr enter; flush map inet virbr nat4; flush map inet virbr nat6",
	"no chain":           "delete element inet virbr enter { \"virbr0\" }; delete chain inet virbr enter_virbr0",
	"no base":            "delete chain inet virbr forward",
	"no map":             "flush chain inet virbr forward; delete map inet virbr leave",
	"more subnets":       "add element inet virbr nat4 { 172.20.0.0/16 : jump nat4_virbr0 }",
	"another's device":   "add element inet virbr leave { \"eth7\" : jump leave_virbr0 }",
	"subnet moved":       "delete element inet virbr nat4 { 10.1.0.0/24 }; add element inet virbr nat4 { 10.1.0.0/25 : jump nat4_virbr0 }",
	"reloaded from text": "", // see TestTampering
}

// TestTampering: whatever others did, Install makes our table whole where that
// is about the network at hand, and Remove leaves nothing behind.
func TestTampering(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		n := compile(t, variants("virbr0", 1)[0])
		wider := compile(t, variants("virbr0", 1)[1])
		for name, script := range tampering {
			tamper := func() {
				nft(t, "", "flush", "ruleset")
				install(t, n)
				if name == "reloaded from text" {
					script = "flush ruleset\n" + n.String()
				}
				nft(t, strings.ReplaceAll(script, "; ", "\n"), "-f", "-")
			}
			for what, to := range map[string]*firewall.Network{"same": n, "changed": wider} {
				want := fresh(t, to)
				tamper()
				if err := netlink.Install(open(t), to); err != nil {
					t.Errorf("%s, installing %s: %v", name, what, err)
				}
				got := table(t)
				extra := name == "more subnets" || name == "another's device"
				if diff := cmp.Diff(want, got); diff != "" && !extra {
					t.Errorf("%s, installed %s (-want +got):\n%s", name, what, diff)
				}
			}
			tamper()
			remove(t, "virbr0")
			if got := table(t); got != nil {
				t.Errorf("%s: removing left %q", name, got)
			}
			remove(t, "virbr0")
		}
	})
}

// TestRemoveTampered: the same beside another network, where the table stays.
func TestRemoveTampered(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		n := compile(t, variants("virbr0", 1)[0])
		other := compile(t, variants("virbr1", 2)[0])
		want := fresh(t, other)
		for name, script := range tampering {
			if strings.Contains(script, "flush") || strings.Contains(script, "base") || name == "no base" || name == "reloaded from text" {
				continue // hurts the other network too
			}
			nft(t, "", "flush", "ruleset")
			install(t, n, other)
			nft(t, strings.ReplaceAll(script, "; ", "\n"), "-f", "-")
			remove(t, "virbr0")
			install(t, other)
			if diff := cmp.Diff(want, table(t)); diff != "" {
				t.Errorf("%s, then removed (-want +got):\n%s", name, diff)
			}
		}
	})
}

// TestForeignChain: our table is not deleted while somebody else uses it.
func TestForeignChain(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		install(t, compile(t, natDef("virbr0", "10.0.0.1/24")))
		nft(t, "", "add", "chain", "inet", "virbr", "mine")
		remove(t, "virbr0")
		text := nft(t, "", "list", "table", "inet", "virbr")
		if !strings.Contains(text, "chain mine") || strings.Contains(text, "virbr0") {
			t.Errorf("after removing:\n%s", text)
		}
	})
}

// TestConflict: a batch that the kernel refuses changes nothing.
func TestConflict(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		conn := open(t)
		a, b := compile(t, natDef("virbr0", "10.0.0.1/8")), compile(t, natDef("virbr1", "10.5.0.1/24"))
		if err := netlink.Install(conn, a); err != nil {
			t.Fatal(err)
		}
		before := listing(t, true)
		if err := netlink.Install(conn, compile(t, natDef("virbr2", "10.1.0.1/8")), b); err == nil {
			t.Error("overlapping subnets were installed")
		}
		if diff := cmp.Diff(before, listing(t, true)); diff != "" {
			t.Errorf("a refused batch left traces (-before +after):\n%s", diff)
		}
		if err := netlink.Install(conn, a); err != nil {
			t.Errorf("after an error: %v", err)
		}
		broken := *b
		broken.Chains = slices.Clone(b.Chains)
		broken.Chains[0].Name = "forward"
		if err := netlink.Install(conn, &broken); err == nil {
			t.Error("a network that claims a chain of others was installed")
		}
	})
}

// TestMany installs 300 networks in one batch and one by one, and removes them.
func TestMany(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		const count = 300
		conn := open(t)
		var nets []*firewall.Network
		for i := range count {
			nets = append(nets, compile(t, natDef(fmt.Sprintf("virbr%d", i), fmt.Sprintf("10.%d.%d.1/24", i/250, i%250), fmt.Sprintf("fd00:%x::1/64", i))))
		}
		if err := netlink.Install(conn, nets...); err != nil {
			t.Fatal(err)
		}
		want := table(t)
		nft(t, "", "flush", "ruleset")
		var all sync.WaitGroup
		for _, n := range nets {
			all.Go(func() {
				if err := netlink.Install(conn, n); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if diff := cmp.Diff(want, table(t)); diff != "" {
			t.Errorf("one batch and many differ (-one +many):\n%s", diff)
		}
		if got, err := netlink.List(conn); err != nil || len(got) != count || !slices.Contains(got, "virbr299") {
			t.Errorf("List: %d bridges, %v", len(got), err)
		}
		for _, n := range nets {
			if err := netlink.Remove(conn, n.Bridge); err != nil {
				t.Fatal(err)
			}
		}
		if got := nft(t, "", "list", "ruleset"); got != "" {
			t.Errorf("removing all left\n%s", got)
		}
		if got, err := netlink.List(conn); err != nil || len(got) != 0 {
			t.Errorf("List of nothing: %q, %v", got, err)
		}
	})
}

// TestSequences: whatever networks come, change and go, in the end the table is
// as if only the last ones had ever been there.
func TestSequences(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		for round := range 8 {
			now := map[string]*firewall.Network{}
			nft(t, "", "flush", "ruleset")
			var steps []string
			for range 30 {
				n := random.IntN(5)
				bridge := fmt.Sprintf("virbr%d", n)
				if random.IntN(3) == 0 {
					remove(t, bridge)
					delete(now, bridge)
					steps = append(steps, "remove "+bridge)
					continue
				}
				all := variants(bridge, n)
				v := random.IntN(len(all))
				now[bridge] = compile(t, all[v])
				install(t, now[bridge])
				steps = append(steps, fmt.Sprintf("install %s variant %d", bridge, v))
			}
			got := table(t)
			if diff := cmp.Diff(fresh(t, slices.Collect(maps.Values(now))...), got); diff != "" {
				t.Fatalf("round %d: %s\n(-fresh +got):\n%s", round, strings.Join(steps, ", "), diff)
			}
		}
	})
}

// TestNoGap sends to where nothing may go while the rules are replaced time and
// again: no packet gets through.
func TestNoGap(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		hosts := lab(t)
		from, to := pick(t, hosts, "nat-dev"), pick(t, hosts, "up1")
		var packets net.PacketConn
		err := to.guest.Do(func() (err error) { packets, err = net.ListenPacket("udp4", ":9"); return err })
		if err != nil {
			t.Fatal(err)
		}
		var client net.Conn
		err = from.guest.Do(func() (err error) {
			client, err = net.Dial("udp4", netip.AddrPortFrom(to.ip4, 9).String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		sent := make(chan int)
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					sent <- n
					return
				default:
					_, _ = client.Write([]byte("?"))
				}
			}
		}()
		def := networks()[2]
		def.Bridge.Name = "br-" + def.Name
		conn := open(t)
		for i := range 100 {
			def.IPs = []xml.IP{{Address: from.gateway4, Prefix: 24}}
			if i%2 == 0 {
				def.IPs = append(def.IPs, xml.IP{Address: netip.MustParseAddr("172.16.0.1"), Prefix: 24})
			}
			if err := netlink.Install(conn, compile(t, def)); err != nil {
				t.Error(err)
			}
		}
		close(stop)
		n := <-sent
		_ = client.Close()
		_ = packets.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if size, _, err := packets.ReadFrom(make([]byte, 16)); err == nil {
			t.Errorf("of %d packets one of %d bytes got through", n, size)
		}
		_ = packets.Close()
		if n < 100 {
			t.Errorf("only %d packets were sent", n)
		}
	})
}
