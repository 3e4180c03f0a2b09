package dnsmasq_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
)

// TestSpliceIsApply walks through random events and wants the text that Apply
// and FormatLeases make, wherever Splice takes a case.
func TestSpliceIsApply(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var entries []dnsmasq.Entry
		data, spliced := dnsmasq.FormatLeases(nil), 0
		for range 300 {
			ev := randomEvent(random, int(seed))
			entries = dnsmasq.Apply(entries, ev)
			want := dnsmasq.FormatLeases(entries)
			pieces, ok := dnsmasq.Splice(data, ev)
			if !ok {
				data = want
				continue
			}
			spliced++
			if len(pieces) > 0 {
				data = bytes.Join(pieces, nil)
			}
			if diff := cmp.Diff(string(want), string(data)); diff != "" {
				t.Fatalf("seed %d: %+v (-Apply +Splice)\n%s", seed, ev, diff)
			}
		}
		if spliced < 200 {
			t.Errorf("seed %d: Splice took %d of 300 events", seed, spliced)
		}
	}
}

// randomEvent is about few addresses, so that all kinds of clashes happen.
func randomEvent(random *rand.Rand, spread int) dnsmasq.Event {
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	n := random.IntN(spread + 2)
	ev := dnsmasq.Event{
		Action: dnsmasq.Action(pick("add", "old", "old", "del")),
		Entry: dnsmasq.Entry{
			Address: fmt.Sprintf("10.0.0.%d", n), MAC: fmt.Sprintf("52:54:00:00:00:%02x", random.IntN(3)),
			Hostname: pick("", "web", `quo"te`, "ü", "}"), ClientID: pick("", "01:2"), Expiry: int64(random.IntN(2)),
		},
	}
	if random.IntN(3) == 0 {
		ev.Entry.Address, ev.Entry.IAID = fmt.Sprintf("fd00::%x", n), pick("1", "2")
		ev.Entry.ServerDUID = "00:01"
		if random.IntN(20) == 0 {
			ev.Entry.ServerDUID = ""
		}
		ev.Entry.MAC = pick(ev.Entry.MAC, ev.Entry.MAC, "")
	}
	return ev
}

// TestSpliceLeaves are events that Splice does not take.
func TestSpliceLeaves(t *testing.T) {
	t.Parallel()
	twice := dnsmasq.FormatLeases(slices.Repeat([]dnsmasq.Entry{{Address: "10.0.0.2", MAC: "52:54:00:00:00:01"}}, 2))
	for name, c := range map[string]struct {
		data []byte
		e    dnsmasq.Entry
	}{
		"no file":           {nil, dnsmasq.Entry{Address: "10.0.0.2", MAC: "52:54:00:00:00:01"}},
		"no array":          {[]byte("{}\n"), dnsmasq.Entry{Address: "10.0.0.2", MAC: "52:54:00:00:00:01"}},
		"an address twice":  {twice, dnsmasq.Entry{Address: "10.0.0.2", MAC: "52:54:00:00:00:09"}},
		"quotes in address": {twice, dnsmasq.Entry{Address: `"`, MAC: "52:54:00:00:00:01"}},
		"no address":        {twice, dnsmasq.Entry{}},
	} {
		if pieces, ok := dnsmasq.Splice(c.data, dnsmasq.Event{Action: dnsmasq.ActionAdd, Entry: c.e}); ok {
			t.Errorf("%s: got %q", name, pieces)
		}
	}
}
