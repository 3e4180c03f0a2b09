package host_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/tests/netnstest"
)

// beside is a host with a bridge, a guest on it that gets addresses and names
// from the host, and somebody outside whom the guest asks.
type beside struct {
	t              *testing.T
	host           *host.Host
	guest, outside *netnstest.Guest
	news           chan news
	accepts        step.AcceptInForeignTables
	env            []string // of scripts, besides what is usual
}

// news is what the host told of others' changes.
type news struct {
	by   string
	ours bool
}

// The places of the lab.
const (
	labBridge = "virbr0"
	labPort   = 7
)

// guestAccepts is what a start of the lab's network asks for.
func guestAccepts() step.AcceptInForeignTables {
	return step.AcceptInForeignTables{Bridge: labBridge, Forward: true, Leave: true, Enter: coexist.EnterAny, Serve: []step.Served{
		{Proto: "udp", Port: 67}, {Proto: "udp", Port: 53}, {Proto: "tcp", Port: 53}, {Proto: "udp", Port: 547},
	}}
}

func newBeside(t *testing.T, cfg host.Config) *beside {
	t.Helper()
	netnstest.NeedProgram(t, "nft", "ip", "dnsmasq", "busybox")
	l := &beside{t: t, news: make(chan news, 64), accepts: guestAccepts()}
	l.sh(`sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		ip link add virbr0 type bridge; ip link set virbr0 up
		ip addr add 192.168.122.1/24 dev virbr0; ip addr add fd00:122::1/64 dev virbr0 nodad`)
	l.guest = netnstest.NewGuest(t, "guest", labBridge)
	l.guest.Address(t, netip.MustParsePrefix("192.168.122.2/24"))
	l.guest.Address(t, netip.MustParsePrefix("fd00:122::2/64"))
	l.outside = netnstest.NewOutside(t, "outside", "up0", netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24"))
	l.sh("ip addr add fd00:2::1/64 dev up0 nodad")
	l.outside.Address(t, netip.MustParsePrefix("fd00:2::2/64"))
	for _, g := range []struct {
		g        *netnstest.Guest
		via, six string
	}{{l.guest, "192.168.122.1", "fd00:122::1"}, {l.outside, "192.0.2.1", "fd00:2::1"}} {
		g.g.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr(g.via))
		g.g.Route(t, netip.MustParsePrefix("::/0"), netip.MustParseAddr(g.six))
		answerUDP(t, g.g)
	}
	l.serve()
	l.host = newBare(t, cfg).host
	return l
}

// newBare is a host without anybody.
func newBare(t *testing.T, cfg host.Config) *beside {
	t.Helper()
	h, err := host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return &beside{t: t, host: h}
}

// sh runs a shell script.
func (l *beside) sh(script string, args ...string) string {
	l.t.Helper()
	out, err := l.try(script, args...)
	if err != nil {
		l.t.Fatalf("%v\n%s", err, script)
	}
	return out
}

func (l *beside) try(script string, args ...string) (string, error) {
	cmd := exec.CommandContext(l.t.Context(), "/bin/sh", append([]string{"-ec", script, "sh"}, args...)...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"), l.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%w: %s", err, out)
	}
	return string(out), nil
}

// serve starts a dnsmasq for the guest.
func (l *beside) serve() {
	l.t.Helper()
	dir := l.t.TempDir()
	cmd := exec.Command("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--interface=virbr0", "--bind-dynamic",
		"--user=root", "--except-interface=lo", "--dhcp-range=192.168.122.100,192.168.122.150", "--address=/web.lab/192.0.2.2", "--dhcp-no-override",
		"--pid-file="+filepath.Join(dir, "pid"), "--dhcp-leasefile="+filepath.Join(dir, "leases"))
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	netnstest.Wait(l.t, "dnsmasq serves", func() error {
		_, err := os.Stat(filepath.Join(dir, "pid"))
		return err
	})
}

