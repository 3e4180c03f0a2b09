package kernel

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/qemutest"
	"github.com/virbr/virbr/xml"
)

// TestSCTP: a forward of SCTP, on a kernel that speaks it: from outside, from the
// host at its own address and at 127.0.0.1, and from guests of the same and of
// another network; refused once it is removed, which ends what is established.
func TestSCTP(t *testing.T) {
	t.Parallel()
	qemutest.RunTest(t, qemutest.Guest{
		Modules: []string{"bridge", "veth", "nf_tables", "nft_ct", "nft_chain_nat", "nft_nat", "nft_masq", "nft_reject_inet", "nft_fib_inet",
			"nft_socket", "nf_conntrack_netlink", "sctp"},
		Programs: []string{"ip", "nft"},
	}, func(t *testing.T) {
		h, _ := newHost(t)
		do(t, h, step.SetSysctl{Key: "net/ipv4/ip_forward", Value: "1"}, step.SetUp{Link: "lo"})
		network := func(link, prefix string, ext *xml.Extensions) *firewall.Network {
			gateway := netip.MustParseAddr(prefix + "1")
			do(t, h, step.AddBridge{Name: link}, step.SetUp{Link: link},
				step.AddAddress{Link: link, Address: netip.PrefixFrom(gateway, 24), Broadcast: netip.MustParseAddr(prefix + "255")})
			n, err := firewall.Compile(&xml.Network{
				Name: link, Forward: xml.Forward{Mode: xml.ForwardNAT}, Bridge: xml.Bridge{Name: link}, IPs: []xml.IP{{Address: gateway, Prefix: 24}},
			}, ext, firewall.Where{})
			if err != nil {
				t.Fatal(err)
			}
			do(t, h, step.AddRules{Rules: n})
			return n
		}
		open := network(bridge, "10.0.1.", &xml.Extensions{Forwards: []xml.PortForward{
			{Proto: "sctp", Family: xml.FamilyIPv4, Guest: guestAddr, Ranges: []xml.ForwardRange{{Start: 9000, To: 5000}}},
		}})
		network("virbr1", "10.0.2.", nil)
		plug := func(name, link, prefix, own string) *netnstest.Guest {
			g := netnstest.NewGuest(t, name, link)
			g.Address(t, netip.MustParsePrefix(prefix+own+"/24"))
			g.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr(prefix+"1"))
			return g
		}
		server, same, other := plug("server", bridge, "10.0.1.", "2"), plug("same", bridge, "10.0.1.", "3"), plug("other", "virbr1", "10.0.2.", "2")
		outside := netnstest.NewOutside(t, "outside", "uplink", netip.MustParsePrefix(uplinkAddr+"/24"), netip.MustParsePrefix(outsideAddr+"/24"))
		serve(t, server, 5000)

		var lasting *association
		for _, c := range []struct {
			name, to string
			from     func(func() error) error
		}{
			{"from outside", uplinkAddr, outside.Do},
			{"from the host", uplinkAddr, here},
			{"from the host's loopback", "127.0.0.1", here},
			{"from the same network", gatewayAddr, same.Do},
			{"from the guest itself", gatewayAddr, server.Do},
			{"from another network", uplinkAddr, other.Do},
		} {
			a, err := associate(t, c.from, c.to, 9000)
			if err == nil {
				err = a.echoes()
			}
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if lasting == nil {
				lasting = a
			}
		}
		if t.Failed() {
			t.Fatalf("%s\n%s", conntrack(t), output(t, "nft", "list", "ruleset"))
		}
		closed := *open
		closed.Entries = nil
		do(t, h, step.ReplaceRules{From: open, To: &closed},
			step.EndConnections{Proto: "sctp", Listen: netip.IPv4Unspecified(), Start: 9000, End: 9000, Guest: netip.MustParseAddr(guestAddr)})
		if err := lasting.echoes(); err == nil {
			t.Error("what was established goes on without the forward")
		}
		if _, err := associate(t, outside.Do, uplinkAddr, 9000); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("without the forward: %v", err)
		}
	})
}

// here runs fn in the host's own namespace.
func here(fn func() error) error { return fn() }

// association is a one-to-one SCTP socket (RFC 6458 section 4).
type association struct{ fd int }

// stream makes such a socket, which is closed when the test ends and waits for
// nothing longer than that.
func stream(t *testing.T) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return -1, err
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	limit := unix.Timeval{Sec: 5}
	return fd, errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
}

func associate(t *testing.T, from func(func() error) error, to string, port int) (a *association, err error) {
	err = from(func() error {
		fd, err := stream(t)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(to).As4(), Port: port})
		}
		a = &association{fd}
		return err
	})
	return a, err
}

// echoes asks for an echo.
func (a *association) echoes() error {
	if _, err := unix.Write(a.fd, []byte("hello")); err != nil {
		return err
	}
	data := make([]byte, 16)
	n, err := unix.Read(a.fd, data)
	if err == nil && string(data[:n]) != "hello" {
		err = errors.New("the echo is " + string(data[:n]))
	}
	return err
}

// serve answers SCTP on a port of a guest until the machine is turned off.
func serve(t *testing.T, g *netnstest.Guest, port int) {
	t.Helper()
	listener := -1
	err := g.Do(func() (err error) {
		if listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP); err != nil {
			return err
		}
		return errors.Join(unix.Bind(listener, &unix.SockaddrInet4{Port: port}), unix.Listen(listener, 16))
	})
	if err != nil {
		t.Fatalf("serving SCTP: %v", err)
	}
	go func() {
		for {
			fd, _, err := unix.Accept(listener)
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = unix.Close(fd) }()
				for data := make([]byte, 64); ; {
					n, err := unix.Read(fd, data)
					if err != nil || n == 0 {
						return
					}
					if _, err := unix.Write(fd, data[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
}
