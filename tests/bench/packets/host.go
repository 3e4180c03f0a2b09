package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/bench/side"
	"github.com/virbr/virbr/tests/libvirttest"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// The addresses of the first network's guest, of its bridge and of the outside.
const (
	guestAddr   = "10.100.0.2"
	gatewayAddr = "10.100.0.1"
	uplinkAddr  = "192.0.2.1"
	outsideAddr = "192.0.2.2"
)

// firstPort is where forward number 1 listens; each next one has the next port.
const firstPort = 20000

// serve is the child: it becomes the host and measures for every line that it
// reads, until that ends.
func serve(text, virbrd string, span time.Duration) error {
	s, err := parseSetup(text)
	if err != nil {
		return err
	}
	if err := netnstest.Enter(); err != nil {
		return err
	}
	if err := room(); err != nil {
		return err
	}
	stop, err := s.start(virbrd)
	if err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	defer stop()
	if err := wire(); err != nil {
		return err
	}
	if s.daemon == "guard" {
		if err := guard(s.networks); err != nil {
			return err
		}
	}
	return side.Serve(func(string) (sample, error) { return measure(span, s.forwards > 0) })
}

// room sees to it that connection tracking has room for all new flows, and the
// process for their sockets.
func room() error {
	const key = "/proc/sys/net/netfilter/nf_conntrack_max"
	text, err := os.ReadFile(key)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || n > 0 && n < 4*manyFlows {
		return fmt.Errorf("needs room for %d connections: sysctl -w net.netfilter.nf_conntrack_max=%[1]d (%v)", 4*manyFlows, err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur, limit.Max = max(limit.Cur, 2*manyFlows), max(limit.Max, 2*manyFlows)
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

// run runs a program and says what it complains of.
func run(stdin, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// wire makes a guest on the first bridge and a host outside, each a namespace
// with one card, and an uplink.
func wire() error {
	script := fmt.Sprintf(`
ip netns add guest
ip netns add outside
ip link add tap0 type veth peer name eth0 netns guest
ip link set tap0 master virbr0 up
ip -n guest link set lo up
ip -n guest link set eth0 up
ip -n guest addr add %s/24 dev eth0
ip -n guest route add default via %s
ip link add uplink type veth peer name eth0 netns outside
ip link set uplink up
ip addr add %s/24 dev uplink
ip -n outside link set lo up
ip -n outside link set eth0 up
ip -n outside addr add %s/24 dev eth0
ip -n outside route add 10.100.0.0/16 via %s
`, guestAddr, gatewayAddr, uplinkAddr, outsideAddr, uplinkAddr)
	return run(script, "sh", "-e")
}

// guard guards so many ports of the bridge, of which one is the guest's. The others are
// in the kernel's sets only.
func guard(ports int) error {
	g := &firewall.Guard{Owner: "virbr0"}
	for i := range ports {
		a := netip.AddrFrom4([4]byte{10, 101, byte(i >> 8), byte(i)})
		p := firewall.GuardPort{Link: fmt.Sprintf("tap%d", i), MACs: []xml.MAC{{0x52, 0x54, 0, 1, byte(i >> 8), byte(i)}}}
		p.Stops = slices.DeleteFunc(firewall.Causes(), func(c firewall.Cause) bool { return c == firewall.StopUnknown })
		if i == 0 {
			a = netip.MustParseAddr(guestAddr)
			err := inside("guest", func() error {
				link, err := net.InterfaceByName("eth0")
				if err == nil {
					p.MACs[0] = xml.MAC(link.HardwareAddr)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		p.Addrs, p.Asks = []netip.Prefix{netip.PrefixFrom(a, 32)}, []netip.Addr{netip.MustParseAddr(gatewayAddr)}
		g.Ports = append(g.Ports, p)
	}
	slices.SortFunc(g.Ports, func(a, b firewall.GuardPort) int { return strings.Compare(a.Link, b.Link) })
	conn, err := fwnetlink.Open(0)
	if err != nil {
		return err
	}
	return errors.Join(fwnetlink.Install(conn, &firewall.Network{Bridge: g.Owner, Guard: g}), conn.Close())
}

// start has the networks made, and returns what ends the daemon.
func (s setup) start(virbrd string) (stop func(), err error) {
	switch s.daemon {
	case "none", "guard":
		return func() {}, run("ip link add virbr0 type bridge\nip addr add "+gatewayAddr+"/24 dev virbr0\nip link set virbr0 up\nsysctl -qw net.ipv4.ip_forward=1\n", "sh", "-e")
	case "virbrd":
		return s.networksOf("network:///system?mode=direct", exec.Command(virbrd))
	case "libvirtd":
		if err := libvirttest.Prepare(); err != nil {
			return nil, err
		}
		return s.networksOf("network:///system?mode=legacy", exec.Command("libvirtd"))
	}
	return nil, fmt.Errorf("there is no daemon %q", s.daemon)
}

func (s setup) networksOf(uri string, cmd *exec.Cmd) (stop func(), err error) {
	log, err := os.CreateTemp("", "packets-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	if err := s.create(uri); err != nil {
		text, _ := os.ReadFile(log.Name())
		stop()
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return stop, nil
}

// create waits for the daemon and makes the networks. They have no dnsmasq,
// which is no part of a packet's way.
func (s setup) create(uri string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); run("", "virsh", "-c", uri, "uri") != nil; {
		select {
		case <-ctx.Done():
			return errors.New("the daemon does not answer")
		case <-tick.C:
		}
	}
	dir, err := os.MkdirTemp("", "packets-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var script strings.Builder
	for n := range s.networks {
		path := filepath.Join(dir, fmt.Sprintf("%d.xml", n))
		if err := os.WriteFile(path, []byte(s.network(n)), 0o600); err != nil {
			return err
		}
		fmt.Fprintf(&script, "net-create %s\n", path)
	}
	out, err := exec.Command("virsh", "-c", uri, script.String()).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("error:")) {
		return fmt.Errorf("making the networks: %w\n%s", err, out)
	}
	return nil
}

// network returns the XML of the nth network.
func (s setup) network(n int) string {
	var metadata strings.Builder
	if n == 0 && s.forwards > 0 {
		metadata.WriteString("<metadata><v:network xmlns:v='urn:virbr:network:1'>")
		for i := range s.forwards {
			fmt.Fprintf(&metadata, "<v:portForward proto='udp' guest='%s'><v:range start='%d' to='7'/></v:portForward>", guestAddr, firstPort+i)
		}
		metadata.WriteString("</v:network></metadata>")
	}
	return fmt.Sprintf(`<network><name>net%[1]d</name>%[2]s<forward mode='nat'/><bridge name='virbr%[1]d' stp='off'/><dns enable='no'/><ip address='10.%[3]d.%[4]d.1' netmask='255.255.255.0'/></network>`,
		n, metadata.String(), 100+n/250, n%250)
}
