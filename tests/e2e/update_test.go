package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

const dualXML = `<network>
  <name>default</name><forward mode='nat'/><bridge name='virbr0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.99'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd00:7a::1' prefix='64'/>
</network>`

// TestLiveUpdates makes every kind of live update while a guest pings an
// outside host. Not one ping is lost; dnsmasq is started anew only when its
// configuration changes; firewall rules stay the very same ones unless they
// differ.
func TestLiveUpdates(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "ping", "dig")
		newOutside(t)
		d := startVirbrd(t)
		d.up("default", dualXML)
		g := netnstest.NewGuest(t, "anna", "virbr0")
		leased := g.DHCP(t, "-x", "hostname:anna")
		web := netnstest.NewGuest(t, "web", "virbr0")
		mac := hardwareAddress(t, web)
		results := pingAllAlong(t, g, outside4)
		for _, c := range []struct {
			args         []string
			restarts     bool // dnsmasq
			newRules     bool
			query, reply string // a DNS answer that shows the effect
			leases       string // what a second guest then leases
		}{
			{args: []string{"add", "ip-dhcp-host", "<host mac='" + mac + "' name='web1' ip='192.168.122.77'/>"}, leases: "192.168.122.77"},
			{args: []string{"modify", "ip-dhcp-host", "<host mac='" + mac + "' name='web1' ip='192.168.122.78'/>"}, leases: "192.168.122.78"},
			{args: []string{"add", "dns-host", "<host ip='192.168.122.9'><hostname>printer</hostname></host>"}, query: "printer", reply: "192.168.122.9"},
			{args: []string{"add", "dns-txt", "<txt name='note' value='hello'/>"}, restarts: true, query: "note TXT", reply: `"hello"`},
			{args: []string{"add", "dns-srv", "<srv service='ldap' protocol='tcp' domain='x.test' target='printer' port='389'/>"}, restarts: true, query: "_ldap._tcp.x.test SRV", reply: "0 0 389 printer."},
			{args: []string{"add", "ip-dhcp-range", "<range start='192.168.122.200' end='192.168.122.210'/>"}, restarts: true},
			{args: []string{"add", "portgroup", "<portgroup name='g'/>"}},
			{args: []string{"add", "forward-interface", "<interface dev='uplink'/>"}, newRules: true},
			{args: []string{"add", "ip-dhcp-host", "<host name='six' ip='fd00:7a::66'/>", "--parent-index", "1"}, restarts: true},
			{args: []string{"delete", "dns-host", "<host ip='192.168.122.9'/>"}, query: "printer", reply: ""},
			{args: []string{"add", "dns-txt", "<txt name='later' value='x'/>", "--config"}},
		} {
			pid, rules := servedBy(t), run(t, "nft", "-a", "-s", "list", "table", "inet", "virbr")
			args := append([]string{"net-update", "default"}, c.args...)
			if c.args[len(c.args)-1] != "--config" {
				args = append(args, "--live")
			}
			d.virsh(args...)
			if restarted := servedBy(t) != pid; restarted != c.restarts {
				t.Errorf("%v: dnsmasq was started anew %v, want %v", c.args, restarted, c.restarts)
			}
			if diff := cmp.Diff(rules, run(t, "nft", "-a", "-s", "list", "table", "inet", "virbr")); (diff != "") != c.newRules {
				t.Errorf("%v: new rules %v, want %v; (-before +after)\n%s", c.args, diff != "", c.newRules, diff)
			}
			if c.leases != "" {
				netnstest.Wait(t, "the static host's address", func() error {
					if got := web.DHCP(t)["ip"]; got != c.leases {
						return &answered{"DHCP", got}
					}
					return nil
				})
			}
			if c.query != "" {
				netnstest.Wait(t, "the name server has read its files", func() error {
					if got := digs(t, g, "192.168.122.1", strings.Fields(c.query)...); got != c.reply {
						return &answered{c.query, got}
					}
					return nil
				})
			}
		}
		results(0)
		if again := g.DHCP(t, "-x", "hostname:anna"); again["ip"] != leased["ip"] {
			t.Errorf("after all restarts of dnsmasq the guest gets %s, not %s", again["ip"], leased["ip"])
		}
	})
}

// hardwareAddress returns the address of a guest's card.
func hardwareAddress(t *testing.T, g *netnstest.Guest) string {
	t.Helper()
	_, rest, _ := strings.Cut(g.Run(t, "ip", "-o", "link", "show", "eth0"), "link/ether ")
	mac, _, _ := strings.Cut(rest, " ")
	return mac
}

type answered struct{ query, got string }

func (a *answered) Error() string { return a.query + " is answered by " + a.got }

// servedBy returns the process id of the network's dnsmasq, which must live.
func servedBy(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/run/libvirt/network/default.pid")
	if err != nil {
		t.Fatal(err)
	}
	pid := strings.TrimSpace(string(data))
	if comm, err := os.ReadFile("/proc/" + pid + "/comm"); err != nil || strings.TrimSpace(string(comm)) != "dnsmasq" {
		t.Fatalf("process %s is %q, %v", pid, comm, err)
	}
	return pid
}

// pingAllAlong has a guest ping all the time. The function that it returns ends
// that and wants at most so many pings lost.
func pingAllAlong(t *testing.T, g *netnstest.Guest, to string) func(lost int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "ping", "-n", "-i", "0.05", "-W", "2", to)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	out := &binaries.Log{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := g.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	netnstest.Wait(t, "the first answer", func() error {
		if !strings.Contains(out.String(), "icmp_seq=") {
			return &answered{"ping", out.String()}
		}
		return nil
	})
	return func(lost int) {
		t.Helper()
		cancel()
		_ = cmd.Wait()
		sent, got := tally(out.String())
		// The last one may be under way when ping is stopped.
		if sent == 0 || sent-got > lost+1 {
			t.Errorf("of %d pings %d were answered:\n%s", sent, got, out)
		}
	}
}

// tally reads ping's summary.
func tally(out string) (sent, got int) {
	at := strings.Index(out, " packets transmitted")
	if at < 0 {
		return 0, 0
	}
	at = strings.LastIndex(out[:at], "\n") + 1
	_, _ = fmt.Sscanf(out[at:], "%d packets transmitted, %d received", &sent, &got)
	return sent, got
}
