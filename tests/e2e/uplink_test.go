package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/topology"
)

// far4 and far6 are somewhere in the Internet: each way out leads to a host that has
// them, and says which one it is.
const (
	far4 = "198.18.0.1"
	far6 = "2001:db8:fa::1"
)

// wayOut is a link of the host by which the Internet is reached.
type wayOut struct {
	*netnstest.Guest
	link           string
	host4, router4 string
	host6, router6 string
}

// newWayOut makes one: a link with a host behind it, which answers at far4 and far6.
func newWayOut(t *testing.T, link string, n int) *wayOut {
	t.Helper()
	w := &wayOut{
		link:  link,
		host4: fmt.Sprintf("203.0.%d.2", n), router4: fmt.Sprintf("203.0.%d.1", n),
		host6: fmt.Sprintf("2001:db8:%d::2", n), router6: fmt.Sprintf("2001:db8:%d::1", n),
	}
	w.Guest = netnstest.NewOutside(t, "world-"+link, link, netip.MustParsePrefix(w.host4+"/24"), netip.MustParsePrefix(w.router4+"/24"))
	w.Run(t, "ip", "addr", "add", w.router6+"/64", "dev", "eth0", "nodad")
	run(t, "ip", "addr", "add", w.host6+"/64", "dev", link, "nodad")
	w.Run(t, "ip", "addr", "add", far4+"/32", "dev", "lo")
	w.Run(t, "ip", "addr", "add", far6+"/128", "dev", "lo", "nodad")
	tellsCaller(t, w.Guest, ":80")
	return w
}

// defaults gives the host default routes by it; none in which the table is "".
func (w *wayOut) defaults(t *testing.T, action string, more ...string) {
	t.Helper()
	run(t, "ip", append([]string{"route", action, "default", "via", w.router4, "dev", w.link}, more...)...)
	run(t, "ip", append([]string{"-6", "route", action, "default", "via", w.router6, "dev", w.link}, more...)...)
}

// spy counts what the guests of a bridge send by each of some links, in both families.
func spy(t *testing.T, bridges []string, ways ...*wayOut) {
	t.Helper()
	script := "table inet spy {\n"
	rules := ""
	for _, bridge := range bridges {
		for _, w := range ways {
			rules += fmt.Sprintf("\t\tiifname %q oifname %q icmpv6 type != { nd-neighbor-solicit, nd-neighbor-advert } counter comment \"%s-%s\"\n", bridge, w.link, bridge, w.link)
			rules += fmt.Sprintf("\t\tiifname %q oifname %q meta nfproto ipv4 counter comment \"%s-%s\"\n", bridge, w.link, bridge, w.link)
		}
	}
	script += "\tchain count {\n\t\ttype filter hook postrouting priority 0; policy accept;\n" + rules + "\t}\n}\n"
	cmd := exec.CommandContext(t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, script)
	}
}

// sent returns how many packets of a bridge's guests left by a link.
func sent(t *testing.T, bridge string, w *wayOut) int {
	t.Helper()
	count := 0
	for line := range strings.Lines(run(t, "nft", "list", "chain", "inet", "spy", "count")) {
		if _, rest, _ := strings.Cut(line, "packets "); strings.Contains(line, strconv.Quote(bridge+"-"+w.link)) {
			n, err := strconv.Atoi(strings.Fields(rest + " -")[0])
			if err != nil {
				t.Fatal(err, line)
			}
			count += n
		}
	}
	return count
}

const uplinkXML = `<network><name>NAME</name><metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>UPLINKS</virbr:network></metadata>
<forward mode='nat'><nat ipv6='yes'/></forward><bridge name='BRIDGE' stp='off'/>
<ip address='10.SUBNET.0.1' prefix='24'><dhcp><range start='10.SUBNET.0.2' end='10.SUBNET.0.99'/></dhcp></ip>
<ip family='ipv6' address='fd00:SUBNET::1' prefix='64'><dhcp><range start='fd00:SUBNET::100' end='fd00:SUBNET::1ff'/></dhcp></ip></network>`

func uplinkNetwork(name, bridge, subnet, uplinks string) string {
	return strings.NewReplacer("NAME", name, "BRIDGE", bridge, "SUBNET", subnet, "UPLINKS", uplinks).Replace(uplinkXML)
}

