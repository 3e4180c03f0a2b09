package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

// handed are the networks that go from one daemon to the other.
var handed = map[string]string{
	"nat": `<network><name>nat</name><uuid>c0ffee00-0000-4000-8000-000000000001</uuid>
  <forward mode='nat'><nat ipv6='yes'/></forward><bridge name='vb-nat'/><mac address='52:54:00:00:01:01'/>
  <domain name='nat.example'/>
  <ip address='10.81.0.1' netmask='255.255.255.0'><dhcp><range start='10.81.0.2' end='10.81.0.99'/></dhcp></ip>
  <ip family='ipv6' address='fd00:81::1' prefix='64'/>
</network>`,
	"route": `<network><name>route</name><uuid>c0ffee00-0000-4000-8000-000000000002</uuid>
  <forward mode='route'/><bridge name='vb-route'/><mac address='52:54:00:00:01:02'/>
  <ip address='10.82.0.1' netmask='255.255.255.0'><dhcp><range start='10.82.0.2' end='10.82.0.99'/></dhcp></ip>
</network>`,
	"isolated": `<network><name>isolated</name><uuid>c0ffee00-0000-4000-8000-000000000003</uuid>
  <bridge name='vb-isolated'/><mac address='52:54:00:00:01:03'/>
  <ip address='10.83.0.1' netmask='255.255.255.0'><dhcp><range start='10.83.0.2' end='10.83.0.99'/></dhcp></ip>
</network>`,
}

// TestHandover: networks go from Debian's libvirtd to virbrd and back, and no
// guest notices.
func TestHandover(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "libvirtd", "iptables", "ip6tables")
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
		out := newOutside(t)
		out.Route(t, netip.MustParsePrefix("10.82.0.0/24"), netip.MustParseAddr(uplink4))
		theirs := startLibvirtd(t)
		for name, doc := range handed {
			theirs.up(name, doc)
		}
		guests := map[string]*netnstest.Guest{}
		for name := range handed {
			guests[name] = netnstest.NewGuest(t, name, "vb-"+name)
			guests[name].DHCP(t, "-x", "hostname:"+name)
		}
		guests["isolated"].Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.83.0.1"))
		slaac(t, guests["nat"], netip.MustParsePrefix("fd00:81::/64"))
		traffic := []*flow{
			newPing(t, guests["nat"], outside4), newPing(t, guests["nat"], outside6), newStream(t, guests["nat"], out, outside4),
			newPing(t, guests["route"], outside4), newPing(t, guests["isolated"], "10.83.0.1"),
		}
		verdicts(t, guests, out)
		before := theirs.handed()
		if !strings.Contains(libvirtRules(t), "LIBVIRT_FWO") {
			t.Fatalf("libvirtd made no rules:\n%s", libvirtRules(t))
		}
		moving(t, traffic)
		theirs.stop()
		moving(t, traffic)

		ours := startVirbrd(t)
		moving(t, traffic)
		if diff := cmp.Diff(before, ours.handed()); diff != "" {
			t.Errorf("networks under libvirtd (-) and virbrd (+):\n%s", diff)
		}
		if left := libvirtRules(t); left != "" {
			t.Errorf("libvirtd's rules are still there:\n%s", left)
		}
		verdicts(t, guests, out)
		if err := release(t); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("virbrd runs (process %d)", ours.cmd.Process.Pid)) {
			t.Errorf("release while virbrd runs: %v", err)
		}
		ours.stop()
		moving(t, traffic)

		// libvirtd puts its rules in one by one whenever it starts, those that
		// reject before those that accept; ours cannot help that.
		theirs = startLibvirtd(t)
		for _, f := range traffic {
			f.lost()
		}
		moving(t, traffic)
		filtered := netnstest.Snapshot(t)
		if err := release(t, "--dry-run"); err != nil {
			t.Error(err)
		}
		same(t, filtered, netnstest.Snapshot(t), "release was only to say what it would do")
		if err := release(t); err != nil {
			t.Error(err)
		}
		moving(t, traffic)
		if rules := netnstest.Snapshot(t)["rules"]; strings.Contains(strings.ToLower(rules), "virbr") {
			t.Errorf("rules of virbrd are left:\n%s", rules)
		}
		if diff := cmp.Diff(before, theirs.handed()); diff != "" {
			t.Errorf("networks before (-) and back under libvirtd (+):\n%s", diff)
		}
		verdicts(t, guests, out)
		for _, f := range traffic {
			f.end()
		}
		for name := range handed {
			theirs.virsh("net-destroy", name)
		}
		nothingRuns(t)
	})
}

