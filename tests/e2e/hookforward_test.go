package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
)

// tellsCaller serves TCP in a guest for as long as the test runs: who connects is
// told the guest's name and the address that he seems to have.
func tellsCaller(t *testing.T, g *netnstest.Guest, at string) {
	t.Helper()
	var l net.Listener
	if err := g.Do(func() (err error) { l, err = net.Listen("tcp", at); return err }); err != nil {
		t.Fatalf("listening on %s in guest %s: %v", at, g.Name, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			_, _ = fmt.Fprintf(c, "%s %s", g.Name, from)
			_ = c.Close()
		}
	}()
}

// calls connects from a guest, or with nil from the host, and returns what it is
// told, or why it is not.
func calls(from *netnstest.Guest, to string) string {
	dial := func() (text string, err error) {
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp", to)
		if err != nil {
			return "", err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		data, err := io.ReadAll(c)
		return string(data), err
	}
	var text string
	var err error
	if from == nil {
		text, err = dial()
	} else {
		err = from.Do(func() (err error) { text, err = dial(); return err })
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case err != nil:
		return err.Error()
	}
	return text
}

// wantCall waits until a call is answered as it should be.
func wantCall(t *testing.T, what string, from *netnstest.Guest, to, want string) {
	t.Helper()
	var got string
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for got = calls(from, to); got != want && ctx.Err() == nil; got = calls(from, to) {
	}
	if got != want {
		t.Errorf("%s: %s answers %q, want %q", what, to, got, want)
	}
}

// TestHookForward: port forwards into a network of Debian's libvirtd, whose own
// rules reject new connections to guests: from outside, from the host and from
// guests, in both families; they outlive what libvirtd does to its rules, follow
// the guest and the file, and go with the network.
func TestHookForward(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
		out := newOutside(t)
		const six = "<virbr:ipv6 advprefix='fd00:5::/64' dhcp='stateful'/>"
		const web = "<virbr:portForward proto='tcp' guest='web'><virbr:range start='8080' to='80'/></virbr:portForward>"
		extendFile(t, "default", six+web)
		d := startHooked(t)
		d.up("default", hookedXML)
		g, other := netnstest.NewGuest(t, "web", "virbr0"), netnstest.NewGuest(t, "other", "virbr0")
		lease, err := g.DHCP(t, "-x", "hostname:web").Address()
		if err != nil {
			t.Fatal(err)
		}
		otherLease, err := other.DHCP(t, "-x", "hostname:other").Address()
		if err != nil {
			t.Fatal(err)
		}
		linkLocal(t, g)
		g.DHCP6(t)
		tellsCaller(t, g, ":80")
		tellsCaller(t, other, ":80")
		working := func(when string) {
			t.Helper()
			wantCall(t, when+": from outside", out, uplink4+":8080", "web "+outside4)
			wantCall(t, when+": from the host", nil, uplink4+":8080", "web "+uplink4)
			wantCall(t, when+": from the host's loopback", nil, "127.0.0.1:8080", "web 192.168.122.1")
			wantCall(t, when+": from the same network", other, "192.168.122.1:8080", "web 192.168.122.1")
		}
		working("at first")
		if got := calls(out, uplink4+":80"); got != "refused" {
			t.Errorf("a port that is not forwarded: %s", got)
		}
		run(t, "nft", "add table ip another; add chain ip another pre { type nat hook prerouting priority -110; }; "+
			"add rule ip another pre tcp dport { 8090, 8080 } ip daddr "+uplink4+" meta mark set 0xffffffff dnat to "+otherLease.String()+":80")
		if got := calls(out, uplink4+":8090"); got != "refused" {
			t.Errorf("what another program translates: %s", got)
		}
		if got := calls(out, uplink4+":8080"); got != "refused" {
			t.Errorf("what another program translates where we would: %s", got)
		}
		run(t, "nft", "delete table ip another")

		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		d.virsh("net-update", "default", "add", "dns-host", "<host ip='192.168.122.1'><hostname>gate</hostname></host>", "--live")
		working("after SIGHUP and net-update")
		d.stop()
		working("without libvirtd")
		d = startLibvirtd(t)
		working("with a new libvirtd")
		if out, err := exec.CommandContext(t.Context(), "iptables-save").CombinedOutput(); err != nil || !strings.Contains(string(out), "LIBVIRT_FWI") {
			t.Errorf("iptables cannot read its tables any more: %v\n%s", err, out)
		}

		// What people edit counts at once; a mistake counts for nothing.
		extendFile(t, "default", six+strings.ReplaceAll(web, "8080", "8081"))
		wantCall(t, "another port", out, uplink4+":8081", "web "+outside4)
		wantCall(t, "the former port", out, uplink4+":8080", "refused")
		extendFile(t, "default", six+"<virbr:portForward/>")
		netnstest.Wait(t, "the mistake is told", func() error {
			if r, _ := report(t, "default"); !strings.Contains(r.Error, "portForward") {
				return fmt.Errorf("report %+v", r)
			}
			return nil
		})
		wantCall(t, "after a mistake", out, uplink4+":8081", "web "+outside4)
		extendFile(t, "default", six+web)
		working("after it was mended")
		extendFile(t, "default", six+strings.ReplaceAll(web, "guest=", "from='192.0.2.0/24' guest="))
		wantCall(t, "a forward of others", out, uplink4+":8080", "refused")
		extendFile(t, "default", six+strings.ReplaceAll(web, "guest=", "from='"+outside4+", 127.0.0.1' guest="))
		wantCall(t, "a forward for some", out, uplink4+":8080", "web "+outside4)
		wantCall(t, "a forward for some, from the host's loopback", nil, "127.0.0.1:8080", "web 192.168.122.1")
		wantCall(t, "a forward for some, from the same network", other, "192.168.122.1:8080", "refused")
		extendFile(t, "default", six+web)
		working("for everybody again")
		wantCall(t, "from the host's ::1", nil, "[::1]:8080", "web fd00:5::1")

		// The name goes to another guest.
		run(t, "ip", "link", "del", g.Tap)
		release4(t, other, otherLease.String())
		if _, err := other.DHCP(t, "-x", "hostname:other").Address(); err != nil {
			t.Fatal(err)
		}
		_ = lease
		extendFile(t, "default", six+strings.ReplaceAll(web, "guest='web'", "guest='other'"))
		wantCall(t, "another guest", out, uplink4+":8080", "other "+outside4)

		run(t, "nft", "flush", "ruleset")
		wantCall(t, "after nft flush ruleset", out, uplink4+":8080", "other "+outside4)
		d.virsh("net-destroy", "default")
		nothingAdded(t)
	})
}