// hammer has a guest send all the time, in both families, until stop is called.
func hammer(t *testing.T, g *netnstest.Guest) (stop func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	for _, to := range []string{far4, far6} {
		cmd := exec.CommandContext(ctx, "ping", "-n", "-q", "-i", "0.02", to)
		if err := g.Start(cmd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(); _ = cmd.Wait() })
	}
	return stop
}

// refused wants a guest to be told at once that there is no way out, in both families.
func refused(t *testing.T, g *netnstest.Guest) {
	t.Helper()
	for _, far := range []string{far4, far6} {
		to := netip.AddrPortFrom(netip.MustParseAddr(far), 80).String()
		netnstest.Wait(t, "guest "+g.Name+" is refused", func() error {
			if got := calls(g, to); !strings.Contains(got, "no route to host") && !strings.Contains(got, "unreachable") {
				return fmt.Errorf("%s answers %q", to, got)
			}
			return nil
		})
	}
}

// leaves wants a guest to reach the Internet by a way out, in both families; nil: not at
// all.
func leaves(t *testing.T, when string, g *netnstest.Guest, by *wayOut) {
	t.Helper()
	for far, own := range map[string]func(*wayOut) string{
		far4: func(w *wayOut) string { return w.host4 }, far6: func(w *wayOut) string { return w.host6 },
	} {
		to := netip.AddrPortFrom(netip.MustParseAddr(far), 80).String()
		if by != nil {
			wantCall(t, when+": guest "+g.Name, g, to, by.Name+" "+own(by))
			continue
		}
		netnstest.Wait(t, when+": guest "+g.Name+" reaches nobody", func() error {
			if pings(g, t, far) == nil {
				return fmt.Errorf("%s answers", far)
			}
			return nil
		})
	}
}