// TestTakenOver: a network that libvirtd started is changed and stopped by
// virbrd as one of its own.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "libvirtd")
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
		before := netnstest.Snapshot(t)
		theirs := startLibvirtd(t)
		for name, doc := range handed {
			theirs.up(name, doc)
		}
		theirs.stop()
		ours := startVirbrd(t)
		pid := read(t, "/run/libvirt/network/nat.pid")
		ours.virsh("net-update", "nat", "add", "ip-dhcp-host", "<host mac='52:54:00:0a:0b:0c' name='fixed' ip='10.81.0.50'/>", "--live")
		if now := read(t, "/run/libvirt/network/nat.pid"); now != pid {
			t.Errorf("dnsmasq was %s and is %s", pid, now)
		}
		g := netnstest.NewGuest(t, "fixed", "vb-nat")
		run(t, "ip", "-n", "fixed", "link", "set", "eth0", "address", "52:54:00:0a:0b:0c")
		if lease, err := g.DHCP(t).Address(); err != nil || lease.String() != "10.81.0.50" {
			t.Errorf("leased %v (%v), want the address of the update", lease, err)
		}
		run(t, "ip", "link", "del", g.Tap)
		ours.stop()
		ours = startVirbrd(t) // what was taken over is ours for good
		for name := range handed {
			ours.virsh("net-destroy", name)
		}
		nothingRuns(t)
		after := netnstest.Snapshot(t)
		for _, topic := range []string{"rules", "sysctls"} { // iptables-nft's empty tables stay; LIBVIRT is looked for above
			delete(before, topic)
			delete(after, topic)
		}
		same(t, before, after, "taken-over networks were stopped")
	})
}

// TestNeighbour: a virbrd with places of its own leaves a libvirtd that serves
// the usual ones its rules.
func TestNeighbour(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "libvirtd", "iptables", "ip6tables")
		theirs := startLibvirtd(t)
		theirs.up("nat", handed["nat"])
		rules := libvirtRules(t)
		dir := t.TempDir()
		var places []string
		for _, flag := range []string{"state-dir", "config-dir", "dnsmasq-dir", "run-dir"} {
			places = append(places, "--"+flag, filepath.Join(dir, flag))
		}
		ours := startVirbrd(t, places...)
		ours.up("route", handed["route"])
		ours.stop()
		ours = startVirbrd(t, places...)
		if diff := cmp.Diff(rules, libvirtRules(t)); diff != "" {
			t.Errorf("libvirtd's rules (-before +after):\n%s", diff)
		}
		ours.virsh("net-destroy", "route")
		theirs.virsh("net-destroy", "nat")
	})
}

// firewall11 is how libvirt 11.3 writes down how to remove its rules, in short.
var firewall11 = map[string]string{
	"iptables": `  <firewall name='fwRemoval' backend='iptables'>
    <group ignoreErrors='yes'>
      <action layer='ipv4'>
        <args>
          <item>--table</item>
          <item>filter</item>
          <item>--delete</item>
          <item>LIBVIRT_FWO</item>
          <item>--in-interface</item>
          <item>vb-nat</item>
          <item>--jump</item>
          <item>REJECT</item>
        </args>
      </action>
    </group>
  </firewall>
`,
	"nftables": `  <firewall name='fwRemoval' backend='nftables'>
    <group ignoreErrors='yes'>
      <action layer='ipv4'>
        <args>
          <item>-ae</item>
          <item>delete</item>
          <item>rule</item>
          <item>ip</item>
          <item>libvirt_network</item>
          <item>guest_output</item>
          <item>handle</item>
          <item>7</item>
        </args>
      </action>
      <action layer='tc'>
        <args>
          <item>qdisc</item>
          <item>del</item>
          <item>dev</item>
          <item>vb-nat</item>
          <item>root</item>
        </args>
      </action>
    </group>
  </firewall>
`,
}

