package host_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

var _ driver.System = (*host.Host)(nil)

// testHost opens the namespace that the test runs in.
func testHost(t testing.TB) *host.Host {
	t.Helper()
	h, err := host.New(host.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), LeaseHelper: "/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// run applies ops that must succeed.
func run(t testing.TB, h *host.Host, ops ...step.Op) {
	t.Helper()
	for _, op := range ops {
		if err := h.Run(t.Context(), op); err != nil {
			t.Fatalf("%s: %v", op, err)
		}
	}
}

// refused applies an op that must end with an errno.
func refused(t testing.TB, h *host.Host, op step.Op, want syscall.Errno) {
	t.Helper()
	err := h.Run(t.Context(), op)
	var errno syscall.Errno
	if !errors.As(err, &errno) || errno != want {
		t.Errorf("%s: %v, want errno %q", op, err, want)
	}
}

func linkNamed(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("looking up %q: %v", name, err)
	}
	return l
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func TestBridgeIsMade(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		mac := xml.MAC{0x52, 0x54, 0, 1, 2, 3}
		run(t, h,
			step.AddBridge{Name: "virbr0", MAC: mac},
			step.SetMTU{Link: "virbr0", MTU: 1400},
			step.SetBridge{Bridge: "virbr0", Attr: "forward_delay", Value: 200},
			step.SetBridge{Bridge: "virbr0", Attr: "stp_state", Value: 1},
			step.SetUp{Link: "virbr0"},
		)
		attrs := linkNamed(t, "virbr0").Attrs()
		if attrs.HardwareAddr.String() != "52:54:00:01:02:03" || attrs.MTU != 1400 || attrs.Flags&1 == 0 {
			t.Errorf("virbr0 is %+v", attrs)
		}
		want := map[string]string{"forward_delay": "200", "stp_state": "1"}
		if _, err := os.Stat("/sys/class/net/virbr0/bridge/vlan_filtering"); err == nil {
			want["vlan_filtering"] = "1"
			run(t, h, step.SetBridge{Bridge: "virbr0", Attr: "vlan_filtering", Value: 1})
		} else {
			refused(t, h, step.SetBridge{Bridge: "virbr0", Attr: "vlan_filtering", Value: 1}, syscall.EOPNOTSUPP)
		}
		for name, want := range want {
			if have := read(t, "/sys/class/net/virbr0/bridge/"+name); have != want {
				t.Errorf("%s is %s, want %s", name, have, want)
			}
		}
		refused(t, h, step.AddBridge{Name: "virbr0"}, syscall.EEXIST)
		run(t, h, step.SetDown{Link: "virbr0"}, step.DelLink{Name: "virbr0"}, step.DelLink{Name: "virbr0"}, step.SetDown{Link: "virbr0"})
		refused(t, h, step.SetUp{Link: "virbr0"}, syscall.ENODEV)
		refused(t, h, step.SetMTU{Link: "virbr0", MTU: 1400}, syscall.ENODEV)
	})
}

