package host_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

var _ driver.Watcher = (*host.Host)(nil)

// told is what a Watch has told.
type told struct {
	mu   sync.Mutex // guards list
	list []step.Change
}

func (w *told) add(c step.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, c)
}

// count says how often a change was told, whoever did it.
func (w *told) count(c step.Change) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, have := range w.list {
		if have.By = ""; have == c {
			n++
		}
	}
	return n
}

// wait waits until a change was told so often.
func (w *told) wait(t *testing.T, c step.Change, times int) {
	t.Helper()
	netnstest.Wait(t, fmt.Sprintf("%+v is told %d times", c, times), func() error {
		if w.count(c) < times {
			w.mu.Lock()
			defer w.mu.Unlock()
			return fmt.Errorf("told: %+v", w.list)
		}
		return nil
	})
}

// watch watches a host until the test ends, and returns when it has begun.
func watch(t *testing.T, h *host.Host) *told {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w, ended := &told{}, make(chan error, 1)
	go func() { ended <- h.Watch(ctx, w.add) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ended with %v", err)
		}
	})
	for _, kind := range []step.ChangeKind{step.ChangeLeases, step.ChangeNeighbours, step.ChangeAddresses} {
		w.wait(t, step.Change{Kind: kind}, 1)
	}
	return w
}

// leaseHost is a host with the real lease helper, which finds the directory of
// the lease files beside itself.
func leaseHost(t *testing.T) (h *host.Host, dir string) {
	t.Helper()
	home := filepath.Join("/run", "leases") // where the helper's user gets to
	dir, helper := filepath.Join(home, "dnsmasq"), filepath.Join(home, "helper")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", helper, "github.com/virbr/virbr/cmd/virbr-leaseshelper")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the lease helper: %v\n%s", err, out)
	}
	h, err := host.New(host.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), LeaseHelper: helper, Leases: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h, dir
}

func TestLeasesAreTold(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "go", "dnsmasq", "busybox")
	netnstest.Run(t, func(t *testing.T) {
		h, dir := leaseHost(t)
		for n, bridge := range []string{"virbr0", "virbr1"} {
			op := serve(t, h, bridge, n)
			op.Conf = filepath.Join(dir, bridge+".conf")
			run(t, h, step.WriteFile{Path: op.Conf, Mode: 0o600, Data: read(t, "/var/lib/libvirt/dnsmasq/"+bridge+".conf") + "\n"}, op)
		}
		w := watch(t, h)
		lease := step.Change{Kind: step.ChangeLeases, Link: "virbr1"}
		before := w.count(lease)
		netnstest.NewGuest(t, "g", "virbr1").DHCP(t)
		w.wait(t, lease, before+1)
		if n := w.count(step.Change{Kind: step.ChangeLeases, Link: "virbr0"}); n != 0 {
			t.Errorf("%d changes of a bridge that has no guest", n)
		}
	})
}

func TestDirectoryOfLeasesMayGo(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "a", "b")
		h, err := host.New(host.Config{Leases: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		w := watch(t, h)                     // and makes it
		told := func(bridge, below string) { // once the directory is followed again
			t.Helper()
			netnstest.Wait(t, "a file of "+bridge+" is told", func() error {
				for _, name := range []string{"other.conf", "bad name.status", below + bridge + ".status"} {
					if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
						return err
					}
				}
				if w.count(step.Change{Kind: step.ChangeLeases, Link: bridge}) == 0 {
					return errors.New("it is not")
				}
				return nil
			})
		}
		told("virbr0", "")
		netnstest.Wait(t, "the directory goes", func() error { return os.RemoveAll(dir) }) // it comes back meanwhile
		told("virbr1", "")
		told("virbr2", "virbr/")
		if err := os.Rename(dir, dir+".old"); err != nil {
			t.Fatal(err)
		}
		told("virbr3", "")
		told("virbr4", "virbr/")
		for _, name := range []string{"other", "bad name", "other.conf"} {
			if w.count(step.Change{Kind: step.ChangeLeases, Link: name}) > 0 {
				t.Errorf("%q is told", name)
			}
		}
	})
}