// nftables11 are rules like those of libvirt's nftables backend.
const nftables11 = `table FAMILY libvirt_network {
	chain forward { type filter hook forward priority 0; policy accept; jump guest_cross; jump guest_input; jump guest_output; }
	chain guest_output { iif "vb-nat" reject; }
	chain guest_input { oif "vb-nat" reject; }
	chain guest_cross { iif "vb-nat" oif "vb-nat" accept; }
	chain guest_nat { type nat hook postrouting priority 100; policy accept; }
}
`

// TestTakeOverNewer: status files, rules and queues as libvirt 11.3 leaves them
// are read and replaced; limits of bandwidth stay.
func TestTakeOverNewer(t *testing.T) {
	t.Parallel()
	limits := "<bandwidth><inbound average='2000' peak='4000'/></bandwidth><domain"
	for _, c := range []struct{ name, backend, doc string }{
		{"iptables", "iptables", handed["nat"]},
		{"nftables", "nftables", handed["nat"]},
		{"nftables-limited", "nftables", strings.Replace(handed["nat"], "<domain", limits, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				programs(t)
				netnstest.NeedProgram(t, "libvirtd", "tc", "iptables", "ip6tables")
				limited := strings.Contains(c.doc, "bandwidth")
				live := leftByNewer(t, c.backend, c.doc, limited)
				ours := startVirbrd(t)
				if got := ours.virsh("net-dumpxml", "nat"); got != live {
					t.Errorf("live XML changed:\n%s", cmp.Diff(live, got))
				}
				if left := libvirtRules(t); left != "" {
					t.Errorf("libvirtd's rules are still there:\n%s", left)
				}
				if now := read(t, "/run/libvirt/network/nat.xml"); strings.Contains(now, "fwRemoval") {
					t.Errorf("the status file still says how to remove rules that are gone:\n%s", now)
				}
				state := netnstest.Snapshot(t)
				if strings.Contains(state["tc vb-nat"], "00000044") {
					t.Errorf("libvirt's filter is still there:\n%s", state["tc vb-nat"])
				}
				if limited != strings.Contains(state["tc vb-nat"], "class htb 1:2") || limited != strings.Contains(state["qdiscs"], "qdisc htb") {
					t.Errorf("limited %t, but there is\n%s%s", limited, state["qdiscs"], state["tc vb-nat"])
				}
				ours.virsh("net-destroy", "nat")
				nothingRuns(t)
			})
		})
	}
}

// leftByNewer leaves a running network as libvirt 11.3 would, and returns its
// live XML. Where the libvirtd here cannot, virbrd starts it.
func leftByNewer(t *testing.T, backend, doc string, limited bool) string {
	t.Helper()
	start := startLibvirtd
	if backend == "nftables" {
		start = func(t *testing.T) *daemon { return startVirbrd(t) }
	}
	d := start(t)
	d.up("nat", doc)
	live := d.virsh("net-dumpxml", "nat")
	d.stop()
	if backend == "nftables" {
		if err := release(t); err != nil {
			t.Fatal(err)
		}
		newerRules(t, limited)
	}
	status := read(t, "/run/libvirt/network/nat.xml")
	write(t, "/run/libvirt/network/nat.xml", strings.Replace(status, "</networkstatus>", firewall11[backend]+"</networkstatus>", 1))
	if left := libvirtRules(t); left == "" {
		t.Fatal("there are no rules of libvirt to be removed")
	}
	return live
}

// newerRules puts what libvirt 11.3's nftables backend makes in the place of
// iptables' rules. The kernel here may lack the checksum action, so the filter
// has none.
func newerRules(t *testing.T, limited bool) {
	t.Helper()
	for _, family := range []string{"ip", "ip6"} {
		file := filepath.Join(t.TempDir(), family+".nft")
		write(t, file, strings.ReplaceAll(nftables11, "FAMILY", family))
		run(t, "nft", "-f", file)
	}
	if !limited {
		run(t, "tc", "qdisc", "add", "dev", "vb-nat", "root", "handle", "1:", "htb", "default", "2")
	}
	run(t, "tc", "filter", "add", "dev", "vb-nat", "prio", "2", "protocol", "ip", "parent", "1:",
		"u32", "match", "ip", "dport", "68", "0xffff", "flowid", "1:1")
}

