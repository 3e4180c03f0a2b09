package driver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// greeter answers every connection to a port of a guest with a word.
func greeter(t *testing.T, g *netnstest.Guest, port int, word string) {
	t.Helper()
	var l net.Listener
	err := g.Do(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	})
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
			_, _ = fmt.Fprintln(c, word) // it stays open, until the other end closes it or forgets it
		}
	}()
}

// greeted returns what a server says to somebody in another namespace, or on the
// host.
func greeted(ctx context.Context, do func(func() error) error, addr string) (word string, err error) {
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	err = do(func() error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		deadline, _ := ctx.Deadline()
		if err := c.SetDeadline(deadline); err != nil {
			return err
		}
		word, err = bufio.NewReader(c).ReadString('\n')
		return err
	})
	return strings.TrimSpace(word), err
}

func here(fn func() error) error { return fn() }

func (k *kernel) wantGreeting(what string, do func(func() error) error, addr, want string) {
	k.t.Helper()
	netnstest.Wait(k.t, what, func() error {
		word, err := greeted(k.t.Context(), do, addr)
		if want == "" && err == nil {
			return fmt.Errorf("%s says %q", addr, word)
		}
		if want == "" || err == nil && word == want {
			return nil
		}
		return fmt.Errorf("%s says %q, %v", addr, word, err)
	})
}

// TestKernelForward: a guest with an address that nobody but the kernel knows of
// is reached from outside and from the host, until the forward is removed; rules
// that somebody flushed are back, and so is a killed dnsmasq.
func TestKernelForward(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		k := onKernel(t)
		k.follow()
		ref := k.define(unlimited("default", 7))
		k.start(ref)
		outside := netnstest.NewOutside(t, "outside", "up0", netip.MustParsePrefix("203.0.113.1/24"), netip.MustParsePrefix("203.0.113.2/24"))
		guest := netnstest.NewGuest(t, "guest", "virbr7")
		guest.Address(t, netip.MustParsePrefix("192.168.7.77/24"))
		guest.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.168.7.1"))
		greeter(t, guest, 80, "hello")
		err := k.edit(ref, func(e *xml.Extensions) error {
			return e.AddForward(xml.PortForward{Proto: "tcp", Guest: guest.MAC.String(), Ranges: []xml.ForwardRange{{Start: 8080, To: 80}}}, xml.Last)
		})
		if err != nil {
			t.Fatal(err)
		}
		netnstest.Wait(t, "the guest is seen", func() error {
			_, err := guest.Output(t.Context(), "ping", "-c", "1", "-W", "1", "192.168.7.1")
			return err
		})
		k.wantGreeting("from outside", outside.Do, "203.0.113.1:8080", "hello")
		k.wantGreeting("from the host", here, "127.0.0.1:8080", "hello")

		k.told()
		k.flush()
		netnstest.Wait(t, "it is told that rules are in again", func() error {
			if told := k.told(); !strings.Contains(strings.Join(told, " "), "default healed") {
				return fmt.Errorf("told %q", told)
			}
			return nil
		})
		k.wantGreeting("after a flush", outside.Do, "203.0.113.1:8080", "hello")

		k.kill("default")
		if err := k.edit(ref, func(e *xml.Extensions) error { e.Forwards = nil; return nil }); err != nil {
			t.Fatal(err)
		}
		k.wantGreeting("when it is removed", outside.Do, "203.0.113.1:8080", "")
	})
}

// flush is what nftables.service does when it starts.
func (k *kernel) flush() {
	k.t.Helper()
	netnstest.NeedProgram(k.t, "nft")
	if out, err := exec.CommandContext(k.t.Context(), "nft", "flush", "ruleset").CombinedOutput(); err != nil {
		k.t.Fatalf("nft flush ruleset: %v\n%s", err, out)
	}
}

// kill ends a network's dnsmasq, and waits for the next.
func (k *kernel) kill(name string) {
	k.t.Helper()
	var pid int
	if _, err := fmt.Sscan(k.pid(name), &pid); err != nil {
		k.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		k.t.Fatal(err)
	}
	netnstest.Wait(k.t, "dnsmasq is back", func() error {
		var now int
		data, err := os.ReadFile(filepath.Join(k.dirs.State, name+".pid"))
		if err == nil {
			_, err = fmt.Sscan(string(data), &now)
		}
		if err == nil && now == pid {
			err = errors.New("no other process")
		}
		return err
	})
}

// guestAddress is what a guest makes of a prefix and its MAC address.
func guestAddress(mac net.HardwareAddr) string {
	a := netip.MustParseAddr("2001:db8:7::").As16()
	copy(a[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(a).String()
}

// TestKernelAnswers: a guest behind an uplink whose router takes all of the prefix
// to be on the link is reached by its own IPv6 address.
func TestKernelAnswers(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		k := onKernel(t)
		k.follow()
		router := netnstest.NewOutside(t, "router", "up0", netip.MustParsePrefix("2001:db8:7::2/64"), netip.MustParsePrefix("2001:db8:7::1/64"))
		doc := unlimited("default", 7)
		doc = strings.Replace(doc, "  <ip ", "  <ipv6 advprefix='2001:db8:7::f/64' inbound='accept' force='yes' proxyndp='up0'/>\n  <ip ", 1)
		ref := k.define(doc)
		k.start(ref)
		guest := netnstest.NewGuest(t, "guest", "virbr7")
		at := guestAddress(guest.MAC)
		greeter(t, guest, 80, "hello")
		netnstest.Wait(t, "the guest reaches the router", func() error {
			_, err := guest.Output(t.Context(), "ping", "-6", "-c", "1", "-W", "1", "2001:db8:7::1")
			return err
		})
		k.wantGreeting("from the router", router.Do, "["+at+"]:80", "hello")
		k.wantGreeting("from the host", here, "["+at+"]:80", "hello")
		k.destroy(ref)
		if out, err := exec.CommandContext(t.Context(), "ip", "-6", "neighbour", "show", "proxy").CombinedOutput(); err != nil || strings.Contains(string(out), "2001:db8:7") {
			t.Errorf("after the stop: %v\n%s", err, out)
		}
	})
}
