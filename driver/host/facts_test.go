package host_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

func TestFactsAboutLinks(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.AddBridge{Name: "virbr0"}, step.SetUp{Link: "virbr0"})
		netnstest.NewGuest(t, "g", "virbr0")
		facts, err := h.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]step.Link{"lo": {}, "virbr0": {Kind: "bridge"}, "vnet-g": {Kind: "veth", Master: "virbr0"}}
		for name, link := range want {
			attrs := linkNamed(t, name).Attrs()
			link.Index, link.Up = attrs.Index, true
			copy(link.MAC[:], attrs.HardwareAddr)
			want[name] = link
		}
		if len(facts.Links) != len(want) {
			t.Errorf("links are %+v", facts.Links)
		}
		for name, link := range want {
			if facts.Links[name] != link {
				t.Errorf("%s is %+v, want %+v", name, facts.Links[name], link)
			}
		}
		if facts.NoIPv6 || len(facts.VFs) != 0 {
			t.Errorf("NoIPv6 is %v, VFs are %v", facts.NoIPv6, facts.VFs)
		}
		if _, ok := facts.AcceptRA["all"]; !ok {
			t.Errorf("accept_ra of all links is missing: %v", facts.AcceptRA)
		}
	})
}

// A fresh namespace has no main tables at all, which the kernel reports as an
// error.
func TestFactsOfAnEmptyHost(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		facts, err := testHost(t).Facts(t.Context())
		if err != nil || len(facts.Routes) != 0 || len(facts.Links) != 1 {
			t.Errorf("facts are %+v, %v", facts, err)
		}
	})
}

func TestFactsAboutNextHops(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		dest := netip.MustParsePrefix("10.9.0.0/16")
		route := &netlink.Route{Dst: &net.IPNet{IP: dest.Addr().AsSlice(), Mask: net.CIDRMask(16, 32)}}
		for i, name := range []string{"br0", "br1"} {
			run(t, h, step.AddBridge{Name: name}, step.SetUp{Link: name},
				step.AddAddress{Link: name, Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 1}), 24)})
			route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{
				LinkIndex: linkNamed(t, name).Attrs().Index, Gw: []byte{10, byte(i), 0, 2},
			})
		}
		if err := netlink.RouteAdd(route); err != nil {
			t.Fatal(err)
		}
		if err := netlink.RouteAdd(&netlink.Route{Type: 6, Dst: &net.IPNet{IP: []byte{10, 99, 0, 0}, Mask: net.CIDRMask(16, 32)}}); err != nil { // blackhole
			t.Fatal(err)
		}
		facts, err := h.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := map[step.Route]bool{
			{Dest: dest, Link: "br0", Gateway: netip.MustParseAddr("10.0.0.2")}: true,
			{Dest: dest, Link: "br1", Gateway: netip.MustParseAddr("10.1.0.2")}: true,
			{Dest: netip.MustParsePrefix("10.0.0.0/24"), Link: "br0"}:           true,
			{Dest: netip.MustParsePrefix("10.1.0.0/24"), Link: "br1"}:           true,
		}
		for _, r := range facts.Routes {
			if r.Dest.Addr().Is4() && !want[r] {
				t.Errorf("unexpected route %+v", r)
			}
			delete(want, r)
		}
		for r := range want {
			t.Errorf("no route %+v in %+v", r, facts.Routes)
		}
	})
}

// The host's own router advertises a prefix and itself. An address with a
// lifetime, as a DHCP client makes, is no such thing though its route expires
// too.
func TestFactsAboutAdvertisedRoutes(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.SetSysctl{Key: "net/ipv6/conf/default/accept_ra", Value: "1"},
			step.SetSysctl{Key: "net/ipv6/conf/default/router_solicitation_delay", Value: "0"})
		router := netnstest.NewOutside(t, "router", "eth9", netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24"))
		router.Address(t, netip.MustParsePrefix("2001:db8:1::1/64"))
		timed, err := netlink.ParseAddr("2001:db8:2::2/64")
		if err != nil {
			t.Fatal(err)
		}
		timed.ValidLft, timed.PreferedLft = 3600, 3600
		if err := netlink.AddrAdd(linkNamed(t, "eth9"), timed); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("dnsmasq", "--no-daemon", "--port=0", "--conf-file=/dev/null", "--user=root", "--interface=eth0",
			"--bind-interfaces", "--dhcp-range=2001:db8:1::,ra-only", "--enable-ra", "--dhcp-leasefile="+t.TempDir()+"/leases")
		if err := router.Start(cmd); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		var facts step.Facts
		netnstest.Wait(t, "the host has an advertised default route and prefix", func() error {
			var err error
			if facts, err = h.Facts(t.Context()); err != nil {
				return err
			}
			found := 0
			for _, r := range facts.Routes {
				if r.FromRA && r.Link == "eth9" && (r.Dest.Bits() == 0 && r.Gateway.IsLinkLocalUnicast() || r.Dest == netip.MustParsePrefix("2001:db8:1::/64")) {
					found++
				}
			}
			if found != 2 {
				return errors.New("not yet")
			}
			return nil
		})
		if facts.AcceptRA["eth9"] != 1 {
			t.Errorf("accept_ra is %v", facts.AcceptRA)
		}
		seen := false
		for _, r := range facts.Routes {
			if r.Dest == netip.MustParsePrefix("2001:db8:2::/64") {
				seen = true
				if r.FromRA {
					t.Errorf("%+v is no advertised route", r)
				}
			}
		}
		if !seen {
			t.Errorf("the route of the address with a lifetime is missing: %+v", facts.Routes)
		}
	})
}

// TestBareHost: in a namespace where nothing was ever up, a dump of routes ends
// with an error that the kernel explains.
func TestBareHost(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		runtime.LockOSThread() // and never unlocked: the thread ends with the test
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Fatal(err)
		}
		facts, err := testHost(t).Facts(t.Context())
		if err != nil || len(facts.Routes) != 0 {
			t.Errorf("routes %v, %v", facts.Routes, err)
		}
	})
}

// TestLinksAreFollowed: after a first look links are only followed by the
// kernel's notifications, yet each look must show what a fresh one does.
func TestLinksAreFollowed(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		for _, line := range []string{
			"",
			"link add br0 type bridge", "link add br1 type bridge", "link add va type veth peer name vb",
			"link set va master br0", "link set vb master br1", "link set va master br1", "link set va nomaster",
			"link set vb name vc", "link set br1 name br7", "link set br0 up", "link set vc down",
			"netns add other", "link set va netns other", "-n other link set va netns " + strconv.Itoa(os.Getpid()), "-n other link add vd type bridge",
			"link del br7", "link add br1 type bridge", "link set vc master br1", "link del va", "netns del other",
		} {
			if line != "" {
				output(t, "ip", strings.Fields(line)...)
			}
			followed, err := h.Facts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := testHost(t).Facts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fresh.Links, followed.Links); diff != "" {
				t.Errorf("after ip %s (-fresh +followed):\n%s", line, diff)
			}
		}
		// More changes than the kernel keeps for us.
		for range 3000 {
			run(t, h, step.SetMTU{Link: "br0", MTU: 1400}, step.SetMTU{Link: "br0", MTU: 1500})
		}
		run(t, h, step.DelLink{Name: "br0"})
		if facts, err := h.Facts(t.Context()); err != nil || len(facts.Links) != 2 {
			t.Errorf("after many changes: %+v, %v", facts.Links, err)
		}
	})
}
