package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// newTunnel makes link wg0 of the host, which has 10.66.0.2 and ends in a way out, where
// it has 10.66.0.1: by WireGuard, as wg-quick makes it, else by VXLAN where the kernel has
// none. It carries IPv4 only.
func newTunnel(t *testing.T, by *wayOut) {
	t.Helper()
	if _, err := os.Stat("/sys/module/wireguard"); err == nil {
		t.Log("the tunnel is WireGuard's here")
		dir := t.TempDir()
		for _, side := range []string{"host", "far"} {
			run(t, "sh", "-ec", "umask 077; cd "+dir+"; wg genkey >"+side+".key; wg pubkey <"+side+".key >"+side+".pub")
		}
		public := func(side string) string {
			text, err := os.ReadFile(filepath.Join(dir, side+".pub"))
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(text))
		}
		by.Run(t, "ip", "link", "add", "wg9", "type", "wireguard")
		by.Run(t, "wg", "set", "wg9", "private-key", filepath.Join(dir, "far.key"), "listen-port", "51820", "peer", public("host"), "allowed-ips", "10.66.0.2/32")
		run(t, "ip", "link", "add", "wg0", "type", "wireguard")
		run(t, "wg", "set", "wg0", "fwmark", "51820", "private-key", filepath.Join(dir, "host.key"), "peer", public("far"), "endpoint", by.router4+":51820", "allowed-ips", "0.0.0.0/0")
	} else {
		by.Run(t, "ip", "link", "add", "wg9", "type", "vxlan", "id", "9", "remote", by.host4, "dstport", "4789")
		run(t, "ip", "link", "add", "wg0", "type", "vxlan", "id", "9", "remote", by.router4, "dstport", "4789")
	}
	by.Run(t, "ip", "addr", "add", "10.66.0.1/24", "dev", "wg9")
	by.Run(t, "ip", "link", "set", "wg9", "up")
	run(t, "ip", "addr", "add", "10.66.0.2/24", "dev", "wg0")
	run(t, "ip", "link", "set", "wg0", "up")
}

// TestTunnel: guests leave by the VPN or not at all, though a provider carries the tunnel
// itself and IPv6: not while the tunnel is down, gone or without a route, and not in
// IPv6, which it does not carry.
func TestTunnel(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		alpha := newWayOut(t, "alpha", 1)
		alpha.defaults(t, "add")
		newTunnel(t, alpha)
		wg := &wayOut{link: "wg0", host4: "10.66.0.2"}
		routes := func() { run(t, "ip", "route", "add", "default", "via", "10.66.0.1", "dev", "wg0", "table", "51820") }
		routes()
		run(t, "ip", "rule", "add", "not", "fwmark", "51820", "table", "51820")
		run(t, "ip", "rule", "add", "table", "main", "suppress_prefixlength", "0")
		d := startVirbrd(t)
		d.up("one", uplinkNetwork("one", "br-one", "91", "<virbr:uplink dev='wg0'/>"))
		spy(t, []string{"br-one"}, alpha, wg)
		g, _, _ := addressedBy(t, "one", "br-one", far6)
		stop := hammer(t, g)
		passes := func(when string) {
			t.Helper()
			wantCall(t, when, g, netip.AddrPortFrom(netip.MustParseAddr(far4), 80).String(), "world-alpha 10.66.0.2")
		}
		passes("at first")
		for _, how := range []struct{ name, down, back string }{
			{"link down", "ip link set wg0 down", "ip link set wg0 up"},
			{"no default route", "ip route del default dev wg0 table 51820", "true"},
			{"link gone", "ip link del wg0", ""},
		} {
			run(t, "sh", "-ec", how.down)
			leaves(t, how.name, g, nil)
			if how.back == "" {
				alpha.Run(t, "ip", "link", "del", "wg9")
				newTunnel(t, alpha)
			} else {
				run(t, "sh", "-ec", how.back)
			}
			routes()
			passes(how.name + ", and back")
		}
		stop()
		if n := sent(t, "br-one", alpha); n != 0 {
			t.Errorf("%d packets of guests left by the provider", n)
		}
		if n := sent(t, "br-one", wg); n == 0 {
			t.Error("no packet was counted on the tunnel")
		}
		if text := mustVirbr(t, "uplink", "list", "one"); !strings.Contains(text, "cannot carry: there is no IPv6 default route by wg0") {
			t.Errorf("uplink list:\n%s", text)
		}
	})
}
