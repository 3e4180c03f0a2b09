package kernel

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/qemutest"
	"github.com/virbr/virbr/xml"
)

// The addresses of the test's guest, of its bridge, and outside.
const (
	guestAddr   = "10.0.1.2"
	gatewayAddr = "10.0.1.1"
	uplinkAddr  = "192.0.2.1"
	outsideAddr = "192.0.2.2"
)

// TestOffload: established connections of a network that asks for it go by the
// flowtable, and end with what let them pass: another forward mode, a forward
// that is removed, connection tracking that forgets. A kernel without flowtables
// gets one warning.
func TestOffload(t *testing.T) {
	t.Parallel()
	qemutest.RunTest(t, qemutest.Guest{
		Modules: []string{"bridge", "veth", "nf_tables", "nft_ct", "nft_chain_nat", "nft_nat", "nft_masq", "nft_reject_inet", "nft_fib_inet",
			"nft_socket", "nf_conntrack_netlink"},
		Spare:    []string{"nf_flow_table_inet", "nft_flow_offload"},
		Programs: []string{"ip", "nft"},
	}, func(t *testing.T) {
		h, log := newHost(t)
		do(t, h, step.AddBridge{Name: bridge}, step.SetUp{Link: bridge}, step.SetSysctl{Key: "net/ipv4/ip_forward", Value: "1"},
			step.AddAddress{Link: bridge, Address: netip.MustParsePrefix(gatewayAddr + "/24"), Broadcast: netip.MustParseAddr("10.0.1.255")})
		guest := netnstest.NewGuest(t, "guest", bridge)
		guest.Address(t, netip.MustParsePrefix(guestAddr+"/24"))
		guest.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr(gatewayAddr))
		outside := netnstest.NewOutside(t, "outside", "uplink", netip.MustParsePrefix(uplinkAddr+"/24"), netip.MustParsePrefix(outsideAddr+"/24"))
		outside.Route(t, netip.MustParsePrefix("10.0.1.0/24"), netip.MustParseAddr(uplinkAddr))
		echo(t, guest)
		echo(t, outside)

		route, nat, none := rules(t, xml.ForwardRoute), rules(t, xml.ForwardNAT), rules(t, xml.ForwardNone)
		do(t, h, step.AddRules{Rules: route}, step.ReplaceRules{From: route, To: nat}, step.ReplaceRules{From: nat, To: route})
		if n := strings.Count(log.String(), "kernel has no flowtables"); n != 1 {
			t.Errorf("without flowtables: %d warnings:\n%s", n, log)
		}
		c := talk(t, guest, outsideAddr)
		c.wants(t, nil)
		if c.offloaded(t) {
			t.Error("offloaded without flowtables")
		}
		do(t, h, step.DelRules{Bridge: bridge})

		qemutest.Load(t, "nf_flow_table_inet")
		qemutest.Load(t, "nft_flow_offload")
		h, log = newHost(t) // it remembers what the kernel lacked
		do(t, h, step.AddRules{Rules: route})
		c = talk(t, guest, outsideAddr)
		c.wants(t, nil)
		if !c.offloaded(t) {
			t.Fatalf("not offloaded:\n%s\n%s", conntrack(t), output(t, "nft", "list", "ruleset"))
		}
		before := counted(t)
		c.wants(t, nil)
		if after := counted(t); after != before {
			t.Errorf("packets pass the rules:\n%s\nbefore:\n%s", after, before)
		}

		do(t, h, step.ReplaceRules{From: route, To: none})
		c.wants(t, syscall.ECONNREFUSED)
		do(t, h, step.ReplaceRules{From: none, To: nat})

		arrives := talk(t, outside, uplinkAddr)
		arrives.wants(t, nil)
		if !arrives.offloaded(t) {
			t.Errorf("what is forwarded is not offloaded:\n%s", conntrack(t))
		}
		closed := *nat
		closed.Entries = nil
		do(t, h, step.ReplaceRules{From: nat, To: &closed},
			step.EndConnections{Proto: "udp", Listen: netip.IPv4Unspecified(), Start: 7, End: 7, Guest: netip.MustParseAddr(guestAddr)})
		arrives.wants(t, syscall.ECONNREFUSED)

		do(t, h, step.DelRules{Bridge: bridge})
		if left := output(t, "nft", "list", "ruleset"); left != "" {
			t.Errorf("left:\n%s", left)
		}
		if log.Len() > 0 {
			t.Errorf("with flowtables it is logged:\n%s", log)
		}
	})
}

// rules compiles the network's rules in a forward mode, with a forward to its
// guest.
func rules(t *testing.T, mode xml.ForwardMode) *firewall.Network {
	t.Helper()
	n, err := firewall.Compile(&xml.Network{
		Name: "fast", Forward: xml.Forward{Mode: mode}, Bridge: xml.Bridge{Name: bridge},
		IPs: []xml.IP{{Address: netip.MustParseAddr(gatewayAddr), Prefix: 24}},
	}, &xml.Extensions{
		Firewall: xml.Firewall{Offload: true},
		Forwards: []xml.PortForward{{Proto: "udp", Family: xml.FamilyIPv4, Guest: guestAddr, Ranges: []xml.ForwardRange{{Start: 7}}}},
	}, firewall.Where{Links: []string{"gone", "uplink"}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// echo answers UDP on port 7 until the test ends.
func echo(t *testing.T, g *netnstest.Guest) {
	t.Helper()
	var l net.PacketConn
	if err := g.Do(func() (err error) { l, err = net.ListenPacket("udp4", ":7"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for data := make([]byte, 64); ; {
			n, from, err := l.ReadFrom(data)
			if err != nil {
				return
			}
			_, _ = l.WriteTo(data[:n], from)
		}
	}()
}

// conversation is a UDP socket that asks for echoes.
type conversation struct{ net.Conn }

func talk(t *testing.T, from *netnstest.Guest, to string) *conversation {
	t.Helper()
	c := &conversation{}
	if err := from.Do(func() (err error) { c.Conn, err = net.Dial("udp4", to+":7"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wants asks for several echoes and wants that each is answered, or is refused
// with an error.
func (c *conversation) wants(t *testing.T, want error) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	for range 5 {
		_, err := c.Write([]byte("hello"))
		if err == nil {
			_, err = c.Read(make([]byte, 16))
		}
		if !errors.Is(err, want) {
			t.Fatalf("an echo from %s: %v, want %v", c.RemoteAddr(), err, want)
		}
	}
}

// offloaded reports whether the conversation's connection goes by a flowtable.
func (c *conversation) offloaded(t *testing.T) bool {
	t.Helper()
	local := netip.MustParseAddrPort(c.LocalAddr().String())
	for line := range strings.Lines(conntrack(t)) {
		if strings.Contains(line, " sport="+port(local)+" ") && strings.Contains(line, "[OFFLOAD]") {
			return true
		}
	}
	return false
}

func port(a netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// conntrack is the kernel's list of connections.
func conntrack(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/net/nf_conntrack")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// counted is what the counters of the network's rules say.
func counted(t *testing.T) string {
	t.Helper()
	return output(t, "nft", "list", "chain", "inet", firewall.TableName, "leave_"+bridge)
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
