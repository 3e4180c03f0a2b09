package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// The world outside of a test's host: one host with an address of each family,
// on a cable to the test's namespace.
const (
	outside4 = "203.0.113.2"
	outside6 = "2001:db8:ffff::2"
	uplink4  = "203.0.113.1"
	uplink6  = "2001:db8:ffff::1"
)

// newOutside makes the outside host. It routes the guests' public prefixes
// back, as a provider's router would; private ones it does not know.
func newOutside(t *testing.T) *netnstest.Guest {
	t.Helper()
	out := netnstest.NewOutside(t, "outside", "uplink",
		netip.MustParsePrefix(uplink4+"/24"), netip.MustParsePrefix(outside4+"/24"))
	out.Address(t, netip.MustParsePrefix(outside6+"/64"))
	run(t, "ip", "addr", "add", uplink6+"/64", "dev", "uplink", "nodad")
	return out
}

// pings reports whether a guest gets an answer from an address, from a source
// address of its own where one is given.
func pings(g *netnstest.Guest, t *testing.T, to string, from ...string) error {
	args := []string{"-c", "1", "-W", "2", "-n"}
	for _, f := range from {
		args = append(args, "-I", f)
	}
	_, err := g.Output(t.Context(), "ping", append(args, to)...)
	return err
}

// digs asks a DNS server as a guest would and returns the short answer.
func digs(t *testing.T, g *netnstest.Guest, server string, query ...string) string {
	t.Helper()
	args := append([]string{"+short", "+tries=2", "+time=2", "@" + server}, query...)
	return strings.TrimSpace(g.Run(t, "dig", args...))
}

// slaac waits until a guest has made itself an address in a prefix from router
// advertisements (RFC 4862), and returns it.
func slaac(t *testing.T, g *netnstest.Guest, prefix netip.Prefix) netip.Addr {
	t.Helper()
	var found netip.Addr
	netnstest.Wait(t, fmt.Sprintf("guest %s has an address in %s", g.Name, prefix), func() error {
		out := g.Run(t, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "global", "-tentative")
		for _, word := range strings.Fields(out) {
			if p, err := netip.ParsePrefix(word); err == nil && prefix.Contains(p.Addr()) {
				found = p.Addr()
				return nil
			}
		}
		return fmt.Errorf("it has\n%s", out)
	})
	return found
}

// hears starts a UDP listener in a guest and returns what it reports as the
// source of the first datagram that a sender's datagram arrives with; "" means
// that nothing arrived.
func hears(t *testing.T, listener, sender *netnstest.Guest, at string) string {
	t.Helper()
	got, err := datagram(t.Context(), listener, sender, netip.MustParseAddr(at))
	if err != nil {
		return err.Error()
	}
	return got.String()
}
