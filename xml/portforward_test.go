package xml

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpans(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		ranges []ForwardRange
		want   []PortSpan
	}{
		{"none are all", nil, []PortSpan{{1, 65535, 1}}},
		{"one", []ForwardRange{{Start: 80}}, []PortSpan{{80, 80, 80}}},
		{"moved", []ForwardRange{{Start: 8080, End: 8089, To: 80}}, []PortSpan{{8080, 8089, 80}}},
		{"in order", []ForwardRange{{Start: 9}, {Start: 5}}, []PortSpan{{5, 5, 5}, {9, 9, 9}}},
		{"cut in the middle", []ForwardRange{{Start: 10, End: 20, To: 110}, {Start: 15, Exclude: true}}, []PortSpan{{10, 14, 110}, {16, 20, 116}}},
		{"cut at the edges", []ForwardRange{{Start: 10, End: 20}, {Start: 1, End: 11, Exclude: true}, {Start: 19, End: 65535, Exclude: true}}, []PortSpan{{12, 18, 12}}},
		{"only exceptions", []ForwardRange{{Start: 22, Exclude: true}}, []PortSpan{{1, 21, 1}, {23, 65535, 23}}},
		{"joined", []ForwardRange{{Start: 10, End: 11, To: 110}, {Start: 12, To: 112}, {Start: 13, To: 80}}, []PortSpan{{10, 12, 110}, {13, 13, 80}}},
		{"up to the last", []ForwardRange{{Start: 65535}, {Start: 1}}, []PortSpan{{1, 1, 1}, {65535, 65535, 65535}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, (&PortForward{Ranges: tt.ranges}).Spans()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		f    PortForward
		want Family
	}{
		{PortForward{Guest: "a"}, FamilyAll},
		{PortForward{Guest: "a", Family: FamilyIPv6}, FamilyIPv6},
		{PortForward{Guest: "a", Address: netip.IPv4Unspecified()}, FamilyIPv4},
		{PortForward{Guest: "a", Address: netip.IPv6Unspecified()}, FamilyIPv6},
		{PortForward{Guest: "10.0.0.1"}, FamilyIPv4},
		{PortForward{Guest: "fd00::1"}, FamilyIPv6},
	} {
		if got := tt.f.Families(); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.f, got, tt.want)
		}
	}
}

func TestForwardString(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ attrs, ranges, want string }{
		{"proto='tcp' guest='web1'", "<range start='8080' to='80'/>", "tcp *:8080 to web1:80"},
		{"proto='tcp' guest='web1' family='ipv4'", "<range start='8080'/>", "tcp ipv4:8080 to web1"},
		{"proto='udp' guest='fd00::1' address='2001:db8::7'", "<range start='5' end='9' to='15'/>", "udp [2001:db8::7]:5-9 to [fd00::1]:15-19"},
		{"proto='sctp' guest='a' dev='eth0'", "", "sctp eth0:all to a"},
		{"proto='sctp' guest='a' dev='eth0' address='::'", "", "sctp eth0/ipv6:all to a"},
		{"proto='tcp' ignore='yes'", "<range start='22'/>", "tcp *:22 ignored"},
		{"proto='tcp' ignore='yes'", "<range start='1'/><range start='3'/><range start='5'/><range start='7'/><range start='9'/>", "tcp *:1,3,5,7,... ignored"},
	} {
		f, err := ParsePortForward([]byte("<portForward " + tt.attrs + ">" + tt.ranges + "</portForward>"))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.String(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
		again, err := ParsePortForward([]byte(f.XML()))
		if err != nil || !again.Equal(f) {
			t.Errorf("%s is read as %v, %v", f.XML(), again, err)
		}
	}
}

func TestEditForwards(t *testing.T) {
	t.Parallel()
	web := PortForward{Proto: "tcp", Guest: "web1", Ranges: []ForwardRange{{Start: 8080, To: 80}}}
	ssh := PortForward{Proto: "tcp", Ignore: true, Ranges: []ForwardRange{{Start: 22}}}
	dns := PortForward{Proto: "udp", Guest: "52:54:00:00:00:0A", Ranges: []ForwardRange{{Start: 53, End: 53}}}
	e := &Extensions{}
	for _, step := range []struct {
		f    PortForward
		at   int
		want string
	}{
		{web, Last, ""}, {ssh, First, ""}, {dns, 1, ""},
		{web, First, "Requested operation is not valid: forward tcp *:8080 to web1:80: portForward 3 (tcp *:8080 to web1:80) has port 8080 already"},
		{ssh, 9, "Requested operation is not valid: there is no place 10 in a list of 3 forwards"},
		{PortForward{Proto: "tcp", Guest: "a\nb"}, Last, "at line 1: invalid char in guest: 0x0a"},
	} {
		err := e.AddForward(step.f, step.at)
		if got := message(err); got != step.want {
			t.Errorf("adding %v: %q, want %q", &step.f, got, step.want)
		}
	}
	if got, want := labels(e), "tcp *:22 ignored; udp *:53 to 52:54:00:00:00:0a; tcp *:8080 to web1:80"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if at := e.IndexForward(&PortForward{Proto: "tcp", Guest: "web1", Ranges: []ForwardRange{{Start: 8080, End: 8080, To: 80}}}); at != 2 {
		t.Errorf("the forward is at %d, want 2", at)
	}
	if at := e.IndexForward(&PortForward{Proto: "tcp", Guest: "web1"}); at != -1 {
		t.Errorf("a forward that is not there is at %d", at)
	}
	gone := e.Forwards[1]
	if err := e.CutForward(&gone); err != nil || gone.Proto != "udp" || len(e.Forwards) != 2 || e.IndexForward(&gone) >= 0 {
		t.Errorf("removed %v, %v, left %s", &gone, err, labels(e))
	}
	if err := e.CutForward(&gone); err == nil || len(e.Forwards) != 2 {
		t.Errorf("a forward that is not there is removed, left %s", labels(e))
	}
}

func TestEditPublics(t *testing.T) {
	t.Parallel()
	e := &Extensions{}
	addr := netip.MustParseAddr("203.0.113.7")
	for _, step := range []struct {
		a    PublicAddress
		want string
	}{
		{PublicAddress{Public: addr, Guest: "web1"}, ""},
		{PublicAddress{Public: addr, Guest: "web2"}, "Requested operation is not valid: public address 203.0.113.7 belongs to 'web1' already"},
		{PublicAddress{Public: netip.IPv6Loopback(), Guest: "web2"}, "XML error: at line 1: Invalid public address '::1': this is a loopback address"},
	} {
		if got := message(e.AddPublic(step.a)); got != step.want {
			t.Errorf("adding %v: %q, want %q", &step.a, got, step.want)
		}
	}
	for _, other := range []PublicAddress{{Public: netip.IPv6Loopback(), Guest: "web1"}, {Public: addr, Guest: "web2"}} {
		if err := e.CutPublic(&other); err == nil {
			t.Errorf("%v is removed, which is not there", &other)
		}
	}
	if err := e.CutPublic(&PublicAddress{Public: addr, Guest: "web1"}); err != nil || !e.IsZero() {
		t.Errorf("removed: %v, left %v", err, e)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func labels(e *Extensions) string {
	var list []string
	for i := range e.Forwards {
		list = append(list, e.Forwards[i].String())
	}
	return strings.Join(list, "; ")
}
