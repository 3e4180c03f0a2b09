package driver_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// addMany is an edit that adds forwards, each of a port of an address.
func addMany(from, count int) func(*xml.Extensions) error {
	return func(e *xml.Extensions) error {
		for i := from; i < from+count; i++ {
			e.Forwards = append(e.Forwards, xml.PortForward{
				Proto: "tcp", Address: netip.AddrFrom4([4]byte{203, 0, 113, byte(i >> 12)}), Guest: "web1",
				Ranges: []xml.ForwardRange{{Start: uint16(1024 + i&0xfff), To: 80}},
			})
		}
		return nil
	}
}

// TestKernelManyForwards: ten thousand forwards fit, and one more can be added and
// taken away. What one costs is told with -v.
func TestKernelManyForwards(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		k := onKernel(t)
		ref := k.define(unlimited("default", 7))
		k.start(ref)
		for _, had := range []int{0, 10_000} {
			if err := k.edit(ref, func(e *xml.Extensions) error { e.Forwards = nil; return addMany(0, had)(e) }); err != nil {
				t.Fatal(err)
			}
			const rounds = 10
			began := time.Now()
			for i := range rounds {
				if err := k.edit(ref, addMany(had+i, 1)); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("one more than %d: %v", had, time.Since(began)/rounds)
			list, err := k.d.Forwards(t.Context(), ref)
			if err != nil || len(list) <= had {
				t.Errorf("%d forwards, %v", len(list), err)
			}
		}
	})
}
