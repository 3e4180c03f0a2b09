package xml

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDrawn: extensions that are set in the place of others are what they are where
// there were none before, whatever of them is the same: the same text, or the same
// refusal.
func TestDrawn(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	random := func() PortForward {
		f := PortForward{Proto: []string{"tcp", "udp"}[r.IntN(2)], Guest: fmt.Sprintf("192.168.122.%d", 2+r.IntN(3)), Family: Family(r.IntN(2))}
		for range r.IntN(3) {
			start := uint16(80 + r.IntN(6))
			f.Ranges = append(f.Ranges, ForwardRange{Start: start, End: start + uint16(r.IntN(3)), Exclude: r.IntN(4) == 0})
		}
		if r.IntN(4) == 0 {
			f.Dev = "eth0"
		}
		return f
	}
	plain, _ := manyForwards(t, 0)
	refused, set := 0, 0
	n := plain.Clone()
	for range 3000 {
		e, err := n.Extensions()
		if err != nil {
			t.Fatal(err)
		}
		e = e.Clone()
		for range 1 + r.IntN(2)*r.IntN(12) {
			at := r.IntN(len(e.Forwards) + 1)
			if r.IntN(2) == 0 && at < len(e.Forwards) {
				e.Forwards = slices.Delete(e.Forwards, at, at+1)
			} else if len(e.Forwards) < 30 {
				e.Forwards = slices.Insert(e.Forwards, at, random())
			}
		}
		fresh := plain.Clone()
		want, got := fresh.SetExtensions(e), n.SetExtensions(e)
		if fmt.Sprint(want) != fmt.Sprint(got) {
			t.Fatalf("refused with %v, and with %v where there were others: %s", want, got, e)
		}
		if want != nil {
			refused++
			continue
		}
		set++
		if a, b := fresh.Format(0), n.Format(0); a != b {
			t.Fatalf("alone:\n%s\nin the place of others:\n%s", a, b)
		}
	}
	if refused < 100 || set < 100 {
		t.Errorf("%d were refused and %d set: too little is tested", refused, set)
	}
}
