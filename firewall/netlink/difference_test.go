package netlink

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/vishvananda/netns"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// forwarding returns a network with some forwards, each of one port to a guest.
func forwarding(t testing.TB, forwards int, ranges ...xml.ForwardRange) *firewall.Network {
	t.Helper()
	def := &xml.Network{
		Name: "many", Bridge: xml.Bridge{Name: "br-many"}, Forward: xml.Forward{Mode: xml.ForwardNAT},
		IPs: []xml.IP{{Address: netip.MustParseAddr("10.0.0.1"), Prefix: 8}},
	}
	ext := &xml.Extensions{Forwards: []xml.PortForward{{Proto: "udp", Guest: "10.0.0.2", Ranges: []xml.ForwardRange{{Start: 1}}}}}
	for i := range forwards {
		ext.Forwards = append(ext.Forwards, xml.PortForward{
			Proto: "tcp", Guest: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String(),
			Ranges: []xml.ForwardRange{{Start: uint16(10000 + i), To: 80}},
		})
	}
	for _, r := range ranges {
		ext.Forwards = append(ext.Forwards, xml.PortForward{Proto: "udp", Guest: "10.0.0.3", Ranges: []xml.ForwardRange{r}})
	}
	n, err := firewall.Compile(def, ext, firewall.Where{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDifferenceIsSmall: what is sent for one forward does not depend on how many
// there are.
func TestDifferenceIsSmall(t *testing.T) {
	t.Parallel()
	wide := xml.ForwardRange{Start: 30000, End: 40000}
	for _, c := range []struct {
		name     string
		from, to *firewall.Network
		most     int
	}{
		{"nothing", forwarding(t, 10000), forwarding(t, 10000), 0},
		{"the first", forwarding(t, 0), forwarding(t, 1), 3},
		{"the last of 10000", forwarding(t, 9999), forwarding(t, 10000), 4},
		{"one less", forwarding(t, 10000), forwarding(t, 9999), 4},
		{"a range", forwarding(t, 10000), forwarding(t, 10000, wide), 12},
		{"a part of a range", forwarding(t, 10000, wide), forwarding(t, 10000, xml.ForwardRange{Start: 30000, End: 39999}), 4},
	} {
		change := newChange(nil, false)
		change.difference(c.from, c.to)
		size := 0
		for _, m := range change.msgs {
			size += len(m.Data)
		}
		if change.err != nil || len(change.msgs) > c.most || size > 8192 || c.most > 0 && len(change.msgs) == 0 {
			t.Errorf("%s: %d messages of %d bytes, %v; want at most %d", c.name, len(change.msgs), size, change.err, c.most)
		}
	}
}

// BenchmarkForward adds a forward, and takes it away again, beside others.
func BenchmarkForward(b *testing.B) {
	for _, others := range []int{0, 9999} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			conn := namespace(b)
			without, with := forwarding(b, others), forwarding(b, others+1)
			if err := Install(conn, without); err != nil {
				b.Fatal(err)
			}
			var sent []batch // encoded before, so that only the kernel is measured
			for _, pair := range [][2]*firewall.Network{{without, with}, {with, without}} {
				c := newChange(nil, false)
				c.difference(pair[0], pair[1])
				sent = append(sent, c.batch)
			}
			b.Run("kernel", func(b *testing.B) {
				b.ReportMetric(float64(len(sent[0].msgs)), "messages")
				b.ReportMetric(float64(len(sent[0].msgs[0].Data)), "bytes")
				for b.Loop() {
					for _, s := range sent {
						if err := conn.use(s.send); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
			b.Run("all", func(b *testing.B) {
				for b.Loop() {
					if err := Change(conn, without, with); err != nil {
						b.Fatal(err)
					}
					if err := Change(conn, with, without); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// namespace returns a connection to a network namespace of the benchmark's own.
func namespace(b *testing.B) *Conn {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = home.Close() }()
	ns, err := netns.New()
	if err != nil {
		b.Skipf("needs a network namespace: %v; run as root", err)
	}
	b.Cleanup(func() { _ = ns.Close() })
	if err := netns.Set(home); err != nil {
		b.Fatal(err)
	}
	conn, err := Open(int(ns))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}