func TestHostileValuesAreRefused(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.AddBridge{Name: "virbr0"})
		for _, name := range []string{"", ".", "..", "a/b", "a b", "a:b", "a\nb", "sixteen-letters!"} {
			refused(t, h, step.AddBridge{Name: name}, syscall.EINVAL)
			refused(t, h, step.StartDnsmasq{Conf: "/run/c", PidFile: "/run/p", Bridge: name}, syscall.EINVAL)
		}
		for _, key := range []string{"", "/etc/passwd", "../../etc/passwd", "net/../../../etc/passwd", "..", "net//ipv4"} {
			refused(t, h, step.SetSysctl{Key: key, Value: "1", IfExists: true}, syscall.EINVAL)
		}
		for _, path := range []string{"", "relative", "/run/../etc/passwd", "/run/x\x00y", "/run/", "/"} {
			refused(t, h, step.WriteFile{Path: path, Mode: 0o644}, syscall.EINVAL)
			refused(t, h, step.StartDnsmasq{Conf: path + "/", PidFile: "/run/p", Bridge: "virbr0"}, syscall.EINVAL)
			refused(t, h, step.StopDnsmasq{PidFile: path + "/"}, syscall.EINVAL)
		}
		refused(t, h, step.WriteFile{Path: "/run/setuid", Mode: 0o4755}, syscall.EINVAL)
		refused(t, h, step.SetBridge{Bridge: "virbr0", Attr: "nf_call_iptables", Value: 1}, syscall.EINVAL)
		refused(t, h, step.SetBridge{Bridge: "virbr0", Attr: "vlan_filtering", Value: 256}, syscall.EINVAL)
		refused(t, h, step.AddAddress{Link: "virbr0"}, syscall.EINVAL)
		refused(t, h, step.AddRoute{Link: "virbr0"}, syscall.EINVAL)
		refused(t, h, step.ShapePort{Bridge: "virbr0", Class: 2}, syscall.ERANGE)
		refused(t, h, step.ShapePort{Bridge: "virbr0", Class: 1 << 16}, syscall.ERANGE)
	})
}

func TestLeaseHelperIsAPlainPath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"leases", "/usr/bin/../leases", "/usr/lib/x y", "/usr/lib/x;reboot", "/usr/lib/$(reboot)", "/usr/lib/`x`", "/x\ny"} {
		if h, err := host.New(host.Config{LeaseHelper: path}); err == nil {
			h.Close()
			t.Errorf("the lease helper %q is taken", path)
		}
	}
}

func TestEndedContextDoesNothing(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Run(ctx, step.AddBridge{Name: "virbr0"}); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
		if _, err := netlink.LinkByName("virbr0"); err == nil {
			t.Error("the bridge was made all the same")
		}
	})
}

func TestAddressesAndRoutes(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		v4 := step.AddAddress{Link: "br.0", Address: netip.MustParsePrefix("10.7.0.1/24"), Broadcast: netip.MustParseAddr("10.7.0.255")}
		v6 := step.AddAddress{Link: "br.0", Address: netip.MustParsePrefix("fd00:7::1/64")}
		route := step.AddRoute{Link: "br.0", Dest: netip.MustParsePrefix("10.8.0.0/16"), Gateway: netip.MustParseAddr("10.7.0.2"), Metric: 5}
		route6 := step.AddRoute{Link: "br.0", Dest: netip.MustParsePrefix("fd00:8::/48"), Gateway: netip.MustParseAddr("fd00:7::2"), Metric: 1}
		def := step.AddRoute{Link: "br.0", Dest: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.7.0.3"), Metric: 1}
		run(t, h, step.AddBridge{Name: "br.0"}, step.SetSysctl{Key: "net/ipv6/conf/br.0/accept_ra", Value: "0"},
			v4, v6, v4, v6, step.SetUp{Link: "br.0"}, route, route6, def, route, route6)

		addrs, err := netlink.AddrList(linkNamed(t, "br.0"), netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, a := range addrs {
			if a.IP.IsLinkLocalUnicast() {
				continue
			}
			text := a.IPNet.String()
			if a.Broadcast != nil {
				text += " " + a.Broadcast.String()
			}
			if a.Flags&syscall.IFA_F_TENTATIVE != 0 {
				text += " tentative"
			}
			have = append(have, text)
		}
		if got := strings.Join(have, ", "); got != "10.7.0.1/24 10.7.0.255, fd00:7::1/64" {
			t.Errorf("addresses are %s", got)
		}

		facts, err := h.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []step.Route{
			{Dest: v4.Address.Masked(), Link: "br.0"},
			{Dest: v6.Address.Masked(), Link: "br.0"},
			{Dest: route.Dest, Link: "br.0", Gateway: route.Gateway},
			{Dest: route6.Dest, Link: "br.0", Gateway: route6.Gateway},
			{Dest: def.Dest, Link: "br.0", Gateway: def.Gateway},
		} {
			found := false
			for _, r := range facts.Routes {
				found = found || r == want
			}
			if !found {
				t.Errorf("no route %+v in %+v", want, facts.Routes)
			}
		}

		other := route
		other.Gateway = netip.MustParseAddr("10.7.0.4")
		refused(t, h, other, syscall.EEXIST)
		other.Instead = netip.MustParseAddr("10.7.0.9") // the route that there is goes by another gateway
		refused(t, h, other, syscall.EEXIST)
		other.Instead = route.Gateway
		run(t, h, other)
		if text := output(t, "ip", "route", "show", "10.8.0.0/16"); !strings.Contains(text, "via 10.7.0.4 dev br.0 metric 5") || strings.Contains(text, "10.7.0.2") {
			t.Errorf("after its gateway has changed: %q", text)
		}
		refused(t, h, step.AddAddress{Link: "nosuch", Address: v4.Address}, syscall.ENODEV)
		refused(t, h, step.AddRoute{Link: "br.0", Dest: route.Dest, Gateway: netip.MustParseAddr("192.0.2.1")}, syscall.ENETUNREACH)
		run(t, h, step.DelRoute(other), step.DelRoute(other), step.DelRoute(route6), step.DelRoute(def), step.DelRoute{Link: "nosuch", Dest: route.Dest, Gateway: route.Gateway})
		if text := output(t, "ip", "route") + output(t, "ip", "-6", "route"); strings.Contains(text, " via ") {
			t.Errorf("routes are left:\n%s", text)
		}
	})
}

