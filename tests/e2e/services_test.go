package e2e

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/netnstest"
)

// listening serves TCP on a port of the host for as long as the test runs.
func listening(t *testing.T, at string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("here"))
			_ = c.Close()
		}
	}()
}

// servedOnly checks that a guest reaches what the network serves, and of the host
// nothing else.
func servedOnly(t *testing.T, g *netnstest.Guest, gate string) {
	t.Helper()
	if got := digs(t, g, gate, "printer"); got != "192.168.122.77" {
		t.Errorf("dig printer: %q", got)
	}
	if got := digs(t, g, gate, "+tcp", "printer"); got != "192.168.122.77" {
		t.Errorf("dig +tcp printer: %q", got)
	}
	if err := pings(g, t, gate); err != nil {
		t.Errorf("ping %s: %v", gate, err)
	}
	for _, to := range []string{gate + ":8000", uplink4 + ":8000"} {
		wantCall(t, "a service of the host", g, to, "refused")
	}
}

// TestServices: guests of an isolated network reach every service of the host, until
// that is limited to what the network serves: addresses of both families, names and
// files then work as before. The limit comes and goes while the network runs.
func TestServices(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		listening(t, ":8000")
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "boot"), []byte("booted"), 0o644); err != nil {
			t.Fatal(err)
		}
		for dir := root; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) { // dnsmasq's user reads it
			_ = os.Chmod(dir, 0o755)
		}
		d := startVirbrd(t)
		d.up("default", `<network>
  <name>default</name>
  <bridge name='virbr0'/>
  <dns><host ip='192.168.122.77'><hostname>printer</hostname></host></dns>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <tftp root='`+root+`'/>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd00:122::1' prefix='64'><dhcp><range start='fd00:122::100' end='fd00:122::1ff'/></dhcp></ip>
</network>`)
		g := netnstest.NewGuest(t, "a", "virbr0")
		g.DHCP(t)
		wantCall(t, "before", g, "192.168.122.1:8000", "here")
		c := dial(t, socketRW, 0)
		limit := func(host string) { // virsh net-metadata, which is of libvirt 9.7
			t.Helper()
			doc, key, uri := `<network><firewall host="`+host+`"/></network>`, "virbr", "urn:virbr:network:1"
			c.must(proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: c.lookup("default"), Type: 2, Metadata: &doc, Key: &key, URI: &uri, Flags: 1}, nil)
		}
		limit("services")
		wantCall(t, "limited", g, "192.168.122.1:8000", "refused")
		fresh := netnstest.NewGuest(t, "b", "virbr0")
		fresh.DHCP(t)
		fresh.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.168.122.1")) // as a hostile one does
		servedOnly(t, fresh, "192.168.122.1")
		linkLocal(t, fresh)
		fresh.DHCP6(t)
		if got := digs(t, fresh, "fd00:122::1", "printer"); got != "192.168.122.77" {
			t.Errorf("dig printer by IPv6: %q", got)
		}
		wantCall(t, "by IPv6", fresh, "[fd00:122::1]:8000", "refused")
		if out, err := fresh.Output(t.Context(), "busybox", "tftp", "-g", "-r", "boot", "-l", "-", "192.168.122.1"); err != nil || !strings.Contains(out, "booted") {
			t.Errorf("tftp: %q, %v", out, err)
		}
		if err := pings(fresh, t, "fd00:122::1"); err != nil {
			t.Errorf("ping by IPv6: %v", err)
		}
		run(t, "nft", "flush", "ruleset")
		wantCall(t, "after a flush", g, "192.168.122.1:8000", "refused")
		limit("all")
		wantCall(t, "without the limit", g, "192.168.122.1:8000", "here")
	})
}

// TestHookServices: the same for a network that libvirt's own daemon runs.
func TestHookServices(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		newOutside(t)
		listening(t, ":8000")
		extendFile(t, "default", "<virbr:firewall host='services'/>")
		d := startHooked(t)
		d.up("default", strings.Replace(hookedXML, "<ip ", "<dns><host ip='192.168.122.77'><hostname>printer</hostname></host></dns><ip ", 1))
		g := netnstest.NewGuest(t, "a", "virbr0")
		g.DHCP(t)
		servedOnly(t, g, "192.168.122.1")
		d.virsh("net-destroy", "default")
		nothingAdded(t)
	})
}