// TestUplinks: the guests of three networks leave by three ways out: two providers and a
// tunnel that has its default route in a table of its own, as wg-quick makes it. Each is
// taken down in turn, and comes back, while guests send all the time: no packet of theirs
// leaves by a link that is not theirs, in neither family; one network has a second uplink
// to fall back to.
func TestUplinks(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		alpha, beta, tunnel := newWayOut(t, "alpha", 1), newWayOut(t, "beta", 2), newWayOut(t, "tun9", 3)
		alpha.defaults(t, "add", "metric", "100")
		beta.defaults(t, "add", "metric", "200")
		tunnel.defaults(t, "add", "table", "51820")
		for _, family := range []string{"-4", "-6"} {
			run(t, "ip", family, "rule", "add", "not", "fwmark", "51820", "table", "51820")
			run(t, "ip", family, "rule", "add", "table", "main", "suppress_prefixlength", "0")
		}
		d := startVirbrd(t)
		d.up("one", uplinkNetwork("one", "br-one", "91", "<virbr:uplink dev='tun9'/>"))
		d.up("two", uplinkNetwork("two", "br-two", "92", "<virbr:uplink dev='beta'/><virbr:uplink dev='alpha'/>"))
		d.up("three", uplinkNetwork("three", "br-three", "93", ""))
		mustVirbr(t, "uplink", "add", "three", "alpha")
		ways := []*wayOut{alpha, beta, tunnel}
		spy(t, []string{"br-one", "br-two", "br-three"}, ways...)
		one, _, _ := addressedBy(t, "one", "br-one", far6)
		two, _, _ := addressedBy(t, "two", "br-two", far6)
		three, _, _ := addressedBy(t, "three", "br-three", far6)
		leaves(t, "at first", one, tunnel)
		leaves(t, "at first", two, beta)
		leaves(t, "at first", three, alpha)
		var stops []func()
		for _, g := range []*netnstest.Guest{one, two, three} {
			stops = append(stops, hammer(t, g))
		}

		// A wg-quick that comes later gets ahead of all rules.
		for _, family := range []string{"-4", "-6"} {
			run(t, "ip", family, "rule", "add", "not", "fwmark", "51821", "table", "51820")
		}
		// down and back take away and give back what a way out needs.
		for _, how := range []struct {
			name       string
			down, back func(w *wayOut)
		}{
			{"link down", func(w *wayOut) { run(t, "ip", "link", "set", w.link, "down") }, func(w *wayOut) {
				run(t, "ip", "link", "set", w.link, "up")
				run(t, "ip", "addr", "replace", w.host6+"/64", "dev", w.link, "nodad")
				w.again(t)
			}},
			{"no carrier", func(w *wayOut) { w.Run(t, "ip", "link", "set", "eth0", "down") }, func(w *wayOut) {
				w.Run(t, "ip", "link", "set", "eth0", "up")
				w.Run(t, "ip", "addr", "replace", w.router6+"/64", "dev", "eth0", "nodad")
			}},
			{"no default route", func(w *wayOut) { w.forget(t) }, func(w *wayOut) { w.again(t) }},
		} {
			for _, c := range []struct {
				way             *wayOut
				one, two, three *wayOut
			}{{tunnel, nil, beta, alpha}, {beta, tunnel, alpha, alpha}, {alpha, tunnel, beta, nil}} {
				when := c.way.link + ": " + how.name
				how.down(c.way)
				leaves(t, when, one, c.one)
				leaves(t, when, two, c.two)
				leaves(t, when, three, c.three)
				how.back(c.way)
				leaves(t, when+", and back", one, tunnel)
				leaves(t, when+", and back", two, beta)
				leaves(t, when+", and back", three, alpha)
			}
		}
		for bridge, others := range map[string][]*wayOut{"br-one": {alpha, beta}, "br-two": {tunnel}, "br-three": {beta, tunnel}} {
			for _, w := range others {
				if n := sent(t, bridge, w); n != 0 {
					t.Errorf("%d packets of %s left by %s", n, bridge, w.link)
				}
			}
		}
		for bridge, w := range map[string]*wayOut{"br-one": tunnel, "br-two": beta, "br-three": alpha} {
			if n := sent(t, bridge, w); n == 0 {
				t.Errorf("no packet of %s was counted on %s", bridge, w.link)
			}
		}
		for _, stop := range stops {
			stop()
		}
		tunnel.forget(t)
		refused(t, one) // at once, now that it does not ask for more answers than the kernel gives in a second
		if text := mustVirbr(t, "uplink", "list", "one"); !strings.Contains(text, "cannot carry: there is no IPv4 default route by tun9") {
			t.Errorf("uplink list:\n%s", text)
		}
		if text := mustVirbr(t, "status", "one"); !strings.Contains(text, "IPv4 not by tun9: there is no IPv4 default route by tun9") {
			t.Errorf("status one:\n%s", text)
		}
		if text := mustVirbr(t, "status", "two"); !regexp.MustCompile(`IPv4 leaves by beta via \S+ since \d{4}-`).MatchString(text) || !strings.Contains(text, "could leave by alpha") {
			t.Errorf("status two:\n%s", text)
		}
		exits := graphOf(t, "status", "two").Networks[0].Exits
		if i := slices.IndexFunc(exits, func(e topology.Exit) bool { return e.Used }); i < 0 || exits[i].Link != "beta" || exits[i].Since == nil || exits[i].Gateway == nil {
			t.Errorf("status two: %+v", exits)
		}
		if text := mustVirbr(t, "uplink", "list", "two"); !strings.Contains(text, "guests leave by it since") || !strings.Contains(text, "can carry, another is before it") {
			t.Errorf("uplink list:\n%s", text)
		}
		mustVirbr(t, "uplink", "remove", "three", "alpha")
		run(t, "ip", "rule", "del", "table", "51820") // the two of the VPN that stays
		for _, n := range []string{"one", "two", "three"} {
			d.virsh("net-destroy", n)
		}
		for _, family := range []string{"-4", "-6"} {
			if text := run(t, "ip", family, "rule") + run(t, "ip", family, "route", "show", "table", "all"); strings.Contains(text, "118") {
				t.Errorf("what stays behind:\n%s", text)
			}
		}
	})
}

// again gives the host the default routes by a way out that TestUplinks gave it.
func (w *wayOut) again(t *testing.T) {
	t.Helper()
	w.defaults(t, "replace", w.where()...)
}

func (w *wayOut) forget(t *testing.T) {
	t.Helper()
	w.defaults(t, "del", w.where()...)
}

func (w *wayOut) where() []string {
	return map[string][]string{"alpha": {"metric", "100"}, "beta": {"metric", "200"}, "tun9": {"table", "51820"}}[w.link]
}

