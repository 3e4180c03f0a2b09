package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// forwardXML are two networks with both families and guests with fixed names.
const forwardXML = `<network><name>NAME</name><forward mode='nat'/><bridge name='BRIDGE' stp='off'/>
<ip address='10.SUBNET.0.1' prefix='24'><dhcp><range start='10.SUBNET.0.2' end='10.SUBNET.0.99'/></dhcp></ip>
<ip family='ipv6' address='fd00:SUBNET::1' prefix='64'><dhcp><range start='fd00:SUBNET::100' end='fd00:SUBNET::1ff'/></dhcp></ip></network>`

func forwardNetwork(name, bridge, subnet string) string {
	return strings.NewReplacer("NAME", name, "BRIDGE", bridge, "SUBNET", subnet).Replace(forwardXML)
}

// addressed plugs a guest in and gives it an address of each family by DHCP, and
// a default route of each, under its own name.
func addressed(t *testing.T, name, bridge string) (g *netnstest.Guest, v4, v6 netip.Addr) {
	t.Helper()
	return addressedBy(t, name, bridge, outside6)
}

// addressedBy is addressed where the Internet is at another address than outside6.
func addressedBy(t *testing.T, name, bridge, far string) (g *netnstest.Guest, v4, v6 netip.Addr) {
	t.Helper()
	g = netnstest.NewGuest(t, name, bridge)
	var err error
	if v4, err = g.DHCP(t, "-x", "hostname:"+name).Address(); err != nil {
		t.Fatal(err)
	}
	linkLocal(t, g)
	if v6, err = g.DHCP6(t).Address(); err != nil {
		t.Fatal(err)
	}
	netnstest.Wait(t, "the guest has an IPv6 default route", func() error {
		_, err := g.Output(t.Context(), "ip", "-6", "route", "get", far)
		return err
	})
	return g, v4, v6
}

// website serves a guest's name by HTTP, with busybox's server, until the test
// ends.
func website(t *testing.T, g *netnstest.Guest, port string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "index.html"), "this is "+g.Name+"\n")
	cmd := exec.CommandContext(t.Context(), "busybox", "httpd", "-f", "-p", "[::]:"+port, "-h", dir)
	if err := g.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	netnstest.Wait(t, "the web server of "+g.Name, func() error {
		_, err := g.Output(t.Context(), "curl", "-sS", "-m", "2", "http://127.0.0.1:"+port+"/")
		return err
	})
}

// curl fetches a page, from a guest or with nil from the host.
func curl(t *testing.T, from *netnstest.Guest, url string) string {
	t.Helper()
	args := []string{"-sS", "-g", "-m", "5", "--noproxy", "*", url}
	if from != nil {
		out, err := from.Output(t.Context(), "curl", args...)
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(out)
	}
	out, err := exec.CommandContext(t.Context(), "curl", args...).CombinedOutput()
	if err != nil {
		return err.Error() + ": " + string(out)
	}
	return strings.TrimSpace(string(out))
}

// wantPage wants a page, or with want "" none.
func wantPage(t *testing.T, what string, from *netnstest.Guest, url, want string) {
	t.Helper()
	got := curl(t, from, url)
	if want == "" && strings.HasPrefix(got, "this is") || want != "" && got != "this is "+want {
		t.Errorf("%s: %s is %q, want %q", what, url, got, want)
	}
}