func TestSysctls(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.SetSysctl{Key: "net/ipv4/ip_forward", Value: "1"},
			step.SetSysctl{Key: "net/ipv6/conf/nosuch/accept_ra", Value: "0", IfExists: true})
		if have := read(t, "/proc/sys/net/ipv4/ip_forward"); have != "1" {
			t.Errorf("ip_forward is %s", have)
		}
		refused(t, h, step.SetSysctl{Key: "net/ipv6/conf/nosuch/accept_ra", Value: "0"}, syscall.ENOENT)
		refused(t, h, step.SetSysctl{Key: "net/ipv4/ip_forward", Value: "many"}, syscall.EINVAL)
	})
}

func TestFilesAreReplacedWhole(t *testing.T) {
	t.Parallel()
	h := testHost(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "net.conf")
	run(t, h, step.WriteFile{Path: path, Mode: 0o600, Data: "one"}, step.WriteFile{Path: path, Mode: 0o644, Data: "two"})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if have := read(t, path); have != "two" || info.Mode() != 0o644 {
		t.Errorf("the file has mode %v and says %q", info.Mode(), have)
	}
	// A symbolic link in the file's place is replaced, never followed.
	other := filepath.Join(dir, "other")
	if err := errors.Join(os.WriteFile(other, []byte("keep"), 0o600), os.Remove(path), os.Symlink(other, path)); err != nil {
		t.Fatal(err)
	}
	run(t, h, step.WriteFile{Path: path, Mode: 0o600, Data: "three"})
	if read(t, other) != "keep" || read(t, path) != "three" {
		t.Error("the file behind a symbolic link was written")
	}
	// A failure leaves nothing behind.
	refused(t, h, step.WriteFile{Path: filepath.Join(path, "below"), Mode: 0o600}, syscall.ENOTDIR)
	if err := os.Mkdir(filepath.Join(dir, "sub", "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	refused(t, h, step.WriteFile{Path: filepath.Join(dir, "sub", "taken"), Mode: 0o600}, syscall.EEXIST)
	entries, err := os.ReadDir(filepath.Join(dir, "sub"))
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// deadlineSoon returns a context that ends before anybody's own patience does.
func deadlineSoon(t testing.TB) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), 100*time.Millisecond)
}