// bridging matches what a bridge changes by itself when a port comes or goes.
var bridging = regexp.MustCompile(`(ageing_time|topology_change|topology_change_detected) \d+ `)

// handed returns what must not change: definitions, interfaces, dnsmasq's
// processes and leases.
func (d *daemon) handed() map[string]string {
	d.t.Helper()
	state := netnstest.Snapshot(d.t)
	got := map[string]string{"links": bridging.ReplaceAllString(state["links"], ""), "addresses": state["addresses"], "routes": state["routes"], "sysctls": state["sysctls"]}
	for name := range handed {
		got[name+" live"] = d.virsh("net-dumpxml", name)
		got[name+" config"] = d.virsh("net-dumpxml", "--inactive", name)
		got[name+" leases"] = d.virsh("net-dhcp-leases", name)
		got[name+" pid"] = read(d.t, "/run/libvirt/network/"+name+".pid")
		if !strings.Contains(got[name+" leases"], " "+name+" ") {
			d.t.Errorf("network %s has no lease:\n%s", name, got[name+" leases"])
		}
	}
	got["active"] = d.virsh("net-list", "--name")
	return got
}

// verdicts tries what rules allow and forbid.
func verdicts(t *testing.T, guests map[string]*netnstest.Guest, out *netnstest.Guest) {
	t.Helper()
	if got := hears(t, out, guests["nat"], outside4); got != uplink4 {
		t.Errorf("outside hears the NAT guest as %s, want %s", got, uplink4)
	}
	if got := hears(t, out, guests["nat"], outside6); got != uplink6 {
		t.Errorf("outside hears the NAT guest as %s, want %s", got, uplink6)
	}
	if got := hears(t, out, guests["route"], outside4); !strings.HasPrefix(got, "10.82.0.") {
		t.Errorf("outside hears the routed guest as %s", got)
	}
	if got := hears(t, out, guests["isolated"], outside4); got != errRejected.Error() {
		t.Errorf("a datagram of the isolated guest: %s, want %v", got, errRejected)
	}
	for _, pair := range [][2]string{{"nat", "isolated"}, {"isolated", "nat"}, {"route", "nat"}} {
		to := guestAddress(t, guests[pair[1]])
		if err := pings(guests[pair[0]], t, to); err == nil {
			t.Errorf("the guest of %s reaches that of %s", pair[0], pair[1])
		}
	}
}

func guestAddress(t *testing.T, g *netnstest.Guest) string {
	t.Helper()
	for _, word := range strings.Fields(g.Run(t, "ip", "-4", "-o", "addr", "show", "dev", "eth0")) {
		if p, err := netip.ParsePrefix(word); err == nil {
			return p.Addr().String()
		}
	}
	t.Fatalf("guest %s has no address", g.Name)
	return ""
}

// libvirtRules returns the lines of iptables and nft that tell of libvirt.
func libvirtRules(t *testing.T) string {
	t.Helper()
	text := run(t, "nft", "-s", "list", "ruleset")
	for _, program := range []string{"iptables", "ip6tables"} {
		for _, table := range []string{"filter", "nat", "mangle"} {
			text += run(t, program, "-t", table, "-S")
		}
	}
	var found strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(strings.ToLower(line), "libvirt") {
			found.WriteString(line)
		}
	}
	return found.String()
}

// release runs `virbrd release`; the error holds what it says.
func release(t *testing.T, args ...string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin("virbrd"), append([]string{"release"}, args...)...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("virbrd release %v: %w\n%s", args, err, text)
	}
	return nil
}

