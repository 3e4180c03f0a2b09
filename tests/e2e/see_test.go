package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/topology"
)

// The networks that are looked at: one that translates, with forwards, one that
// routes, and one that does not run.
const (
	seenNAT = `<network><name>default</name>
  <metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>
    <virbr:portForward proto='tcp' guest='web1'><virbr:range start='8080' to='80'/></virbr:portForward>
    <virbr:portForward proto='tcp' guest='nobody'><virbr:range start='2222' to='22'/></virbr:portForward>
    <virbr:address public='203.0.113.77' guest='web1'/>
  </virbr:network></metadata>
  <forward mode='nat'/><bridge name='virbr0'/>
  <ip address='192.168.122.1' prefix='24'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>
</network>`
	seenRoute = `<network><name>lab</name><forward mode='route'/><bridge name='virbr1'/>
  <ip address='192.168.50.1' prefix='24'><dhcp><range start='192.168.50.10' end='192.168.50.19'/></dhcp></ip>
</network>`
	seenStopped = `<network><name>spare</name><bridge name='virbr2'/><ip address='192.168.60.1' prefix='24'/></network>`
)

// seen starts these networks, with a guest on each that runs, and the outside.
func seen(t *testing.T) (d *daemon, web, db, out *netnstest.Guest) {
	t.Helper()
	out = newOutside(t)
	run(t, "ip", "route", "add", "default", "via", outside4, "dev", "uplink")
	d = startVirbrd(t)
	d.up("default", seenNAT)
	d.up("lab", seenRoute)
	write(t, "/tmp/spare.xml", seenStopped)
	d.virsh("net-define", "/tmp/spare.xml")
	web, db = netnstest.NewGuest(t, "web1", "virbr0"), netnstest.NewGuest(t, "db", "virbr1")
	web.DHCP(t, "-x", "hostname:web1")
	db.DHCP(t, "-x", "hostname:db")
	return d, web, db, out
}

// graphOf reads what a command prints with --json.
func graphOf(t *testing.T, args ...string) *topology.Graph {
	t.Helper()
	out, err := tool(t, append(args, "--json")...)
	if err != nil {
		t.Fatal(err)
	}
	g := &topology.Graph{}
	if err := json.Unmarshal([]byte(out), g); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestStatus: what is shown is what is there, and it is drawn again when something
// happens.
func TestStatus(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d, _, _, _ := seen(t)
		netnstest.Wait(t, "virbrd hears of web1", func() error {
			if out, err := tool(t, "status"); err != nil || !strings.Contains(out, " 2/3 ") {
				return errors.Join(err, fmt.Errorf("it shows\n%s", out))
			}
			return nil
		})
		var got []string
		for _, n := range graphOf(t, "status").Networks {
			got = append(got, strings.Join([]string{n.Name, n.Mode, n.Bridge, strings.Join(n.Uplinks, ","), string(n.Health), n.Keeper}, " "))
		}
		want := []string{"default nat virbr0 uplink ok virbrd", "lab route virbr1 uplink ok virbrd", "spare isolated virbr2  stopped nobody"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, step := range []struct{ args, want string }{
			{"status", "1/253"},
			{"status default", "tcp *:2222 to nobody:22: waiting for \"nobody\" to get an address"},
			{"status default", "guest     web1 192.168.122."},
			{"", "virbr forward add default 8080:80 web1"},
		} {
			if out, err := tool(t, strings.Fields(step.args)...); err != nil || !strings.Contains(out, step.want) {
				t.Errorf("virbr %s: %v, %s\nwant %q", step.args, err, out, step.want)
			}
		}
		if _, err := tool(t, "status", "nosuch"); err == nil || !strings.Contains(err.Error(), `there is no network "nosuch"`) {
			t.Errorf("of a network that is not there: %v", err)
		}
		watchStatus(t, d)
		d.stop()
		if out, err := tool(t, "status"); err != nil || !strings.Contains(out, "192.168.122.0/24") || !strings.Contains(out, "not looked at: what the daemon says") {
			t.Errorf("without virbrd: %v, %s", err, out)
		}
	})
}

