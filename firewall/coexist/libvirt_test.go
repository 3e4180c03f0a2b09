package coexist

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// theirs is what libvirt's iptables backend has, with some rules in front.
func theirs(family string, head ...Rule) *Survey {
	name := func(f Field, n string) Match { return Match{Field: f, Values: []Value{{Name: n}}} }
	return &Survey{Tables: []Table{{Family: family, Name: "filter", Chains: []Chain{
		{Name: "INPUT", Hook: Input}, {Name: "OUTPUT", Hook: Output},
		{Name: "FORWARD", Hook: Forward, Rules: []Rule{{Handle: 1, Verdict: Verdict{Kind: Jump, Chain: "LIBVIRT_FWI"}}, {Handle: 2, Verdict: Verdict{Kind: Jump, Chain: "LIBVIRT_FWO"}}}},
		{Name: "LIBVIRT_FWI", Rules: append(head, Rule{Handle: 7, Match: []Match{name(OutName, "virbr0")}, Verdict: Verdict{Kind: Reject}})},
		{Name: "LIBVIRT_FWO"},
		{Name: "guest_input"}, // of somebody else: it is not in libvirt's table
	}}}}
}

func TestBeside(t *testing.T) {
	t.Parallel()
	b := Beside{Bridge: "virbr0", Own: []netip.Prefix{netip.MustParsePrefix("fd00::1/64")}, Stray: []netip.Addr{netip.MustParseAddr("192.168.122.9")}}
	guest := netip.MustParsePrefix("192.168.122.9/32")
	in := func(chain string, before uint64, kind Kind, p netip.Prefix, accept Packet) Insertion {
		return Insertion{Chain: chain, Before: before, Accept: accept, Comment: "virbr: virbr0 vouched beside libvirt", Kind: kind, Address: p}
	}
	enter, leave := Packet{Out: "virbr0"}, Packet{In: "virbr0"}
	want := []Change{{Family: IPv4, Table: "filter", Iptables: true, Insert: []Insertion{
		in("LIBVIRT_FWI", 7, Translated, netip.Prefix{}, enter), in("LIBVIRT_FWI", 7, Stray, guest, enter),
		in("LIBVIRT_FWO", 0, Replies, netip.Prefix{}, leave), in("LIBVIRT_FWO", 0, Stray, guest, leave),
	}}}
	if diff := cmp.Diff(want, theirs(IPv4).Beside(b), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("IPv4 (-want +got)\n%s", diff)
	}
	six := theirs(IPv6).Beside(b)
	if len(six) != 1 || len(six[0].Insert) != 4 || six[0].Insert[1].Address != netip.MustParsePrefix("fd00::/64") || six[0].Insert[1].Kind != Any {
		t.Errorf("IPv6: %+v", six)
	}
}

// TestBesidePlace: rules that are at the head stay; others, or others' in front of
// them, do not.
func TestBesidePlace(t *testing.T) {
	t.Parallel()
	ours := func(handle uint64) Rule {
		return Rule{Handle: handle, Comment: "virbr: virbr0 vouched beside libvirt", Verdict: Verdict{Kind: Accept}}
	}
	other := Rule{Handle: 5, Comment: "virbr: virbr1 beside libvirt", Verdict: Verdict{Kind: Accept}}
	foreign := Rule{Handle: 6, Verdict: Verdict{Kind: Reject}}
	b := Beside{Bridge: "virbr0"}
	for _, tt := range []struct {
		name    string
		head    []Rule
		deleted int
		before  uint64 // of what is inserted; 0: nothing is
	}{
		{"missing", nil, 0, 7},
		{"in place", []Rule{ours(3)}, 0, 0},
		{"behind another network's", []Rule{other, ours(3)}, 0, 0},
		{"behind libvirt's", []Rule{foreign, ours(3)}, 1, 6},
		{"twice", []Rule{ours(3), ours(4)}, 2, 7},
	} {
		got := theirs(IPv4, tt.head...).Beside(b)
		c := Change{}
		if len(got) > 0 {
			c = got[0]
		}
		var before uint64
		for _, in := range c.Insert {
			if in.Chain == "LIBVIRT_FWI" {
				before = in.Before
			}
		}
		if len(c.Delete) != tt.deleted || before != tt.before {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	if got := theirs(IPv4, other, ours(3), ours(4)).BesideRemoval("virbr0"); len(got) != 1 || len(got[0].Delete) != 2 {
		t.Errorf("removal: %+v", got)
	}
	if got := theirs(IPv4, other).BesideRemoval("virbr0"); len(got) != 0 {
		t.Errorf("removal of nothing: %+v", got)
	}
}
