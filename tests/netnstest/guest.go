package netnstest

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Guest is a network namespace with one network card, "eth0", whose other
// end is in the test's namespace: on a bridge like a virtual machine's tap, or
// free like the cable to an outside host. It is also a named namespace, so that
// `ip -n NAME addr` shows it to a person.
type Guest struct {
	Name string           // unique in the test
	Tap  string           // the card's other end, in the test's namespace
	MAC  net.HardwareAddr // of eth0
	ns   netns.NsHandle
}

// NewGuest makes a guest on a bridge. Its card is up and has a fixed MAC
// (derived from the name), a link-local address and nothing else. All of it goes when the test
// ends.
func NewGuest(t testing.TB, name, bridge string) *Guest {
	t.Helper()
	g := newGuest(t, name)
	if err := g.plug(bridge); err != nil {
		t.Fatalf("plugging guest %q into %q: %v", name, bridge, err)
	}
	return g
}

// NewOutside makes a host outside: its eth0 has the address peer, and its other
// end, the link hostLink in the test's namespace, has the address host. Nothing
// else is configured; the outside host knows no route back to guests (see
// [Guest.Route]).
func NewOutside(t testing.TB, name, hostLink string, host, peer netip.Prefix) *Guest {
	t.Helper()
	g := newGuestLink(t, name, hostLink)
	if err := addAddress(hostLink, host); err != nil {
		t.Fatalf("adding %s to %q: %v", host, hostLink, err)
	}
	if err := g.Do(func() error { return addAddress("eth0", peer) }); err != nil {
		t.Fatalf("adding %s to outside host %q: %v", peer, name, err)
	}
	return g
}

func newGuest(t testing.TB, name string) *Guest { return newGuestLink(t, name, "vnet-"+name) }

// newGuestLink makes the namespace and the veth pair; both ends are up.
func newGuestLink(t testing.TB, name, link string) *Guest {
	t.Helper()
	g := &Guest{Name: name, Tap: link, MAC: macFor(name)}
	ns, err := newNamespace(name)
	if err != nil {
		t.Fatalf("making the namespace of guest %q: %v", name, err)
	}
	g.ns = ns
	t.Cleanup(func() { _ = ns.Close() })
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: link})
	veth.PeerName = "eth0"
	veth.PeerHardwareAddr = g.MAC
	veth.PeerNamespace = netlink.NsFd(int(ns))
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatalf("making the card of guest %q: %v", name, err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	if err := setUp(link); err != nil {
		t.Fatalf("bringing up %q: %v", link, err)
	}
	if err := g.Do(func() error { return setUp("lo", "eth0") }); err != nil {
		t.Fatalf("bringing up the card of guest %q: %v", name, err)
	}
	return g
}

// newNamespace makes a named network namespace.
func newNamespace(name string) (netns.NsHandle, error) {
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return netns.None(), err
	}
	var ns netns.NsHandle
	err := onThread(func() error {
		var err error
		ns, err = netns.NewNamed(name)
		return err
	})
	return ns, err
}

// onThread runs fn on a thread that ends with it, so that fn may change the
// thread's namespace.
func onThread(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies
		home, err := netns.Get()
		if err == nil {
			err = fn()
			if back := netns.Set(home); err == nil { // the main thread cannot die
				err = back
			}
			_ = home.Close()
		}
		done <- err
	}()
	return <-done
}

// Do runs fn on a thread inside the guest's network namespace. Sockets that fn
// opens stay there; goroutines that it starts do not. Nothing of fn may call
// t.Fatal.
func (g *Guest) Do(fn func() error) error {
	return onThread(func() error {
		if err := netns.Set(g.ns); err != nil {
			return fmt.Errorf("entering the namespace of guest %q: %w", g.Name, err)
		}
		return fn()
	})
}

// Start starts a command inside the guest's network namespace.
func (g *Guest) Start(cmd *exec.Cmd) error { return g.Do(cmd.Start) }

// Output runs a program inside the guest's network namespace and returns what
// it prints; the error holds what it prints to stderr.
func (g *Guest) Output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := g.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return stdout.String(), fmt.Errorf("guest %s: %s %s: %w: %s", g.Name, filepath.Base(name),
			strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Run is [Guest.Output], and fails the test on an error.
func (g *Guest) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := g.Output(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Address adds an address to the guest's eth0 (IPv6 without duplicate address
// detection).
func (g *Guest) Address(t testing.TB, a netip.Prefix) {
	t.Helper()
	if err := g.Do(func() error { return addAddress("eth0", a) }); err != nil {
		t.Fatalf("adding %s to guest %q: %v", a, g.Name, err)
	}
}

// Route adds a route by a gateway to the guest.
func (g *Guest) Route(t testing.TB, dest netip.Prefix, gateway netip.Addr) {
	t.Helper()
	err := g.Do(func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: ipNet(dest.Masked()), Gw: gateway.AsSlice()})
	})
	if err != nil {
		t.Fatalf("adding route %s via %s to guest %q: %v", dest, gateway, g.Name, err)
	}
}

// plug puts the tap on a bridge.
func (g *Guest) plug(bridge string) error {
	master, err := netlink.LinkByName(bridge)
	if err != nil {
		return err
	}
	tap, err := netlink.LinkByName(g.Tap)
	if err != nil {
		return err
	}
	return netlink.LinkSetMaster(tap, master)
}

// macFor derives a MAC of QEMU's prefix from a name.
func macFor(name string) net.HardwareAddr {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	sum := h.Sum32()
	return net.HardwareAddr{0x52, 0x54, 0x00, byte(sum >> 16), byte(sum >> 8), byte(sum)}
}

func setUp(names ...string) error {
	for _, name := range names {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("looking up %q: %w", name, err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("bringing up %q: %w", name, err)
		}
	}
	return nil
}

func addAddress(name string, a netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipNet(a)}
	if a.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	return netlink.AddrAdd(link, addr)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