// watchStatus wants a new drawing when a network stops.
func watchStatus(t *testing.T, d *daemon) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin("virbr"), "status", "--watch")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	drawn := bufio.NewScanner(pipe)
	for stopped := false; ; {
		if !drawn.Scan() {
			t.Fatal("it ended")
		}
		if fields := strings.Fields(drawn.Text()); len(fields) > 0 && fields[0] == "lab" {
			if fields[len(fields)-1] == "stopped" {
				break
			}
			if !stopped {
				stopped = true
				d.virsh("net-destroy", "lab")
			}
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
}

// TestMap: lines are where packets may pass, with the connections that there are, and
// who blocks them; in each form of the drawing.
func TestMap(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		_, web, _, _ := seen(t)
		nft(t, `table inet mine { chain forward { type filter hook forward priority 0; iifname "virbr1" drop comment "<b>mine</b>"; }; }`)
		if err := pings(web, t, outside4); err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, e := range graphOf(t, "map").Edges {
			switch {
			case e.From.Network == "default" && e.To.Uplink == "uplink":
				found["now"] = e.Connections > 0 && e.IPv4 == topology.Translated && len(e.Blocks) == 0
			case e.From.Network == "lab" && e.To.Uplink == "uplink":
				found["block"] = len(e.Blocks) == 1 && e.Blocks[0].Owner == "nftables" && strings.Contains(e.Blocks[0].Mend, "nft")
			case e.From.Network == "default" && e.To.Network == "lab":
				found["may"] = e.IPv4 == topology.Translated && e.IPv6 == topology.NoPath
			}
		}
		if diff := cmp.Diff(map[string]bool{"now": true, "block": true, "may": true}, found); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, step := range []struct{ args, want, never string }{
			{"map", "✕ uplink", "\x1b"},
			{"map default", "→ uplink  IPv4 NAT; ", "lab"},
			{"map --svg", `class="block"`, "<b>"},
			{"map --html", "203.0.113.77 of web1", "<script"},
		} {
			if out, err := tool(t, strings.Fields(step.args)...); err != nil || !strings.Contains(out, step.want) || strings.Contains(out, step.never) {
				t.Errorf("virbr %s: %v, %s\nwant %q and not %q", step.args, err, out, step.want, step.never)
			}
		}
		if _, err := tool(t, "map", "--svg", "--json"); err == nil {
			t.Error("two forms at once are taken")
		}
	})
}

// TestTop: what a guest sends is shown by guest and peer, and what its network rejects
// by cause.
func TestTop(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		_, web, _, out := seen(t)
		run(t, "sysctl", "-qw", "net.netfilter.nf_conntrack_acct=1")
		out.Route(t, netip.MustParsePrefix("192.168.122.0/24"), netip.MustParseAddr(uplink4))
		for guest, to := range map[*netnstest.Guest]string{web: outside4, out: "192.168.122.200"} {
			cmd := exec.CommandContext(t.Context(), "ping", "-i", "0.2", "-n", to)
			if err := guest.Start(cmd); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }() // it was killed
		}
		netnstest.Wait(t, "top shows the pings", func() error {
			text, err := tool(t, "top", "default", "--once", "--interval", "500ms", "--json")
			top := &topology.Top{}
			if err := errors.Join(err, json.Unmarshal([]byte(text), top)); err != nil {
				return err
			}
			for _, w := range top.Flows {
				n := top.Networks[0]
				if w.Guest == "web1" && w.Peer == outside4 && w.Proto == "icmp" && w.Sent.Packets > 0 && w.Got.Packets > 0 && n.Sent.Packets > 0 && n.Drops.Entering > 0 {
					return nil
				}
			}
			return fmt.Errorf("it shows %s", text)
		})
		if text, err := tool(t, "top", "--once", "--interval", "500ms"); err != nil || !strings.Contains(text, "default/web1") || !strings.Contains(text, "entering") {
			t.Errorf("as a table: %v\n%s", err, text)
		}
	})
}