// vpnRules are what VPNs make of the rules of routing when they catch everything, in the
// order in which they add them; tun9 stands for the tunnel. Sources: wg-quick(8) and its
// linux.bash (add_default), tailscale's router_linux.go (ipRules) with an exit node,
// mullvadvpn-app's talpid-core (routing/unix/linux.rs), NordVPN's routes/ifgroups and
// norule packages, Proton VPN's NetworkManager connections (wireguard.ip4-auto-default-route).
var vpnRules = map[string][]string{
	"wg-quick":  {"route add default dev tun9 table 51820", "rule add not fwmark 51820 table 51820", "rule add table main suppress_prefixlength 0"},
	"Tailscale": {"route add default dev tun9 table 52", "rule add pref 5210 fwmark 0x80000/0xff0000 table main", "rule add pref 5230 fwmark 0x80000/0xff0000 table default", "rule add pref 5250 fwmark 0x80000/0xff0000 type unreachable", "rule add pref 5270 table 52"},
	"Mullvad":   {"route add default dev tun9 table 1836018789", "rule add table main suppress_prefixlength 0", "rule add not fwmark 0x6d6f6c65 table 1836018789"},
	"NordVPN":   {"route add default dev tun9 table 205", "rule add pref 32764 not fwmark 0xe1f1 table 205", "rule add pref 32763 table main suppress_prefixlength 0"},
	"Proton":    {"route add default dev tun9 table 53820", "rule add pref 31648 table main suppress_prefixlength 0", "rule add pref 31649 not fwmark 53820 table 53820"},
	// OpenVPN's redirect-gateway def1 needs no rule: two halves of everything.
	"OpenVPN": {"route add 0.0.0.0/1 dev tun9", "route add 128.0.0.0/1 dev tun9"},
}

// TestAnswers: on a host with two providers a connection to a forward is answered by the
// provider that it came in by, in both families, and however a VPN, which comes later or
// was there before, catches everything; guests are found although it catches the host's
// own packets to them, too. What somebody deletes of the rules comes back.
func TestAnswers(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		alpha, beta, tunnel := newWayOut(t, "alpha", 1), newWayOut(t, "beta", 2), newWayOut(t, "tun9", 3)
		alpha.defaults(t, "add", "metric", "100")
		beta.defaults(t, "add", "metric", "200")
		run(t, "sysctl", "-w", "net.ipv4.conf.all.rp_filter=1")
		d := startVirbrd(t)
		d.up("one", uplinkNetwork("one", "br-one", "91", ""))
		g, v4, _ := addressedBy(t, "g", "br-one", far6)
		tellsCaller(t, g, ":80")
		mustVirbr(t, "forward", "add", "one", "8080:80", "g")
		answered := func(when string) {
			t.Helper()
			for _, w := range []*wayOut{alpha, beta} {
				// From far away: the answer follows no route of the main table but a default one.
				for to, from := range map[string]string{w.host4 + ":8080": far4, "[" + w.host6 + "]:8080": far6} {
					netnstest.Wait(t, when+": "+w.Name+" reaches the guest", func() error {
						if got := callsFrom(w.Guest, to, from); got != "g "+from {
							return fmt.Errorf("%s answers %q", to, got)
						}
						return nil
					})
				}
			}
			netnstest.Wait(t, when+": the host reaches the guest", func() error {
				if got := calls(nil, netip.AddrPortFrom(v4, 80).String()); got != "g 10.91.0.1" {
					return fmt.Errorf("it answers %q", got)
				}
				return nil
			})
		}
		answered("two providers")
		for _, name := range []string{"wg-quick", "Tailscale", "Mullvad", "NordVPN", "Proton", "OpenVPN"} {
			for _, line := range vpnRules[name] {
				run(t, "ip", strings.Fields(line)...)
				if !strings.Contains(line, "/1 ") {
					run(t, "ip", append([]string{"-6"}, strings.Fields(line)...)...)
				}
			}
			answered(name)
			for _, line := range vpnRules[name] {
				words := strings.Fields(strings.Replace(line, " add ", " del ", 1))
				run(t, "ip", words...)
				if !strings.Contains(line, "/1 ") {
					run(t, "ip", append([]string{"-6"}, words...)...)
				}
			}
		}
		_ = tunnel

		// Somebody deletes all of ours.
		for _, family := range []string{"-4", "-6"} {
			run(t, "ip", family, "rule", "flush", "proto", "118")
			run(t, "ip", family, "route", "flush", "table", "118000")
			netnstest.Wait(t, "the rules are back", func() error {
				text := run(t, "ip", family, "rule")
				const answers = 3 // the main table's routes first, then a rule for each provider
				if !strings.Contains(text, "lookup 118000") || strings.Count(text, "fwmark 0x5a") != answers || run(t, "ip", family, "route", "show", "table", "118000") == "" {
					return fmt.Errorf("there are %s", text)
				}
				return nil
			})
		}
		answered("after they were deleted")
		beta.defaults(t, "del", "metric", "200")
		netnstest.Wait(t, "with one way out there are no rules", func() error {
			if text := run(t, "ip", "rule") + run(t, "ip", "-6", "rule"); strings.Contains(text, "118") {
				return fmt.Errorf("there are %s", text)
			}
			return nil
		})
	})
}