// virbr runs the tool.
func virbr(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, bin("virbr"), args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("virbr %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func mustVirbr(t *testing.T, args ...string) string {
	t.Helper()
	out, err := virbr(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// forwardPlace is somewhere from where a forward is tried.
type forwardPlace struct {
	name string
	from *netnstest.Guest // nil: the host
	urls []string
}

// TestForward: a web server in a guest is reached by way of the host, with both
// families, from outside, from the host itself, and from guests of the same and
// of another network; what is not forwarded is not.
func TestForward(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "curl", "busybox")
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("one", forwardNetwork("one", "br-one", "91"))
		d.up("two", forwardNetwork("two", "br-two", "92"))
		web, v4, v6 := addressed(t, "web", "br-one")
		same, _, _ := addressed(t, "same", "br-one")
		other, _, _ := addressed(t, "other", "br-two")
		website(t, web, "80")
		places := []forwardPlace{
			{"outside", out, []string{"http://" + uplink4 + ":8080/", "http://[" + uplink6 + "]:8080/"}},
			{"the host", nil, []string{"http://127.0.0.1:8080/", "http://" + uplink4 + ":8080/", "http://[" + uplink6 + "]:8080/", "http://localhost:8080/"}},
			{"the same network", same, []string{"http://" + uplink4 + ":8080/", "http://10.91.0.1:8080/", "http://[fd00:91::1]:8080/", "http://[" + uplink6 + "]:8080/"}},
			{"another network", other, []string{"http://" + uplink4 + ":8080/", "http://10.92.0.1:8080/", "http://[" + uplink6 + "]:8080/"}},
		}
		everywhere := func(what, want string) {
			t.Helper()
			for _, p := range places {
				for _, url := range p.urls {
					wantPage(t, what+", from "+p.name, p.from, url, want)
				}
			}
		}
		everywhere("before", "")
		places = append(places, forwardPlace{"the host's own ::1", nil, []string{"http://[::1]:8080/"}})
		mustVirbr(t, "forward", "add", "one", "8080:80", "web")
		everywhere("forwarded", "web")

		// Where bridged frames pass the host's rules, a frame whose new
		// destination is on the bridge stays there, and a bridge sends nothing
		// back where it came from. Elsewhere a guest reaches itself.
		if _, err := os.Stat("/proc/sys/net/bridge"); err == nil {
			run(t, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0")
		}
		places = append(places, forwardPlace{"the guest itself", web, places[0].urls})
		everywhere("without br_netfilter", "web")
		out.Route(t, netip.MustParsePrefix("10.91.0.0/24"), netip.MustParseAddr(uplink4))
		wantPage(t, "around the forward", out, "http://"+v4.String()+"/", "")
		wantPage(t, "a port that is not forwarded", out, "http://"+uplink4+"/", "")

		// The table is lost, and whole again by itself.
		run(t, "nft", "flush", "ruleset")
		netnstest.Wait(t, "the rules are back", func() error {
			if got := curl(t, out, "http://"+uplink4+":8080/"); got != "this is web" {
				return fmt.Errorf("outside sees %q", got)
			}
			return nil
		})
		everywhere("after nft flush ruleset", "web")
		d.kill()
		everywhere("without virbrd", "web")
		d = startVirbrd(t)
		everywhere("with another virbrd", "web")

		var list []struct {
			Network, State string
			Active         []string
		}
		if text := mustVirbr(t, "forward", "list", "one", "--json"); json.Unmarshal([]byte(text), &list) != nil || len(list) != 1 {
			t.Errorf("forward list:\n%s", text)
		}
		if text := mustVirbr(t, "forward", "list", "one"); !strings.Contains(text, v4.String()) || !strings.Contains(text, v6.String()) {
			t.Errorf("forward list, want %s and %s in it:\n%s", v4, v6, text)
		}
		for _, form := range [][]string{{}, {"--inactive"}} {
			if text := d.virsh(append([]string{"net-dumpxml", "one"}, form...)...); !strings.Contains(text, "portForward") {
				t.Errorf("%v has no forward:\n%s", form, text)
			}
		}
		mustVirbr(t, "forward", "remove", "one", "1")
		everywhere("removed", "")
		if text := run(t, "ip", "-6", "route", "show", "table", "local", "::1"); strings.Contains(text, "br-one") {
			t.Errorf("::1 is still led to the bridge:\n%s", text)
		}
	})
}

// TestForwardRefused: what somebody has already is not forwarded, and the error
// says who has it.
func TestForwardRefused(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		d := startVirbrd(t)
		d.up("one", forwardNetwork("one", "br-one", "91"))
		d.up("two", forwardNetwork("two", "br-two", "92"))
		l, err := net.Listen("tcp", ":7000")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // nothing was written
		mustVirbr(t, "forward", "add", "one", "8000-8100", "10.91.0.9")
		for _, tt := range []struct{ ports, want string }{
			{"7000", "listens on"},
			{"8050:80", "'one'"},
		} {
			before := d.virsh("net-dumpxml", "two")
			text, err := virbr(t, "forward", "add", "two", tt.ports, "10.92.0.9")
			if err == nil || !strings.Contains(text, tt.want) {
				t.Errorf("port %s: %v, want %q", tt.ports, err, tt.want)
			}
			if after := d.virsh("net-dumpxml", "two"); after != before {
				t.Errorf("port %s: the refused forward left something:\n%s", tt.ports, after)
			}
		}
		mustVirbr(t, "forward", "add", "two", "8050:80/udp", "10.92.0.9") // another protocol
		d.virsh("net-destroy", "one")
		mustVirbr(t, "forward", "add", "two", "8050:80", "10.92.0.9")
		d.virsh("net-start", "one")
		text := mustVirbr(t, "forward", "list", "one")
		if want := "active to 10.91.0.9; port 8050 taken by network 'two', tried again"; !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	})
}

