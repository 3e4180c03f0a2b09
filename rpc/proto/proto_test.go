package proto

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/rpc/wire"
)

func ptr(s string) *string { return &s }

// samples holds every message with every field filled.
func samples() []wire.Message {
	net := Network{"net", [16]byte{1, 15: 2}}
	port := Port{net, [16]byte{3, 15: 4}}
	params := []wire.Param{{Field: "f", Type: wire.ParamUint, Number: 7}}
	return []wire.Message{
		&Void{}, &Int{-1}, &Hyper{1 << 40}, &String{"text"}, &UUID{net.UUID}, &Names{[]string{"a", "bcde"}},
		&OpenArgs{ptr("network:///system"), 1}, &AuthTypes{[]int32{AuthTypePolkit}},
		&IdentityArgs{params, 1}, &EventArgs{1, &net}, &StatsArgs{net, 1, 2, 3},
		&net, &ListArgs{1, 3}, &Networks{[]Network{net, net}, 2}, &XMLArgs{"<network/>", 1},
		&NetworkFlags{net, 1}, &AutostartArgs{net, 1}, &UpdateArgs{net, 1, 4, -1, "<host/>", 3},
		&SetMetadataArgs{net, 2, ptr("<x/>"), ptr("k"), ptr("urn:x"), 1}, &MetadataArgs{net, 2, ptr("urn:x"), 1},
		&LeasesArgs{net, ptr("52:54:00:00:00:01"), 1, 0},
		&Leases{[]Lease{{"virbr0", 1 << 33, 1, ptr("mac"), ptr("iaid"), "::1", 64, ptr("host"), ptr("id")}}, 1},
		&port, &PortsArgs{net, 1, 2}, &Ports{[]Port{port}, 1}, &PortXMLArgs{net, "<networkport/>", 2},
		&PortFlags{port, 1}, &GetParamsArgs{port, 1, 2}, &PortParams{params, 0}, &SetParamsArgs{port, params, 1},
		&Lifecycle{1, net, 2, 3}, &MetadataChange{1, net, 2, ptr("urn:x")},
		&Forward{"<portForward/>", PhaseActive, []string{"192.0.2.1", "fd00::1"}, ""},
		&Forwards{[]Forward{{"<portForward/>", PhaseWaiting, []string{"::1"}, "taken"}}, []Forward{{"<address/>", PhaseActive, []string{}, ""}}},
		&Added{3, Forward{"<portForward/>", PhaseWaiting, []string{"::1"}, ""}},
		&EditArgs{net, "<portForward/>", -1, 3}, &Happenings{[]Happening{{Network: net, Time: 1 << 60, By: "nft (pid 1)", Was: []string{}, Now: []string{"::1"}}}},
		&Revisions{net, []Revision{{7, 1 << 60, "net", true, UIDUnknown, 8, "virsh", "virNetworkDefineXML"}}}, &RevisionArgs{"net", 7},
		&ApplyArgs{[]string{"<network/>"}, ApplyYes, 60}, &Pendings{[]Pending{{[]Network{net}, 5}}}, &Proposals{[]Proposal{{net, true, true, true, WayLive, "nothing", []Change{{"+ a", "nothing"}}, []string{"b"}}}},
		&EventFilter{&net}, &Happening{1, net, 1 << 60, EventGuest, "nft (pid 1)", 2, 1 << 40, 1 << 41, "web1", []string{"192.0.2.1"}, []string{"192.0.2.2", "fd00::1"}},
		&Uplinks{[]Uplink{{"<uplink/>", PhaseActive, []UplinkWay{{true, true, 1 << 40, "fe80::1", ""}, {false, false, 0, "", "down"}}}}},
		&Error{1, 2, ptr("m"), LevelError, ptr("1"), ptr("2"), ptr("3"), 4, 5},
	}
}

func encode(t *testing.T, m wire.Message) []byte {
	t.Helper()
	b, err := wire.Frame(wire.Header{}, m)
	if err != nil {
		t.Fatal(err)
	}
	return b[wire.HeaderSize:]
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for _, m := range samples() {
		t.Run(reflect.TypeOf(m).Elem().Name(), func(t *testing.T) {
			t.Parallel()
			b := encode(t, m)
			if s, ok := m.(wire.Sized); ok && s.MaxSize() < len(b) {
				t.Errorf("%d bytes, and says that it takes %d at most", len(b), s.MaxSize())
			}
			got := reflect.New(reflect.TypeOf(m).Elem()).Interface().(wire.Message)
			if rest, err := wire.Decode(b, got); err != nil || rest != 0 {
				t.Fatalf("err %v, %d bytes left", err, rest)
			}
			if diff := cmp.Diff(m, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for n := range len(b) {
				if _, err := wire.Decode(b[:n], reflect.New(reflect.TypeOf(m).Elem()).Interface().(wire.Message)); err == nil {
					t.Errorf("decoded from %d of %d bytes", n, len(b))
				}
			}
		})
	}
}

// TestErrorForeign: an error from another libvirt daemon may name a domain and
// a network.
func TestErrorForeign(t *testing.T) {
	t.Parallel()
	const absent, present = 0, 1
	var b []byte
	words := func(list ...uint32) {
		for _, w := range list {
			b = binary.BigEndian.AppendUint32(b, w)
		}
	}
	words(1, 2, absent, LevelError, present)
	b = append(b, encode(t, &Network{"dom", [16]byte{1}})...)
	words(5, absent, absent, absent, 7, 8, present)
	b = append(b, encode(t, &Network{"net", [16]byte{1}})...)
	var got Error
	rest, err := wire.Decode(b, &got)
	want := Error{Code: 1, Domain: 2, Level: LevelError, Int1: 7, Int2: 8}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || rest != 0 {
		t.Errorf("err %v, %d bytes left (-want +got):\n%s", err, rest, diff)
	}
}

func FuzzMessages(f *testing.F) {
	for i, m := range samples() {
		b, err := wire.Frame(wire.Header{}, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b[wire.HeaderSize:])
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		all := samples()
		kind := reflect.TypeOf(all[int(which)%len(all)]).Elem()
		first := reflect.New(kind).Interface().(wire.Message)
		if _, err := wire.Decode(data, first); err != nil {
			return
		}
		b := encode(t, first)
		second := reflect.New(kind).Interface().(wire.Message)
		if rest, err := wire.Decode(b, second); err != nil || rest != 0 {
			t.Fatalf("%s: err %v, %d bytes left", kind.Name(), err, rest)
		}
		if !bytes.Equal(b, encode(t, second)) {
			t.Errorf("%s: another encoding after another decoding", kind.Name())
		}
	})
}
