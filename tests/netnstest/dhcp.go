package netnstest

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Lease is what a DHCP server gave to a guest: the variables that its client
// passes to a script, udhcpc's for IPv4 (ip, mask, router, dns, domain, mtu,
// serverid, lease ...) and dhclient's for IPv6 (new_ip6_address,
// new_dhcp6_name_servers ...).
type Lease map[string]string

// Address returns the address that the lease is for.
func (l Lease) Address() (netip.Addr, error) {
	if a, ok := l["new_ip6_address"]; ok {
		return netip.ParseAddr(a)
	}
	return netip.ParseAddr(l["ip"])
}

// DHCP gets an IPv4 lease with busybox's udhcpc and configures eth0 with its
// address and default route. It waits for a minute: on a busy machine, or behind a
// bridge that does not forward yet, answers take time.
func (g *Guest) DHCP(t testing.TB, args ...string) Lease {
	t.Helper()
	NeedProgram(t, "busybox", "ip")
	lease, err := g.TryDHCP(t.Context(), t.TempDir(), append([]string{"-t", "60"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// TryDHCP is [Guest.DHCP] for tests in which no lease may be the right answer.
// Files are made in dir. It gives up after ten tries of a second each; further
// udhcpc arguments may change that ("-t", "1").
func (g *Guest) TryDHCP(ctx context.Context, dir string, args ...string) (Lease, error) {
	const apply = `case "$1" in bound|renew)
ip addr replace "$ip/$mask" dev "$interface"
[ -z "$router" ] || ip route replace default via "${router%% *}" dev "$interface"
;; esac
`
	script, vars, err := leaseScript(dir, apply)
	if err != nil {
		return nil, err
	}
	argv := append([]string{"udhcpc", "-i", "eth0", "-f", "-n", "-q", "-t", "10", "-T", "1", "-A", "1", "-s", script}, args...)
	if _, err := g.Output(ctx, "busybox", argv...); err != nil {
		return nil, err
	}
	return readLease(vars, "bound")
}

// DHCP6 gets an IPv6 address from a DHCPv6 server with dhclient and configures
// eth0 with it.
func (g *Guest) DHCP6(t testing.TB, args ...string) Lease {
	t.Helper()
	NeedProgram(t, "dhclient", "ip")
	const apply = `case "$reason" in BOUND6|REBIND6)
ip addr replace "$new_ip6_address/$new_ip6_prefixlen" dev "$interface" nodad
;; esac
`
	dir := t.TempDir()
	script, vars, err := leaseScript(dir, apply)
	if err != nil {
		t.Fatal(err)
	}
	argv := append([]string{"-6", "-1", "-d", "-cf", "/dev/null", "-sf", script,
		"-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid")}, args...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { // dhclient stays to renew; it is ended when the lease is there
		_, err := g.Output(ctx, "dhclient", append(argv, "eth0")...)
		ended <- err
	}()
	var lease Lease
	Wait(t, fmt.Sprintf("guest %q has a DHCPv6 lease", g.Name), func() error {
		lease, err = readLease(vars, "BOUND6")
		return err
	})
	cancel()
	<-ended
	return lease
}

// leaseScript writes a client script that first applies a lease and then
// stores its variables in a file, whole.
func leaseScript(dir, apply string) (script, vars string, err error) {
	vars = filepath.Join(dir, "vars")
	script = filepath.Join(dir, "script")
	text := "#!/bin/sh\n" + apply +
		"env > " + vars + ".new && echo \"event=$1$reason\" >> " + vars + ".new && mv " + vars + ".new " + vars + ".\"$1$reason\"\n"
	return script, vars, os.WriteFile(script, []byte(text), 0o755)
}

// readLease reads the variables that the script stored on an event.
func readLease(vars, event string) (Lease, error) {
	f, err := os.Open(vars + "." + event)
	if err != nil {
		return nil, fmt.Errorf("reading the lease: %w", err)
	}
	defer func() { _ = f.Close() }()
	lease := Lease{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			lease[key] = value
		}
	}
	return lease, lines.Err()
}
