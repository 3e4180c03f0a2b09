package xml

import (
	"fmt"
	"testing"
)

// manyForwards returns a network with that many forwards.
func manyForwards(t testing.TB, count int) (*Network, *Extensions) {
	t.Helper()
	e := &Extensions{}
	for i := range count {
		e.Forwards = append(e.Forwards, PortForward{Proto: "tcp", Guest: fmt.Sprintf("192.168.122.%d", 2+i%250), Family: FamilyIPv4, Ranges: []ForwardRange{{Start: uint16(1 + i), To: 80}}})
	}
	n, err := ParseNetwork([]byte(inside("<forward mode='route'/><ip address='192.168.122.1' prefix='24'/>")))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.SetExtensions(e); err != nil {
		t.Fatal(err)
	}
	return n, e
}

// BenchmarkForwards is what one edit of a list costs: reading, changing, setting
// and printing it.
func BenchmarkForwards(b *testing.B) {
	for _, count := range []int{1, 10_000} {
		n, _ := manyForwards(b, count)
		for name, do := range map[string]func(*Extensions) error{
			"read": func(*Extensions) error { _, err := n.Extensions(); return err },
			"add": func(e *Extensions) error {
				return e.AddForward(PortForward{Proto: "udp", Guest: "a"}, First)
			},
			"set":   n.SetExtensions,
			"print": func(*Extensions) error { _ = n.Format(0); return nil },
			"parse": func(*Extensions) error { _, err := ParseNetwork([]byte(n.Format(0))); return err },
			"clone": func(*Extensions) error { n.Clone(); return nil },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, count), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					e, err := n.Extensions()
					if err != nil {
						b.Fatal(err)
					}
					e = e.Clone() // what is read is shared
					b.StartTimer()
					if err := do(e); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
