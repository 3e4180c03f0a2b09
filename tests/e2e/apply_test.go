package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
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

// labXML is what the changes of TestApply are made of.
const labXML = `<network>
  <name>lab</name>
  <forward mode='nat'/>
  <bridge name='br-lab' stp='off' delay='0'/>
  <mac address='52:54:00:77:00:00'/>
  <domain name='lab.example'/>
  <ip address='10.77.0.1' prefix='24'>
    <dhcp>
      <range start='10.77.0.2' end='10.77.0.99'/>
    </dhcp>
  </ip>
</network>
`

// in puts an element in front of the end of another one.
func in(element, more string) func(string) string {
	return func(doc string) string { return strings.Replace(doc, "</"+element+">", more+"</"+element+">", 1) }
}

// instead replaces text.
func instead(old, more string) func(string) string {
	return func(doc string) string { return strings.Replace(doc, old, more, 1) }
}

func extended(element string) func(string) string {
	return in("network", "<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>"+element+"</virbr:network></metadata>")
}

// edits are one of each kind, with what guests are to notice.
var edits = []struct {
	name   string
	edit   func(string) string
	guests string
}{
	{"range", instead("10.77.0.99", "10.77.0.150"), "at renewal"},
	{"second range", in("dhcp", "<range start='10.77.0.200' end='10.77.0.210'/>"), "at renewal"},
	{"lease time", instead("end='10.77.0.99'/>", "end='10.77.0.99'><lease expiry='5' unit='minutes'/></range>"), "at renewal"},
	{"reservation", in("dhcp", "<host mac='52:54:00:77:00:09' ip='10.77.0.9'/>"), "at renewal"},
	{"boot file", in("dhcp", "<bootp file='boot.img'/>"), "at renewal"},
	{"no DHCP", func(doc string) string { return regexp.MustCompile(`(?s)<dhcp>.*</dhcp>`).ReplaceAllString(doc, "") }, "at renewal"},
	{"domain", instead("lab.example", "test.example"), "at renewal"},
	{"no domain", instead("<domain name='lab.example'/>", ""), "at renewal"},
	{"domain of its own", instead("<domain name='lab.example'/>", "<domain name='lab.example' localOnly='yes'/>"), "nothing"},
	{"DNS host", in("network", "<dns><host ip='10.77.0.8'><hostname>eight</hostname></host></dns>"), "nothing"},
	{"DNS text", in("network", "<dns><txt name='a.example' value='b'/></dns>"), "nothing"},
	{"DNS service", in("network", "<dns><srv service='ldap' protocol='tcp' target='a.example' port='389'/></dns>"), "nothing"},
	{"DNS forwarder", in("network", "<dns><forwarder addr='192.0.2.53'/></dns>"), "nothing"},
	{"DNS of a domain", in("network", "<dns><forwarder domain='b.example' addr='192.0.2.53'/></dns>"), "nothing"},
	{"DNS of plain names", in("network", "<dns forwardPlainNames='no'/>"), "nothing"},
	{"no DNS", in("network", "<dns enable='no'/>"), "at renewal"},
	{"option of dnsmasq", func(doc string) string {
		doc = strings.Replace(doc, "<network>", "<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>", 1)
		return strings.Replace(doc, "</network>", "<dnsmasq:options><dnsmasq:option value='cache-size=500'/></dnsmasq:options></network>", 1)
	}, "at renewal"},
	{"title", instead("<forward", "<title>a lab</title><forward"), "nothing"},
	{"description", instead("<forward", "<description>a lab</description><forward"), "nothing"},
	{"others' metadata", in("network", "<metadata><x:y xmlns:x='urn:x'/></metadata>"), "nothing"},
	{"port group", in("network", "<portgroup name='slow' default='yes'><bandwidth><inbound average='100'/></bandwidth></portgroup>"), "nothing"},
	{"isolated ports", in("network", "<port isolated='yes'/>"), "nothing"},
	{"filters of guests", instead("<network>", "<network trustGuestRxFilters='yes'>"), "nothing"},
	{"IPv6 among guests", instead("<network>", "<network ipv6='yes'>"), "nothing"},
	{"nat to route", instead("mode='nat'", "mode='route'"), "nothing"},
	{"nat to open", instead("mode='nat'", "mode='open'"), "nothing"},
	{"nat to isolated", instead("<forward mode='nat'/>", ""), "cut off"},
	{"ports of NAT", instead("<forward mode='nat'/>", "<forward mode='nat'><nat><port start='2000' end='3000'/></nat></forward>"), "nothing"},
	{"address of NAT", instead("<forward mode='nat'/>", "<forward mode='nat'><nat><address start='203.0.113.5' end='203.0.113.6'/></nat></forward>"), "nothing"},
	{"device", instead("<forward mode='nat'/>", "<forward mode='nat' dev='uplink'/>"), "cut off"},
	{"smaller MTU", in("network", "<mtu size='1400'/>"), "at renewal"},
	{"larger MTU", in("network", "<mtu size='9000'/>"), "at renewal"},
	{"STP", instead("stp='off'", "stp='on'"), "nothing"},
	{"delay", instead("delay='0'", "delay='5'"), "nothing"},
	{"STP and delay", instead("stp='off' delay='0'", "delay='5'"), "nothing"},
	{"bridge", instead("br-lab", "br-other"), "link flaps"},
	{"bridge's MAC address", instead("52:54:00:77:00:00", "52:54:00:77:00:01"), "cut off"},
	{"IPv6 subnet", in("network", "<ip family='ipv6' address='fd00:77::1' prefix='64'/>"), "at renewal"},
	{"own IPv6 prefix", in("network", "<ipv6 advprefix='ula'/>"), "at renewal"},
	{"advertised prefix", in("network", "<ipv6 advprefix='fd00:78::/64'/>"), "at renewal"},
	{"second subnet", in("network", "<ip address='10.78.0.1' prefix='24'/>"), "nothing"},
	{"other subnet", func(doc string) string { return strings.ReplaceAll(doc, "10.77.0", "10.79.0") }, "renumbered"},
	{"gateway", instead("address='10.77.0.1'", "address='10.77.0.254'"), "cut off"},
	{"limit", in("network", "<bandwidth><inbound average='100000'/></bandwidth>"), "nothing"},
	{"route", in("network", "<route address='10.80.0.0' prefix='24' gateway='10.77.0.99'/>"), "nothing"},
	{"IPv6 and a route of it", in("network", "<ip family='ipv6' address='fd00:77::1' prefix='64'/><route family='ipv6' address='fd00:80::' prefix='64' gateway='fd00:77::9'/>"), "at renewal"},
	{"forward", extended("<virbr:portForward proto='tcp' guest='10.77.0.9'><virbr:range start='8080' to='80'/></virbr:portForward>"), "nothing"},
	{"public address", extended("<virbr:address public='203.0.113.7' guest='10.77.0.9'/>"), "nothing"},
}