// answerUDP has somebody answer what is sent to a port by UDP.
func answerUDP(t *testing.T, g *netnstest.Guest) {
	t.Helper()
	var conn net.PacketConn
	err := g.Do(func() (err error) {
		conn, err = net.ListenPacket("udp", fmt.Sprintf(":%d", labPort))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 64); ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(buf[:n], from)
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
}

// Deadlines for an answer: one that is to come is asked for again until the
// first one is over, for one that is not to come the second is waited for.
const (
	answerPatience  = 20 * time.Second
	silencePatience = 300 * time.Millisecond
)

// asks reports whether an echo answers from an address.
func asks(g *netnstest.Guest, to string, patience time.Duration) error {
	var conn net.Conn
	err := g.Do(func() (err error) {
		conn, err = net.Dial("udp", net.JoinHostPort(to, fmt.Sprint(labPort)))
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return repeat(conn, []byte("?"), patience)
}

// repeat sends a question until there is an answer.
func repeat(conn net.Conn, question []byte, patience time.Duration) error {
	end := time.Now().Add(patience)
	for buf := make([]byte, 512); ; {
		if _, err := conn.Write(question); err != nil && time.Now().After(end) {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(min(patience, silencePatience)))
		_, err := conn.Read(buf)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// resolves reports whether the host answers a question for a name: web.lab, A.
func resolves(g *netnstest.Guest, patience time.Duration) error {
	var conn net.Conn
	err := g.Do(func() (err error) {
		conn, err = net.Dial("udp", "192.168.122.1:53")
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return repeat(conn, []byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x03lab\x00\x00\x01\x00\x01"), patience)
}

// leases reports whether the guest gets an address.
func (l *beside) leases(tries int) error {
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	_, err := l.guest.TryDHCP(ctx, l.t.TempDir(), "-t", fmt.Sprint(tries))
	return err
}

// What of the network is checked.
const (
	forward4 = "IPv4 to outside"
	forward6 = "IPv6 to outside"
	names    = "names from the host"
	leases   = "addresses from the host"
)

func (l *beside) check(what string, patience time.Duration) error {
	switch what {
	case forward4:
		return errors.Join(asks(l.guest, "192.0.2.2", patience), asks(l.outside, "192.168.122.2", patience))
	case forward6:
		return errors.Join(asks(l.guest, "fd00:2::2", patience), asks(l.outside, "fd00:122::2", patience))
	case names:
		return resolves(l.guest, patience)
	default:
		if patience == silencePatience {
			return l.leases(1)
		}
		return l.leases(10)
	}
}

// blocked wants that none of these works.
func (l *beside) blocked(what ...string) {
	l.t.Helper()
	for _, w := range what {
		if l.check(w, silencePatience) == nil {
			l.t.Errorf("%s: is there, though somebody drops it; the test shows nothing", w)
		}
	}
}

// works wants that all of these work.
func (l *beside) works(when string) {
	l.t.Helper()
	for _, w := range []string{forward4, forward6, names, leases} {
		if err := l.check(w, answerPatience); err != nil {
			l.t.Fatalf("%s: %s: %v\n%s", when, w, err, l.sh("nft -a list ruleset"))
		}
	}
}

// rules returns all rules, without counters.
func (l *beside) rules() string {
	l.t.Helper()
	return l.sh(`nft -s list ruleset
		for i in iptables-legacy ip6tables-legacy; do $i -S 2>/dev/null || true; done`)
}

// watch begins to collect what the host tells.
func (l *beside) watch() {
	l.t.Helper()
	ctx, cancel := context.WithCancel(l.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- host.WatchRules(l.host, ctx, func(by string, ours bool) {
			select {
			case l.news <- news{by, ours}:
			case <-ctx.Done():
			}
		})
	}()
	netnstest.Wait(l.t, "the host listens", listening)
	l.t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			l.t.Errorf("watching ended with %v", err)
		}
	})
}

// listening returns nil when somebody in the namespace listens to changes of
// nftables.
func listening() error {
	data, err := os.ReadFile("/proc/thread-self/net/netlink")
	for line := range strings.Lines(string(data)) {
		const netfilter, rules = "12", "00000040" // NETLINK_NETFILTER, 1 << (NFNLGRP_NFTABLES - 1)
		if words := strings.Fields(line); len(words) > 3 && words[1] == netfilter && words[3] == rules {
			return nil
		}
	}
	return errors.Join(err, errors.New("nobody listens"))
}

// mendUntil runs the op again with all news until the wanted rules are there.
func (l *beside) mendUntil(whole func() error) (all []news) {
	l.t.Helper()
	err := whole()
	for err != nil {
		select {
		case n := <-l.news:
			all = append(all, n)
			run(l.t, l.host, l.accepts)
		case <-time.After(answerPatience):
			l.t.Fatalf("nothing was told of the change: %v\n%s", err, l.rules())
		}
		err = whole()
	}
	return all
}

// accepted wants a rule of ours in a place.
func (l *beside) accepted(list, text string) func() error {
	return func() error {
		out, err := l.try(list)
		if err == nil && !strings.Contains(out, text) {
			err = fmt.Errorf("%q has no %q", list, text)
		}
		return err
	}
}