func TestNeighboursAreTold(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "busybox", "ip")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		router, guest := uplink(t, h)
		w := watch(t, h)
		router.Run(t, "busybox", "ping", "-c", "1", "192.0.2.1") // who is no bridge's is not told
		on := step.Change{Kind: step.ChangeNeighbours, Link: "virbr0"}
		guest.Run(t, "busybox", "ping", "-c", "1", "10.7.0.1")
		w.wait(t, on, 1)
		guest.Run(t, "busybox", "ping", "-6", "-c", "1", "fd00:7::1")
		port := linkNamed(t, "vnet-"+guest.Name).Attrs().Index
		want := []step.Neighbour{
			{Address: netip.MustParseAddr("10.7.0.2"), MAC: xml.MAC(guest.MAC), Port: port},
			{Address: netip.MustParseAddr("fd00:7::2"), MAC: xml.MAC(guest.MAC), Port: port},
		}
		netnstest.Wait(t, "the guest is a neighbour", func() error {
			have, err := h.Neighbours(t.Context(), "virbr0")
			have = slices.DeleteFunc(have, func(n step.Neighbour) bool { return n.Address.IsLinkLocalUnicast() })
			slices.SortFunc(have, func(a, b step.Neighbour) int { return a.Address.Compare(b.Address) })
			if diff := cmp.Diff(want, have, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				return errors.Join(err, errors.New(diff))
			}
			return err
		})
		was := w.count(on)
		output(t, "ip", "neigh", "flush", "dev", "virbr0")
		w.wait(t, on, was+1)
		if n := w.count(step.Change{Kind: step.ChangeNeighbours, Link: "up0"}); n != 0 {
			t.Errorf("%d changes of neighbours on the uplink", n)
		}
		if _, err := h.Neighbours(t.Context(), "nosuch"); !errors.Is(err, syscall.ENODEV) {
			t.Errorf("neighbours of no link: %v", err)
		}
	})
}

func TestAddressesAreTold(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.AddBridge{Name: "wan"}, step.AddBridge{Name: "lan"})
		w := watch(t, h)
		on := step.Change{Kind: step.ChangeAddresses, Link: "wan"}
		output(t, "ip", "addr", "add", "192.0.2.9/24", "dev", "wan")
		w.wait(t, on, 1)
		output(t, "ip", "-6", "addr", "add", "2001:db8::9/64", "dev", "wan", "nodad", "valid_lft", "1000", "preferred_lft", "1000")
		w.wait(t, on, 2)
		have, err := h.Addresses(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")}
		if !slices.Equal(have["wan"], want) || have["lan"] != nil || !slices.Contains(have["lo"], netip.MustParseAddr("127.0.0.1")) {
			t.Errorf("addresses: %v", have)
		}
		was := w.count(on)
		// What only lives longer is no change; what comes after it is told.
		output(t, "ip", "-6", "addr", "change", "2001:db8::9/64", "dev", "wan", "valid_lft", "2000", "preferred_lft", "2000")
		output(t, "ip", "addr", "add", "192.0.2.9/24", "dev", "lan")
		w.wait(t, step.Change{Kind: step.ChangeAddresses, Link: "lan"}, 1)
		if n := w.count(on); n != was {
			t.Errorf("a longer life was told %d times", n-was)
		}
		output(t, "ip", "link", "del", "wan")
		w.wait(t, on, was+1)
	})
}

// TestDefaultRoutesAreTold: of all routes those that lead to everywhere are told.
func TestDefaultRoutesAreTold(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip", "sysctl")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		output(t, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0") // its end is told, too
		run(t, h, step.AddBridge{Name: "wan"}, step.AddBridge{Name: "lan"},
			step.AddAddress{Link: "wan", Address: netip.MustParsePrefix("192.0.2.9/24")},
			step.AddAddress{Link: "wan", Address: netip.MustParsePrefix("2001:db8::9/64")},
			step.SetUp{Link: "wan"}, step.SetUp{Link: "lan"})
		netnstest.Wait(t, "addresses are known to be unique", func() error {
			if text := output(t, "ip", "-6", "addr", "show", "tentative"); text != "" {
				return errors.New(text)
			}
			return nil
		})
		w := watch(t, h)
		wan, lan := step.Change{Kind: step.ChangeAddresses, Link: "wan"}, step.Change{Kind: step.ChangeAddresses, Link: "lan"}
		was := w.count(wan)
		for _, args := range [][]string{
			{"route", "add", "198.51.100.0/24", "via", "192.0.2.1"}, {"-6", "route", "add", "2001:db8:1::/48", "via", "2001:db8::1"},
			{"route", "add", "default", "via", "192.0.2.1", "table", "100"},
		} {
			output(t, "ip", args...)
		}
		output(t, "ip", "route", "add", "default", "dev", "lan")
		w.wait(t, lan, 1)
		if n := w.count(wan); n != was {
			t.Errorf("routes to some places were told %d times", n-was)
		}
		for i, args := range [][]string{
			{"-6", "route", "add", "default", "via", "2001:db8::1"}, {"-6", "route", "del", "default"},
			{"route", "replace", "default", "via", "192.0.2.1"},
		} {
			output(t, "ip", args...)
			w.wait(t, wan, was+i+1)
		}
	})
}