// hookedFile writes a network's XML where virsh can read it.
func hookedFile(t *testing.T, doc string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "net.xml")
	write(t, path, doc)
	return path
}

// TestHookPortTaken: a network starts without a port on which somebody listens, or
// which another network has, and gets it when it is free; who has it is told.
func TestHookPortTaken(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l, err := net.Listen("tcp", ":8080")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		extendFile(t, "default", "<virbr:portForward proto='tcp' guest='192.168.122.9'><virbr:range start='8080'/></virbr:portForward>")
		d := startHooked(t)
		listed := func(network, want string) {
			t.Helper()
			netnstest.Wait(t, network+" has "+want, func() error {
				if text := mustVirbr(t, "forward", "list", network); !strings.Contains(text, want) {
					return errors.New(text)
				}
				return nil
			})
		}
		d.virsh("net-define", hookedFile(t, hookedXML))
		d.virsh("net-start", "default")
		listed("default", fmt.Sprintf("(pid %d), tried again", os.Getpid()))
		_ = l.Close()
		listed("default", "active to 192.168.122.9")
		other := strings.NewReplacer("default", "other", "virbr0", "virbr1", "192.168.122", "192.168.123", "00000a", "00000b", ":0a'", ":0b'").Replace(hookedXML)
		extendFile(t, "other", "<virbr:portForward proto='tcp' guest='192.168.123.9'><virbr:range start='8000' end='8100'/></virbr:portForward>")
		d.virsh("net-define", hookedFile(t, other))
		d.virsh("net-start", "other")
		listed("other", "active to 192.168.123.9; port 8080 taken by network 'default'")
		d.virsh("net-destroy", "default")
		listed("other", "active to 192.168.123.9\n")
		d.virsh("net-destroy", "other")
		nothingAdded(t)
	})
}
