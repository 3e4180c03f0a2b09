package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

// kea is ISC's DHCPv6 server on a host outside: a provider's router.
type kea struct {
	t    *testing.T
	on   *netnstest.Guest
	dir  string
	log  *binaries.Log
	cmd  *exec.Cmd
	done chan struct{}
}

// pool is a prefix of which Kea delegates parts.
type pool struct {
	Prefix    string `json:"prefix"`
	Len       int    `json:"prefix-len"`
	Delegated int    `json:"delegated-len"`
	Excluded  string `json:"excluded-prefix,omitempty"`
	ExLen     int    `json:"excluded-prefix-len,omitempty"`
}

// startKea has a host outside delegate, with lifetimes in seconds. Leases are in memory, so
// that it knows nobody after a restart.
func startKea(t *testing.T, on *netnstest.Guest, preferred, valid int, pools ...pool) *kea {
	t.Helper()
	netnstest.NeedProgram(t, "kea-dhcp6")
	k := &kea{t: t, on: on, dir: t.TempDir()}
	k.start(preferred, valid, pools...)
	return k
}

func (k *kea) start(preferred, valid int, pools ...pool) {
	k.t.Helper()
	conf, err := json.Marshal(map[string]any{"Dhcp6": map[string]any{
		"interfaces-config":  map[string]any{"interfaces": []string{"eth0"}, "re-detect": false},
		"lease-database":     map[string]any{"type": "memfile", "persist": false},
		"preferred-lifetime": preferred, "valid-lifetime": valid,
		"server-id": map[string]any{"type": "LL", "persist": false},
		"subnet6":   []any{map[string]any{"subnet": "2001:db8:ffff::/64", "interface": "eth0", "pd-pools": pools}},
		"loggers": []any{map[string]any{"name": "kea-dhcp6", "severity": "DEBUG", "debuglevel": 40,
			"output_options": []any{map[string]any{"output": "stdout"}}}},
	}})
	if err != nil {
		k.t.Fatal(err)
	}
	file := filepath.Join(k.dir, "kea.json")
	write(k.t, file, string(conf))
	k.log, k.done = &binaries.Log{}, make(chan struct{})
	k.cmd = exec.Command("kea-dhcp6", "-c", file)
	k.cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+k.dir, "KEA_LOCKFILE_DIR="+k.dir)
	k.cmd.Stdout, k.cmd.Stderr = k.log, k.log
	netnstest.Wait(k.t, "the router has a link-local address", func() error {
		if out := k.on.Run(k.t, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link", "-tentative"); out == "" {
			return fmt.Errorf("none")
		}
		return nil
	})
	if err := k.on.Start(k.cmd); err != nil {
		k.t.Fatalf("starting Kea: %v", err)
	}
	done := k.done
	cmd := k.cmd
	go func() { _ = cmd.Wait(); close(done) }()
	k.t.Cleanup(k.stop)
	netnstest.Wait(k.t, "Kea serves", func() error {
		select {
		case <-done:
			k.t.Fatalf("Kea ended:\n%s", k.log)
		default:
		}
		if !strings.Contains(k.log.String(), "DHCP6_STARTED") {
			return fmt.Errorf("it says\n%s", k.log)
		}
		return nil
	})
}

func (k *kea) stop() {
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	<-k.done
}

// delegatedXML is a network whose prefix its uplink's router delegates.
const delegatedXML = `<network>
  <name>routed</name><uuid>6f6c0c1e-7d1b-4c52-9a52-0000000000a1</uuid><forward mode='nat'/><bridge name='virbr1'/>
  <ip address='192.168.131.1' prefix='24'><dhcp><range start='192.168.131.2' end='192.168.131.9'/></dhcp></ip>
  <ipv6 advprefix='auto' uplink='uplink'/>
</network>`

// gets waits until a running network has a prefix out of another one.
func (d *daemon) gets(name, whole string) netip.Prefix {
	d.t.Helper()
	var got netip.Prefix
	netnstest.Wait(d.t, fmt.Sprintf("network %s has a prefix of %s", name, whole), func() error {
		if got = d.prefix(name); !netip.MustParsePrefix(whole).Contains(got.Addr()) {
			return fmt.Errorf("it has %s\n%s", got, d.log)
		}
		return nil
	})
	return got
}

// TestDelegatedPrefix: a network's prefix is one that the router of its uplink delegates.
// It is the same after a restart, and when the router delegates another one guests move.
func TestDelegatedPrefix(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "rdisc6")
		out := newOutside(t)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		k := startKea(t, out, 3000, 4000, pool{Prefix: "2001:db8:100::", Len: 48, Delegated: 56})
		d := startVirbrd(t)
		d.up("routed", delegatedXML)
		prefix := d.gets("routed", "2001:db8:100::/48")
		out.Route(t, prefix, netip.MustParseAddr(uplink6))
		g := netnstest.NewGuest(t, "g", "virbr1")
		old := slaac(t, g, prefix)
		if got := hears(t, out, g, outside6); got != old.String() {
			t.Errorf("outside sees the guest as %s, want %s", got, old)
		}
		if got := run(t, "ip", "-6", "route", "show", "type", "unreachable"); !strings.Contains(got, "unreachable 2001:db8:1") || !strings.Contains(got, "/56") {
			t.Errorf("what is no guest's of the delegated prefix is sent back to the router: %q", got)
		}

		d.stop()
		d = startVirbrd(t)
		if got := d.prefix("routed"); got != prefix {
			t.Errorf("after a restart the network has %s, had %s", got, prefix)
		}
		k.stop()
		k.start(3000, 4000, pool{Prefix: "2001:db8:200::", Len: 48, Delegated: 56})
		d.stop() // it asks whether its prefix is still right when it starts
		d = startVirbrd(t)
		next := d.gets("routed", "2001:db8:200::/48")
		out.Route(t, next, netip.MustParseAddr(uplink6))
		fresh := slaac(t, g, next)
		netnstest.Wait(t, "the former prefix is advertised as deprecated", func() error {
			ra := g.Run(t, "rdisc6", "-1", "eth0")
			if a, b := lifetimes(ra, prefix.String()), lifetimes(ra, next.String()); a != "1800 0" || b != "1500 1500" {
				return fmt.Errorf("lifetimes %q and %q:\n%s", a, b, ra)
			}
			return nil
		})
		if got := hears(t, out, g, outside6); got != fresh.String() {
			t.Errorf("outside sees the guest as %s, want %s", got, fresh)
		}
		if err := pings(g, t, outside6, old.String()); err != nil {
			t.Errorf("from the former address: %v", err)
		}
		if t.Failed() {
			t.Logf("virbrd:\n%s\nKea:\n%s", d.log, k.log)
		}
	})
}