func TestEndOfDnsmasqIsTold(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		before := testHost(t) // a daemon that went and left its dnsmasq
		found, killed := serve(t, before, "virbr0", 0), serve(t, before, "virbr1", 1)
		found.PidFile = "/run/libvirt/network/a &amp; b.pid"
		for _, op := range []*step.StartDnsmasq{&found, &killed} {
			conf := fmt.Sprintf("no-resolv\npid-file=%s\nexcept-interface=lo\nbind-dynamic\ninterface=%s\n", op.PidFile, op.Bridge)
			run(t, before, step.WriteFile{Path: op.Conf, Mode: 0o600, Data: conf}, *op)
		}
		h := testHost(t)
		for _, op := range []step.StartDnsmasq{found, killed, found} {
			if !h.DnsmasqAlive(op.PidFile) {
				t.Fatalf("%q is not alive", op.PidFile)
			}
		}
		kill := func(op step.StartDnsmasq) {
			if err := syscall.Kill(pidOf(t, op.PidFile), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		kill(killed) // while nobody watches
		w := watch(t, h)
		first, second := step.Change{Kind: step.ChangeDnsmasq, Network: "virbr1"}, step.Change{Kind: step.ChangeDnsmasq, Network: "a & b"}
		w.wait(t, first, 1)
		kill(found)
		w.wait(t, second, 1)

		run(t, h, killed, found) // started anew, by this one
		run(t, h, step.StopDnsmasq{PidFile: killed.PidFile}, killed, step.SignalDnsmasq{PidFile: killed.PidFile}, killed)
		kill(found)
		w.wait(t, second, 2)
		if n := w.count(first); n != 1 {
			t.Errorf("a dnsmasq that was stopped was told %d times", n-1)
		}
		kill(killed)
		w.wait(t, first, 2)
	})
}

func TestFirewalldIsFollowed(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dbus-daemon")
	netnstest.Run(t, func(t *testing.T) {
		address := startBus(t)
		w := watch(t, busHost(t, address))
		changed := step.Change{Kind: step.ChangeFirewalld}
		var withdraw func()
		// The watch may not have come to the bus yet: it begins with what is there.
		netnstest.Wait(t, "firewalld's start is told", func() error {
			if withdraw != nil {
				withdraw()
			}
			withdraw = (&service{}).offer(t, address, "org.fedoraproject.FirewallD1")
			if w.count(changed) == 0 {
				return errors.New("it is not")
			}
			return nil
		})
		was := w.count(changed)
		conn, err := dbus.Connect(address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		reload := func() error {
			return conn.Emit("/org/fedoraproject/FirewallD1", "org.fedoraproject.FirewallD1.Reloaded")
		}
		if err := reload(); err != nil { // by somebody else: not believed
			t.Fatal(err)
		}
		withdraw()
		if _, err := conn.RequestName("org.fedoraproject.FirewallD1", dbus.NameFlagDoNotQueue); err != nil {
			t.Fatal(err)
		}
		w.wait(t, changed, was+1)
		netnstest.Wait(t, "a reload is told", func() error {
			if err := reload(); err != nil {
				return err
			}
			if w.count(changed) < was+2 {
				return errors.New("it is not")
			}
			return nil
		})
	})
}

// A bus that comes after the daemon is found by its socket, and one that went
// is left.
func TestBusMayComeLater(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dbus-daemon")
	netnstest.Run(t, func(t *testing.T) {
		dir := t.TempDir()
		socket := filepath.Join(dir, "later")
		w := watch(t, busHost(t, "unix:path="+socket))
		address := startBus(t)
		real, _ := cutPath(address)
		if err := os.Symlink(real, socket); err != nil {
			t.Fatal(err)
		}
		netnstest.Wait(t, "firewalld's start is told", func() error {
			withdraw := (&service{}).offer(t, address, "org.fedoraproject.FirewallD1")
			defer withdraw()
			if w.count(step.Change{Kind: step.ChangeFirewalld}) == 0 {
				return errors.New("it is not")
			}
			return nil
		})
	})
}

func cutPath(address string) (string, bool) {
	const scheme = "unix:path="
	return address[len(scheme):], len(address) > len(scheme)
}

func TestRulesAreFollowed(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		output(t, "nft", "table inet virbr { chain forward { type filter hook forward priority 0; }; }")
		w := watch(t, h)
		ours := step.Change{Kind: step.ChangeRules, Ours: true}
		// The watch may not have come to the rules yet.
		netnstest.Wait(t, "a lost table is told", func() error {
			output(t, "nft", "table inet virbr { chain forward { type filter hook forward priority 0; }; }")
			output(t, "nft", "flush ruleset")
			if w.count(ours) == 0 {
				return errors.New("it is not")
			}
			return nil
		})
	})
}

// TestForwardingIsTold: of a link it is told by name. A new link, which brings news of
// its own forwarding, has nobody look at the whole host.
func TestForwardingIsTold(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "sysctl")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		w := watch(t, h)
		host := step.Change{Kind: step.ChangeForwarding}
		run(t, h, step.AddBridge{Name: "b0"}, step.SetUp{Link: "b0"})
		output(t, "sysctl", "-qw", "net.ipv4.conf.b0.forwarding=1")
		w.wait(t, step.Change{Kind: step.ChangeForwarding, Link: "b0"}, 1)
		if n := w.count(host); n != 0 {
			t.Errorf("that the host forwards is told %d times of a link", n)
		}
		output(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
		w.wait(t, host, 1)
	})
}