// pinger is a guest that asks for the gateway every 10 milliseconds.
type pinger struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

func startPing(t *testing.T, g *netnstest.Guest, to string) *pinger {
	t.Helper()
	p := &pinger{cmd: exec.Command("ping", "-n", "-i", "0.01", to)}
	p.cmd.Stdout = &p.out
	if err := g.Start(p.cmd); err != nil {
		t.Fatal(err)
	}
	return p
}

var sequence = regexp.MustCompile(`icmp_seq=(\d+) ttl`)

// lost ends it, and returns how many of its packets were not answered before the last
// that was.
func (p *pinger) lost(t *testing.T) (lost int) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	_ = p.cmd.Wait()
	answered, last := 0, 0
	for s := bufio.NewScanner(&p.out); s.Scan(); {
		if m := sequence.FindStringSubmatch(s.Text()); m != nil && !strings.Contains(s.Text(), "DUP") {
			last, _ = strconv.Atoi(m[1])
			answered++
		}
	}
	if answered == 0 {
		t.Error("nothing was answered at all")
	}
	return last - answered
}

// echoTCP sends back what it gets by TCP on a port of the host, which it returns.
func echoTCP(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// startTalk has a guest say something by one TCP connection every 10 milliseconds, and
// wait for the echo. What it returns ends that, with an error if the connection broke.
func startTalk(t *testing.T, g *netnstest.Guest, to string) func() error {
	t.Helper()
	var conn net.Conn
	if err := g.Do(func() (err error) {
		conn, err = (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp4", to)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan error, 1)
	say := func() error {
		err := conn.SetDeadline(time.Now().Add(patience))
		if err == nil {
			_, err = conn.Write([]byte("word"))
		}
		if err == nil {
			_, err = io.ReadFull(conn, make([]byte, 4))
		}
		return err
	}
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				ended <- errors.Join(say(), conn.Close())
				return
			case <-tick.C:
				if err := say(); err != nil {
					ended <- errors.Join(err, conn.Close())
					return
				}
			}
		}
	}()
	return func() error { close(stop); return <-ended }
}

var volatile = regexp.MustCompile(`^\d+: |@\S+|state \S+|qlen \d+|ageing_timer.*|hello_timer\s+\S+|tcn_timer\s+\S+|topology_change_timer\s+\S+|gc_timer\s+\S+|topology_change\S* \d+|promiscuity \d+|allmulti \d+|LOWER_UP|linkdown|NO-CARRIER|qdisc \S+: |refcnt \d+`)

// asStarted is what a start of the network makes of the host.
func asStarted(t *testing.T, bridge string) map[string]string {
	t.Helper()
	made := map[string]string{}
	for table, lines := range ruleset(t) {
		made[table] = strings.Join(lines, "\n")
	}
	for _, look := range []string{"ip -o addr show dev BR scope global", "ip -o -d link show dev BR", "ip route show dev BR", "ip -6 route show dev BR", "cat /var/lib/libvirt/dnsmasq/lab.conf",
		"cat /var/lib/libvirt/dnsmasq/lab.hostsfile", "cat /var/lib/libvirt/dnsmasq/lab.addnhosts", "tc class show dev BR", "virsh -c network:///system?mode=direct net-dumpxml lab",
		"cat /proc/sys/net/ipv6/conf/BR/disable_ipv6"} {
		out, _ := exec.Command("sh", "-c", strings.ReplaceAll(look, "BR", bridge)+" 2>&1").Output() // not all of them have all files
		var lines []string
		for _, line := range strings.Split(string(out), "\n") {
			if strings.Contains(look, " link ") {
				line = fmt.Sprint(regexp.MustCompile(`mtu \d+|stp_state \d|forward_delay \d+|link/ether \S+`).FindAllString(line, -1))
			}
			line = volatile.ReplaceAllString(line, "")
			if strings.Contains(line, "fe80::") || strings.Contains(line, "ff00::") || strings.Contains(line, "multicast") {
				continue
			}
			lines = append(lines, strings.TrimSpace(line))
		}
		made[look] = strings.Join(lines, "\n")
	}
	return made
}

// TestApply: each kind of change of a running network is made without guests noticing
// more than was said, and leaves what a fresh start of the definition would.
func TestApply(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "virsh", "ip", "dnsmasq", "nft", "ping", "tc")
		newOutside(t)
		d := startVirbrd(t)
		base := filepath.Join(t.TempDir(), "lab.xml")
		write(t, base, labXML)
		if out, err := tool(t, "plan", base); exitOf(err) != 2 || !strings.Contains(out, "network lab: is defined") {
			t.Errorf("a plan for a new network: %v\n%s", err, out)
		}
		mustVirbr(t, "apply", base)
		d.virsh("net-start", "lab")
		g := netnstest.NewGuest(t, "lab", "br-lab")
		g.Address(t, netip.MustParsePrefix("10.77.0.7/24"))
		g.Address(t, netip.MustParsePrefix("10.79.0.7/24"))
		port := echoTCP(t)
		for _, ch := range edits {
			changed := filepath.Join(t.TempDir(), "changed.xml")
			doc := ch.edit(labXML)
			write(t, changed, doc)
			bridge := "br-lab"
			if strings.Contains(doc, "br-other") {
				bridge = "br-other"
			}
			if said := planned(t, changed, 2); said != ch.guests {
				out, _ := tool(t, "plan", changed)
				t.Errorf("%s: guests are said to notice %q, want %q\n%s", ch.name, said, ch.guests, out)
			}
			if ch.guests == "cut off" {
				if _, err := tool(t, "apply", changed); exitOf(err) != 1 || !strings.Contains(err.Error(), "--yes") {
					t.Errorf("%s: without --yes: %v", ch.name, err)
				}
			}
			g.Run(t, "ip", "neigh", "flush", "dev", "eth0") // of another bridge's MAC address
			if err := pings(g, t, "10.77.0.1"); err != nil {
				t.Errorf("before %s: %v", ch.name, err)
			}
			p := startPing(t, g, "10.77.0.1")
			hangUp := func() error { return nil }
			if ch.guests != "cut off" {
				hangUp = startTalk(t, g, fmt.Sprint("10.77.0.1:", port))
			}
			out, err := tool(t, "apply", "--yes", changed)
			if ch.guests != "cut off" { // it is there again, at least
				netnstest.Wait(t, "the guest has its gateway after "+ch.name, func() error { return pings(g, t, "10.77.0.1") })
			}
			if err := hangUp(); err != nil {
				t.Errorf("%s: a TCP connection broke: %v", ch.name, err)
			}
			if lost := p.lost(t); lost > 0 && (ch.guests == "nothing" || ch.guests == "at renewal") {
				t.Errorf("%s: %d packets were lost", ch.name, lost)
			}
			if err != nil {
				t.Errorf("%s: %v", ch.name, err)
				continue
			}
			if left := planned(t, changed, 0); left != "nothing" {
				t.Errorf("%s: afterwards there is still to do, which guests notice: %s\n%s", ch.name, left, out)
			}
			live := asStarted(t, bridge)
			d.virsh("net-destroy", "lab")
			d.virsh("net-start", "lab")
			if ch.guests == "renumbered" { // the former subnet stays: see TestRenumberedIPv4
				mustVirbr(t, "apply", base)
				d.virsh("net-destroy", "lab")
				d.virsh("net-start", "lab")
				continue
			}
			if diff := cmp.Diff(asStarted(t, bridge), live); diff != "" {
				t.Errorf("%s: a fresh start leaves another host (-start +apply):\n%s", ch.name, diff)
			}
			mustVirbr(t, "apply", "--yes", base)
			live = asStarted(t, "br-lab")
			d.virsh("net-destroy", "lab")
			d.virsh("net-start", "lab")
			if diff := cmp.Diff(asStarted(t, "br-lab"), live); diff != "" {
				t.Errorf("%s, taken back: a fresh start leaves another host (-start +apply):\n%s", ch.name, diff)
			}
		}
	})
}