// callsFrom is calls from one of a guest's own addresses.
func callsFrom(from *netnstest.Guest, to, source string) string {
	var text string
	err := from.Do(func() error {
		c, err := (&net.Dialer{Timeout: 3 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).Dial("tcp", to)
		if err != nil {
			return err
		}
		defer c.Close() //nolint:errcheck // it was read
		_ = c.SetDeadline(time.Now().Add(3 * time.Second))
		data, err := io.ReadAll(c)
		text = string(data)
		return err
	})
	if err != nil {
		return err.Error()
	}
	return text
}

// TestHookUplink: guests of Debian's libvirtd leave by an uplink and by nothing else, by
// the hook and its agent: to a second uplink when the first is gone, and back; what
// libvirtd routes otherwise is as before when the network is gone.
func TestHookUplink(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
		alpha, beta := newWayOut(t, "alpha", 1), newWayOut(t, "beta", 2)
		alpha.defaults(t, "add", "metric", "100")
		beta.defaults(t, "add", "metric", "200")
		extendFile(t, "default", "<virbr:uplink dev='beta'/>")
		d := startHooked(t)
		d.up("default", hookedXML)
		spy(t, []string{"virbr0"}, alpha, beta)
		g := netnstest.NewGuest(t, "g", "virbr0")
		if _, err := g.DHCP(t).Address(); err != nil {
			t.Fatal(err)
		}
		to := netip.AddrPortFrom(netip.MustParseAddr(far4), 80).String()
		wantCall(t, "by beta", g, to, beta.Name+" "+beta.host4)
		if text := mustVirbr(t, "uplink", "list", "default"); !strings.Contains(text, "guests leave by it since") || !strings.Contains(text, "cannot carry: there is no IPv6 default route") && !strings.Contains(text, beta.router6) {
			t.Errorf("uplink list:\n%s", text)
		}
		beta.forget(t)
		netnstest.Wait(t, "the guest reaches nobody", func() error {
			if pings(g, t, far4) == nil {
				return fmt.Errorf("%s answers", far4)
			}
			return nil
		})
		refusedBy4(t, g)
		beta.again(t)
		wantCall(t, "by beta again", g, to, beta.Name+" "+beta.host4)
		run(t, "ip", "rule", "flush", "proto", "118")
		netnstest.Wait(t, "the agent restores the rules", func() error {
			if text := run(t, "ip", "rule"); !strings.Contains(text, "iif virbr0 lookup 1181") {
				return fmt.Errorf("there are %s", text)
			}
			return nil
		})
		wantCall(t, "by beta after that", g, to, beta.Name+" "+beta.host4)
		if n := sent(t, "virbr0", alpha); n != 0 {
			t.Errorf("%d packets left by alpha", n)
		}
		mustVirbr(t, "uplink", "add", "default", "alpha")
		beta.forget(t)
		wantCall(t, "by alpha", g, to, alpha.Name+" "+alpha.host4)
		beta.again(t)
		wantCall(t, "by beta once more", g, to, beta.Name+" "+beta.host4)
		d.virsh("net-destroy", "default")
		nothingAdded(t)
		for _, family := range []string{"-4", "-6"} {
			if text := run(t, "ip", family, "rule") + run(t, "ip", family, "route", "show", "table", "all"); strings.Contains(text, "118") {
				t.Errorf("what stays behind:\n%s", text)
			}
		}
	})
}

// refusedBy4 wants a guest to be told at once that there is no way out for IPv4.
func refusedBy4(t *testing.T, g *netnstest.Guest) {
	t.Helper()
	to := netip.AddrPortFrom(netip.MustParseAddr(far4), 80).String()
	netnstest.Wait(t, "guest "+g.Name+" is refused", func() error {
		if got := calls(g, to); !strings.Contains(got, "no route to host") && !strings.Contains(got, "unreachable") {
			return fmt.Errorf("%s answers %q", to, got)
		}
		return nil
	})
}