// TestForwardEnds: who is connected by way of a forward is cut off when it is
// removed; another forward's connections stay. The change is what virsh
// net-metadata makes, which libvirt 9.0's virsh does not have yet.
func TestForwardEnds(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("one", forwardNetwork("one", "br-one", "91"))
		g, _, _ := addressed(t, "g", "br-one")
		c := dial(t, socketRW, 0)
		network := c.lookup("one")
		forward := func(port string) string {
			return "<portForward proto='udp' guest='g'><range start='" + port + "' to='7'/></portForward>"
		}
		set := func(content string) {
			t.Helper()
			text := "<network>" + content + "</network>"
			c.must(proto.NetworkSetMetadata, &proto.SetMetadataArgs{
				Network: network, Type: 2, Metadata: &text, Key: pointer("virbr"), URI: pointer(xml.Namespace), Flags: 1}, nil)
		}
		echo(t, g, ":7")
		set(forward("4001") + forward("4002"))
		stays, ends := talks(t, out, uplink4+":4001"), talks(t, out, uplink4+":4002")
		for name, c := range map[string]*conversation{"4001": stays, "4002": ends} {
			if err := c.answered(); err != nil {
				t.Errorf("port %s: %v", name, err)
			}
		}
		set(forward("4001"))
		if err := stays.answered(); err != nil {
			t.Errorf("the forward that stays: %v", err)
		}
		if err := ends.answered(); err == nil {
			t.Error("the removed forward's connection goes on")
		}
	})
}

// echo answers UDP in a guest until the test ends.
func echo(t *testing.T, g *netnstest.Guest, at string) {
	t.Helper()
	var l net.PacketConn
	if err := g.Do(func() (err error) { l, err = net.ListenPacket("udp", at); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		data := make([]byte, 2048)
		for {
			n, from, err := l.ReadFrom(data)
			if err != nil {
				return
			}
			_, _ = l.WriteTo(data[:n], from)
		}
	}()
}

// conversation is a UDP socket that asks for an echo.
type conversation struct{ net.Conn }

func talks(t *testing.T, from *netnstest.Guest, to string) *conversation {
	t.Helper()
	c := &conversation{}
	if err := from.Do(func() (err error) { c.Conn, err = net.Dial("udp", to); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// answered asks a few times and returns the last error.
func (c *conversation) answered() error {
	var err error
	for range 3 {
		_ = c.SetDeadline(time.Now().Add(time.Second))
		if _, err = c.Write([]byte("hello")); err != nil {
			continue
		}
		if _, err = c.Read(make([]byte, 16)); err == nil {
			return nil
		}
	}
	return err
}