// planned returns what guests are said to notice of a file.
func planned(t *testing.T, file string, status int) string {
	t.Helper()
	out, err := tool(t, "plan", "--json", file)
	if exitOf(err) != status {
		text, _ := tool(t, "plan", file)
		t.Errorf("plan: %v, want status %d\n%s", err, status, text)
		if out == "" {
			return ""
		}
	}
	var list []struct{ Guests string }
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Fatalf("plan: %v\n%s", err, out)
	}
	return list[0].Guests
}

// TestApplyTogether: of several networks all are changed, or none.
func TestApplyTogether(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "virsh", "ip", "dnsmasq", "nft")
		d := startVirbrd(t)
		dir := t.TempDir()
		one := strings.NewReplacer("lab", "one", "10.77", "10.81", "77:00:00", "77:00:0a").Replace(labXML)
		two := strings.NewReplacer("lab", "two", "10.77", "10.82", "77:00:00", "77:00:0b").Replace(labXML)
		write(t, filepath.Join(dir, "one.xml"), one)
		write(t, filepath.Join(dir, "two.xml"), two)
		mustVirbr(t, "apply", "--all", dir)
		d.virsh("net-start", "one")
		d.virsh("net-start", "two")
		before := d.virsh("net-dumpxml", "one") + d.virsh("net-dumpxml", "--inactive", "one") + d.virsh("net-dumpxml", "two")
		rules := ruleset(t)
		run(t, "ip", "link", "add", "br-three", "type", "bridge") // somebody else's: two cannot have it
		write(t, filepath.Join(dir, "one.xml"), strings.Replace(one, "mode='nat'", "mode='route'", 1))
		write(t, filepath.Join(dir, "two.xml"), strings.Replace(two, "br-two", "br-three", 1))
		write(t, filepath.Join(dir, "three.xml"), strings.NewReplacer("lab", "four", "10.77", "10.83", "77:00:00", "77:00:0c").Replace(labXML))
		if _, err := tool(t, "apply", "--all", dir); exitOf(err) != 1 || !strings.Contains(err.Error(), "br-three") {
			t.Errorf("applying what cannot be: %v", err)
		}
		if got := d.virsh("net-dumpxml", "one") + d.virsh("net-dumpxml", "--inactive", "one") + d.virsh("net-dumpxml", "two"); got != before {
			t.Errorf("half of it was applied:\n%s", cmp.Diff(before, got))
		}
		if diff := cmp.Diff(rules, ruleset(t)); diff != "" {
			t.Errorf("half of it was applied: rules (-want +got):\n%s", diff)
		}
		if out, err := d.try("net-info", "four"); err == nil {
			t.Errorf("half of it was applied:\n%s", out)
		}
		for _, wrong := range [][]string{{"apply"}, {"apply", "--all", dir, filepath.Join(dir, "one.xml")}} {
			if _, err := tool(t, wrong...); exitOf(err) != 2 {
				t.Errorf("%v: %v", wrong, err)
			}
		}
		run(t, "ip", "addr", "del", "10.81.0.1/24", "dev", "br-one")
		netnstest.Wait(t, "what somebody took away is back", func() error {
			if out := run(t, "ip", "addr", "show", "dev", "br-one"); !strings.Contains(out, "10.81.0.1") {
				return fmt.Errorf("it is not:\n%s", out)
			}
			return nil
		})
	})
}

