package e2e

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// lifetimes returns the valid and the preferred lifetime with which a router
// advertisement has a prefix, in rdisc6's words; "" if it is not there.
func lifetimes(advertisement, prefix string) string {
	m := regexp.MustCompile(`Prefix +: ` + regexp.QuoteMeta(prefix) + `\n.*\n.*\n +Valid time +: +(\w+) .*\n +Pref. time +: +(\w+) `).FindStringSubmatch(advertisement)
	if m == nil {
		return ""
	}
	return m[1] + " " + m[2]
}

// TestRenumbering: guests of a network with a prefix of the pool move to another
// one when the pool changes: the former is deprecated, works on, and goes when its
// time is up.
func TestRenumbering(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "rdisc6")
		out := newOutside(t)
		conf := t.TempDir() + "/virbrd.conf"
		write(t, conf, `prefix_pool = [ "2001:db8:100::/56" ]`)
		d := startVirbrd(t, "--virbrd-config", conf)
		d.up("routed", strings.Replace(routedXML, "2001:db8:31::/64", "auto", 1))
		former, next := netip.MustParsePrefix("2001:db8:100::/64"), netip.MustParsePrefix("2001:db8:200::/64")
		out.Route(t, former, netip.MustParseAddr(uplink6))
		out.Route(t, next, netip.MustParseAddr(uplink6))
		g := netnstest.NewGuest(t, "g", "virbr1")
		old := slaac(t, g, former)

		write(t, conf, `prefix_pool = [ "2001:db8:200::/56" ]`)
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		fresh := slaac(t, g, next)
		netnstest.Wait(t, "the former prefix is advertised as deprecated", func() error {
			ra := g.Run(t, "rdisc6", "-1", "eth0")
			if a, b := lifetimes(ra, former.String()), lifetimes(ra, next.String()); a != "1800 0" || b != "5400 5400" {
				return fmt.Errorf("lifetimes %q and %q:\n%s", a, b, ra)
			}
			return nil
		})
		netnstest.Wait(t, "the guest's former address is deprecated", func() error {
			if addrs := g.Run(t, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "deprecated"); !strings.Contains(addrs, old.String()) {
				return fmt.Errorf("it has\n%s", addrs)
			}
			return nil
		})
		if got := hears(t, out, g, outside6); got != fresh.String() {
			t.Errorf("the guest now sends from %s, want %s", got, fresh)
		}
		if err := pings(g, t, outside6, old.String()); err != nil {
			t.Errorf("from the former address: %v", err)
		}
		if err := pings(g, t, uplink6, fresh.String()); err != nil {
			t.Error(err)
		}
		if got := run(t, "ip", "-6", "-o", "addr", "show", "dev", "virbr1", "deprecated"); !strings.Contains(got, "2001:db8:100::1/64") {
			t.Errorf("deprecated on the bridge: %q", got)
		}
		d.stop()
		file := run(t, "sh", "-c", "echo /var/lib/virbr/networks/*.json")
		run(t, "sed", "-i", `s/"until": *[0-9]*/"until": 1/`, strings.TrimSpace(file))
		d = startVirbrd(t, "--virbrd-config", conf)
		netnstest.Wait(t, "the former prefix is gone", func() error {
			if got := run(t, "ip", "-6", "-o", "addr", "show", "dev", "virbr1", "scope", "global"); strings.Contains(got, "2001:db8:100::") {
				return fmt.Errorf("the bridge has\n%s", got)
			}
			return nil
		})
		if got := d.virsh("net-dumpxml", "routed"); !strings.Contains(got, "<ipv6 advprefix='2001:db8:200::/64' from='auto'/>") {
			t.Errorf("live XML:\n%s", got)
		}
	})
}

// TestPrefixChangedByHand: who writes another prefix into a running network's metadata
// moves its guests as a changed pool does, and who takes the last one away leaves them
// neither an address nor a router that lead nowhere. The change is what virsh
// net-metadata makes.
func TestPrefixChangedByHand(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "rdisc6")
		out := newOutside(t)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		d := startVirbrd(t)
		written := func(prefix string) string { return "<ipv6 advprefix='" + prefix + "'/>" }
		d.up("routed", strings.Replace(strings.Replace(routedXML, "  <ipv6 advprefix='2001:db8:31::/64'/>\n", "", 1), "</uuid>",
			"</uuid><metadata><virbr:network xmlns:virbr='"+xml.Namespace+"'><virbr:ipv6 advprefix='2001:db8:31::/64'/></virbr:network></metadata>", 1))
		former, next := netip.MustParsePrefix("2001:db8:31::/64"), netip.MustParsePrefix("2001:db8:32::/64")
		for _, p := range []netip.Prefix{former, next} {
			out.Route(t, p, netip.MustParseAddr(uplink6))
		}
		c := dial(t, socketRW, 0)
		network := c.lookup("routed")
		set := func(content string) {
			t.Helper()
			text := "<network>" + content + "</network>"
			c.must(proto.NetworkSetMetadata, &proto.SetMetadataArgs{
				Network: network, Type: 2, Metadata: &text, Key: pointer("virbr"), URI: pointer(xml.Namespace), Flags: 1}, nil)
		}
		g := netnstest.NewGuest(t, "g", "virbr1")
		old := slaac(t, g, former)
		deprecated := func(a netip.Addr) {
			t.Helper()
			netnstest.Wait(t, fmt.Sprintf("%s is deprecated", a), func() error {
				if addrs := g.Run(t, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "deprecated"); !strings.Contains(addrs, a.String()) {
					return fmt.Errorf("deprecated are\n%s", addrs)
				}
				return nil
			})
		}

		set(written("2001:db8:32::/64"))
		fresh := slaac(t, g, next)
		deprecated(old)
		if got := hears(t, out, g, outside6); got != fresh.String() {
			t.Errorf("the guest now sends from %s, want %s", got, fresh)
		}
		if err := pings(g, t, outside6, old.String()); err != nil {
			t.Errorf("from the former address: %v", err)
		}
		if got := d.virsh("net-dumpxml", "routed"); !strings.Contains(got, "<deprecated address='2001:db8:31::1/64'/>") {
			t.Errorf("live XML:\n%s", got)
		}

		file := strings.TrimSpace(run(t, "sh", "-c", "echo /var/lib/virbr/networks/*.json"))
		run(t, "sed", "-i", `s/"until": *[0-9]*/"until": 1/`, file)
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		netnstest.Wait(t, "the former prefix is gone", func() error {
			if got := run(t, "ip", "-6", "-o", "addr", "show", "dev", "virbr1", "scope", "global"); strings.Contains(got, "2001:db8:31::") {
				return fmt.Errorf("the bridge has\n%s", got)
			}
			return nil
		})

		set("")
		deprecated(fresh)
		netnstest.Wait(t, "the guest has no router", func() error {
			if routes := g.Run(t, "ip", "-6", "route", "show", "default"); routes != "" {
				return fmt.Errorf("it has\n%s", routes)
			}
			return nil
		})
	})
}