// nothingRuns wants no trace of running networks.
func nothingRuns(t *testing.T) {
	t.Helper()
	links := netnstest.Snapshot(t)["links"]
	if strings.Contains(links, "vb-") {
		t.Errorf("bridges are left:\n%s", links)
	}
	for _, pattern := range []string{"/run/libvirt/network/*.xml", "/run/virbr/networks/*"} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("left: %v (%v)", left, err)
		}
	}
	pids, err := filepath.Glob("/run/libvirt/network/*.pid")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range pids {
		if filepath.Base(file) == "driver.pid" {
			continue
		}
		netnstest.Wait(t, "the process of "+file+" is gone", func() error {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil //nolint:nilerr // removed with the process
			}
			comm, err := os.ReadFile("/proc/" + strings.TrimSpace(string(data)) + "/comm")
			if err == nil && strings.TrimSpace(string(comm)) == "dnsmasq" {
				return fmt.Errorf("dnsmasq is still there: %s", data)
			}
			return nil
		})
	}
	if rules := netnstest.Snapshot(t)["rules"]; strings.Contains(rules, "vb-") || strings.Contains(rules, "10.8") {
		t.Errorf("rules are left:\n%s", rules)
	}
}

// A flow is traffic of a guest that goes on until it is ended.
type flow struct {
	t    *testing.T
	name string
	tell chan int // the number of each round trip, from 1 on; closed at the end
	last int
	stop func()
}

// maxTrips is how many round trips may wait to be looked at.
const maxTrips = 1 << 20

// moving wants that no round trip was missing until now, and waits until every
// flow has made some more.
func moving(t *testing.T, flows []*flow) {
	t.Helper()
	for _, f := range flows {
		for range len(f.tell) {
			f.next()
		}
	}
	const enough = 10
	for _, f := range flows {
		for range enough {
			f.next()
		}
	}
}

// next waits for one round trip. None may be missing.
func (f *flow) next() bool {
	f.t.Helper()
	number, ok := <-f.tell
	if !ok {
		return false
	}
	if number != f.last+1 {
		f.t.Errorf("%s: round trip %d is followed by %d", f.name, f.last, number)
	}
	f.last = number
	return true
}

// lost looks at no round trip until now, and waits for the next.
func (f *flow) lost() {
	for range len(f.tell) + 1 {
		f.last = <-f.tell
	}
}

// end ends the flow; all that was under way must have come back.
func (f *flow) end() {
	f.t.Helper()
	f.stop()
	for f.next() {
	}
}

var reply = regexp.MustCompile(`icmp_seq=(\d+) .*time=`)

// newPing pings an address from a guest, twenty times a second.
func newPing(t *testing.T, g *netnstest.Guest, to string) *flow {
	t.Helper()
	cmd := exec.Command("ping", "-n", "-O", "-i", "0.05", to)
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = g.Start(cmd)
	}
	if err != nil {
		t.Fatal(err)
	}
	f := &flow{t: t, name: "ping of " + g.Name + " to " + to, tell: make(chan int, maxTrips),
		stop: func() { _ = cmd.Process.Signal(syscall.SIGINT) }}
	t.Cleanup(f.stop)
	go func() {
		defer close(f.tell)
		defer func() { _ = cmd.Wait() }()
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			if m := reply.FindStringSubmatch(lines.Text()); m != nil {
				number, _ := strconv.Atoi(m[1])
				f.tell <- number
			}
		}
	}()
	return f
}

// newStream sends bytes over one TCP connection from a guest to an echo server, a
// hundred a second.
func newStream(t *testing.T, g, server *netnstest.Guest, at string) *flow {
	t.Helper()
	var listener net.Listener
	err := server.Do(func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(at, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := listener.Accept(); err == nil {
			_, _ = io.Copy(c, c)
		}
	}()
	var conn net.Conn
	err = g.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := &flow{t: t, name: "TCP of " + g.Name, tell: make(chan int, maxTrips), stop: cancel}
	t.Cleanup(func() { cancel(); _ = conn.Close(); _ = listener.Close() })
	go func() {
		defer close(f.tell)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for number, buf := 1, []byte{0}; ctx.Err() == nil; number++ {
			if _, err := conn.Write(buf); err != nil {
				t.Errorf("%s: %v", f.name, err)
				return
			}
			if _, err := io.ReadFull(conn, buf); err != nil {
				t.Errorf("%s: %v", f.name, err)
				return
			}
			f.tell <- number
			<-tick.C
		}
	}()
	return f
}