// startDHCP starts a DHCP client in a guest that stays. It returns what has it renew its
// lease, as it does when half of its time is over, and what waits for an address that
// begins with some text.
func startDHCP(t *testing.T, g *netnstest.Guest) (renew func(), leased func(string) string) {
	t.Helper()
	netnstest.NeedProgram(t, "busybox", "ip")
	script, leases := filepath.Join(t.TempDir(), "script"), filepath.Join(t.TempDir(), "leases")
	write(t, leases, "")
	write(t, script, "#!/bin/sh\ncase $1 in bound|renew)\nip addr replace $ip/$mask dev $interface\nip route replace default via $router dev $interface\necho $ip >> "+leases+"\nesac\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("busybox", "udhcpc", "-i", "eth0", "-f", "-A", "1", "-T", "1", "-s", script)
	if err := g.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	leased = func(prefix string) (address string) {
		t.Helper()
		netnstest.Wait(t, "the guest has an address "+prefix, func() error {
			got := strings.Fields(read(t, leases))
			if len(got) == 0 || !strings.HasPrefix(got[len(got)-1], prefix) {
				return fmt.Errorf("it has got %q", got)
			}
			address = got[len(got)-1]
			return nil
		})
		return address
	}
	return func() { _ = cmd.Process.Signal(syscall.SIGUSR1) }, leased
}

// TestRenumberedIPv4: guests of a subnet that is replaced keep what they have until they
// renew their leases, and get an address of the new one then. The former one goes when
// no lease in it can be left.
func TestRenumberedIPv4(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		d := startVirbrd(t)
		base, changed := filepath.Join(t.TempDir(), "lab.xml"), filepath.Join(t.TempDir(), "changed.xml")
		write(t, base, labXML)
		write(t, changed, strings.ReplaceAll(labXML, "10.77.0", "10.79.0"))
		mustVirbr(t, "apply", base)
		d.virsh("net-start", "lab")
		g := netnstest.NewGuest(t, "lab", "br-lab")
		renew, leased := startDHCP(t, g)
		old := leased("10.77.0.")
		talk := startTalk(t, g, fmt.Sprint("10.77.0.1:", echoTCP(t)))
		p := startPing(t, g, outside4)
		mustVirbr(t, "apply", changed)
		if err := pings(g, t, "10.77.0.1"); err != nil {
			t.Errorf("by the former gateway: %v", err)
		}
		if left := planned(t, changed, 0); left != "nothing" {
			t.Errorf("there is still to do, which guests notice: %s", left)
		}
		if err := talk(); err != nil {
			t.Errorf("a TCP connection of the former address broke: %v", err)
		}
		if lost := p.lost(t); lost > 0 {
			t.Errorf("%d packets were lost", lost)
		}
		renew()
		for _, source := range []string{old, leased("10.79.0.")} {
			if err := pings(g, t, outside4, source); err != nil {
				t.Errorf("from %s: %v", source, err)
			}
		}
		if live, def := d.virsh("net-dumpxml", "lab"), d.virsh("net-dumpxml", "--inactive", "lab"); !regexp.MustCompile(`<ip address='10.77.0.1' prefix='24' until='\d+'>`).MatchString(live) || strings.Contains(def, "10.77") {
			t.Errorf("live XML:\n%s\npersistent:\n%s", live, def)
		}
		d.kill()
		status := "/run/libvirt/network/lab.xml"
		write(t, status, regexp.MustCompile(`until='\d+'`).ReplaceAllString(read(t, status), "until='1'"))
		d.start(bin("virbrd"))
		netnstest.Wait(t, "the former subnet is gone", func() error {
			if live := d.virsh("net-dumpxml", "lab"); strings.Contains(live, "10.77") {
				return errors.New(live)
			}
			return nil
		})
		live := asStarted(t, "br-lab")
		d.virsh("net-destroy", "lab")
		d.virsh("net-start", "lab")
		if diff := cmp.Diff(asStarted(t, "br-lab"), live); diff != "" {
			t.Errorf("a fresh start leaves another host (-start +renumbered):\n%s", diff)
		}
	})
}
