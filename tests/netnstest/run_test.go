package netnstest_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/virbr/virbr/tests/netnstest"
)

func addBridge(t *testing.T, name string) {
	t.Helper()
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
	if err := netlink.LinkAdd(br); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(br); err != nil {
		t.Fatal(err)
	}
}

func TestRunIsAlone(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		entries, err := os.ReadDir("/sys/class/net")
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 1 || entries[0].Name() != "lo" {
			t.Errorf("links in /sys/class/net: %v, want lo alone", entries)
		}
		if run, _ := os.ReadDir("/run"); len(run) > 1 {
			t.Errorf("/run is not private: %v", run)
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
			t.Error(err)
		}
	})
}

func TestRunInSubtest(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain", "with (brackets)/and slash"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) { addBridge(t, "br0") })
		})
	}
}

// The inner process prints what a failing test prints; this one is run by
// TestRunReportsFailure only.
func TestInnerFails(t *testing.T) {
	if os.Getenv("NETNSTEST_FAIL") == "" {
		t.Skip("is run by TestRunReportsFailure")
	}
	netnstest.Run(t, func(t *testing.T) { t.Error("no luck in here") })
}

func TestRunReportsFailure(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestInnerFails$")
	cmd.Env = append(os.Environ(), "NETNSTEST_FAIL=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "no luck in here") {
		t.Errorf("a failing inner test: %v\n%s", err, out)
	}
}

func TestGuestsTalk(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		addBridge(t, "br0")
		a := netnstest.NewGuest(t, "a", "br0")
		b := netnstest.NewGuest(t, "b", "br0")
		a.Address(t, netip.MustParsePrefix("10.1.0.1/24"))
		b.Address(t, netip.MustParsePrefix("10.1.0.2/24"))
		var l net.Listener
		if err := b.Do(func() (err error) {
			l, err = net.Listen("tcp", "10.1.0.2:80")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := a.Do(func() error {
			c, err := net.Dial("tcp", "10.1.0.2:80")
			if err == nil {
				_ = c.Close()
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		if _, err := net.Dial("tcp", "10.1.0.2:80"); err == nil {
			t.Error("the test's own namespace has no route to guests, yet it connects")
		}
		if out := a.Run(t, "ip", "-o", "link", "show", "eth0"); !strings.Contains(out, a.MAC.String()) {
			t.Errorf("eth0 of guest a: %s, want MAC %s", out, a.MAC)
		}
	})
}

func TestGuestGetsLeases(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		addBridge(t, "br0")
		link, err := netlink.LinkByName("br0")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []string{"10.1.0.1/24", "fd00:1::1/64"} {
			addr, _ := netlink.ParseAddr(a)
			addr.Flags = 2 // IFA_F_NODAD
			if err := netlink.AddrAdd(link, addr); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("dnsmasq", "--no-daemon", "--port=0", "--conf-file=/dev/null", "--user=root",
			"--interface=br0", "--bind-dynamic", "--dhcp-leasefile="+t.TempDir()+"/leases",
			"--dhcp-range=10.1.0.10,10.1.0.20", "--dhcp-range=fd00:1::10,fd00:1::20,64", "--dhcp-authoritative")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		g := netnstest.NewGuest(t, "g", "br0")
		for _, lease := range []netnstest.Lease{g.DHCP(t), g.DHCP6(t)} {
			if a, err := lease.Address(); err != nil || !(a.Is4() || a.Is6()) {
				t.Errorf("lease %v: %v, %v", lease, a, err)
			}
		}
	})
}

func TestOutsideIsReached(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		before := netnstest.Snapshot(t)
		o := netnstest.NewOutside(t, "web", "eth9", netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24"))
		var l net.Listener
		if err := o.Do(func() (err error) { l, err = net.Listen("tcp", "192.0.2.2:80"); return err }); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp", "192.0.2.2:80")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if after := netnstest.Snapshot(t); after["links"] == before["links"] {
			t.Error("the snapshot does not see a new link")
		}
	})
}
