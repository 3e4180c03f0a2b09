package delegation

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start is when tests begin. Random numbers of a half make no jitter, but of a first Solicit.
func start() time.Time { return time.Unix(1_800_000_000, 0) }

func half() float64 { return 0.5 }

func config() Config {
	return Config{DUID: []byte{0, 4, 1, 2, 3}, IAID: 7, Random: half}
}

// said is what a router says.
type said struct {
	kind     kind
	xid      [3]byte
	client   []byte
	server   string
	t1, t2   uint32
	prefixes []granted
	status   status // of the IA_PD
	more     []byte // options at the end
}

// granted is a prefix, with lifetimes in seconds and options of its own.
type granted struct {
	prefix           string
	preferred, valid uint32
	more             []byte
}

func (s said) bytes() []byte {
	msg := append([]byte{byte(s.kind)}, s.xid[:]...)
	msg = option(msg, optClientID, s.client)
	msg = option(msg, optServerID, []byte(s.server))
	ia := binary.BigEndian.AppendUint32(nil, 7)
	ia = binary.BigEndian.AppendUint32(ia, s.t1)
	ia = binary.BigEndian.AppendUint32(ia, s.t2)
	for _, g := range s.prefixes {
		p := netip.MustParsePrefix(g.prefix)
		value := binary.BigEndian.AppendUint32(nil, g.preferred)
		value = binary.BigEndian.AppendUint32(value, g.valid)
		value = append(value, byte(p.Bits()))
		value = append(value, p.Addr().AsSlice()...)
		ia = option(ia, optIAPrefix, append(value, g.more...))
	}
	if s.status != success {
		ia = option(ia, optStatus, append(binary.BigEndian.AppendUint16(nil, uint16(s.status)), "no"...))
	}
	return append(option(msg, optIAPD, ia), s.more...)
}

// answer returns a router's message to a machine.
func answerTo(m *Machine, k kind, prefixes ...granted) said {
	return said{kind: k, xid: m.xid, client: m.cfg.DUID, server: "router", t1: 1000, t2: 1600, prefixes: prefixes}
}

// receive gives a machine a message.
func receive(t *testing.T, m *Machine, s said, now time.Time) []byte {
	t.Helper()
	out, err := m.Receive(s.bytes(), now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// bound returns a machine that was delegated a prefix.
func bound(t *testing.T, cfg Config, prefix string) (*Machine, time.Time) {
	t.Helper()
	now := start()
	m := New(cfg, now)
	m.Tick(m.Next())
	now = now.Add(time.Second)
	s := answerTo(m, advertise, granted{prefix: prefix, preferred: 2000, valid: 4000})
	s.more = option(nil, optPreference, []byte{255})
	if out := receive(t, m, s, now); len(out) == 0 || kind(out[0]) != request {
		t.Fatalf("an offer of the highest preference is answered by %x", out)
	}
	receive(t, m, answerTo(m, reply, granted{prefix: prefix, preferred: 2000, valid: 4000}), now)
	if m.Phase() != Bound {
		t.Fatalf("it is %s: %s", m.Phase(), m.Problem())
	}
	return m, now
}

// sends drives a machine that nobody answers, and returns what it sends, and how long
// after the message before, in seconds.
func sends(m *Machine, now time.Time, count int) string {
	names := map[kind]string{solicit: "solicit", request: "request", renew: "renew", rebind: "rebind"}
	var list []string
	last := now
	for steps := 0; len(list) < count && steps < 100*count; steps++ {
		now = m.Next()
		if out := m.Tick(now); out != nil {
			list = append(list, fmt.Sprintf("%s %.0f", names[kind(out[0])], now.Sub(last).Seconds()))
			last = now
		}
	}
	return strings.Join(list, ", ")
}

// TestRetransmission holds the times against RFC 9915 section 7.6.
func TestRetransmission(t *testing.T) {
	t.Parallel()
	m := New(config(), start())
	const doubling = "solicit 0, solicit 1, solicit 2, solicit 4, solicit 8, solicit 17, solicit 34, solicit 67, solicit 135, solicit 269, solicit 538, solicit 1076, solicit 2152"
	if diff := cmp.Diff(doubling+", solicit 3600, solicit 3600", sends(m, start().Add(maxDelay/2), 15)); diff != "" {
		t.Errorf("nobody is there (-want +got)\n%s", diff)
	}
	s := answerTo(m, advertise)
	s.status, s.more = noPrefixAvail, option(nil, optSolMaxRT, []byte{0, 0, 0, 120})
	receive(t, m, s, start())
	now := m.Next()
	m.Tick(now)
	if diff := cmp.Diff("solicit 120, solicit 120", sends(m, now, 2)); diff != "" {
		t.Errorf("SOL_MAX_RT (-want +got)\n%s", diff)
	}
	if !strings.Contains(m.Problem(), "delegates no prefix: no") {
		t.Errorf("the problem is %q", m.Problem())
	}

	m, now = bound(t, config(), "2001:db8:100::/56")
	const silence = "renew 1000, renew 10, renew 20, renew 40, renew 80, renew 160, rebind 290, rebind 10, rebind 20, rebind 40, rebind 80, rebind 160, rebind 320, rebind 600, rebind 600, solicit 570"
	if diff := cmp.Diff(silence, sends(m, now, 16)); diff != "" {
		t.Errorf("the router falls silent (-want +got)\n%s", diff)
	}
	if l := m.Lease(now.Add(4000 * time.Second)); len(l.Prefixes) != 0 {
		t.Errorf("when its time is over there is still %v", l.Prefixes)
	}

	m, now = bound(t, config(), "2001:db8:100::/56")
	m = New(Config{DUID: m.cfg.DUID, IAID: 7, Random: half, Lease: m.Lease(now)}, now)
	if diff := cmp.Diff("rebind 0, rebind 1, rebind 2, rebind 4, renew 993", sends(m, now, 5)); diff != "" {
		t.Errorf("after a restart (-want +got)\n%s", diff)
	}
}

// TestHint: who had a prefix asks for it again, and otherwise for one of a length.
func TestHint(t *testing.T) {
	t.Parallel()
	hinted := func(m *Machine) string {
		msg := m.Tick(m.Next())
		var found string
		_ = options(msg[header:], func(c code, value []byte) error {
			if c != optIAPD {
				return nil
			}
			return options(value[iaHeader:], func(_ code, value []byte) error {
				found += netip.PrefixFrom(netip.AddrFrom16([16]byte(value[9:25])), int(value[8])).String()
				return nil
			})
		})
		return found
	}
	cfg := config()
	if got := hinted(New(cfg, start())); got != "" {
		t.Errorf("with no wish it asks for %q", got)
	}
	cfg.Hint = 60
	if got := hinted(New(cfg, start())); got != "::/60" {
		t.Errorf("it asks for %q, want ::/60", got)
	}
	cfg.Lease = Lease{Prefixes: []Prefix{{Prefix: netip.MustParsePrefix("2001:db8:7::/56"), Valid: start().Add(-time.Hour)}}}
	if got := hinted(New(cfg, start())); got != "2001:db8:7::/56" {
		t.Errorf("long after a lease it asks for %q", got)
	}
}

// TestRenumbered: a Reply may take a prefix away and give another one; what it does not
// mention stays (RFC 9915 section 18.2.10.1).
func TestRenumbered(t *testing.T) {
	t.Parallel()
	m, _ := bound(t, config(), "2001:db8:100::/56")
	now := m.Next()
	m.Tick(now)
	if m.Phase() != Renewing {
		t.Fatalf("it is %s", m.Phase())
	}
	receive(t, m, answerTo(m, reply, granted{prefix: "2001:db8:200::/56", preferred: 2000, valid: 4000}), now)
	if diff := cmp.Diff([]string{"2001:db8:200::/56", "2001:db8:100::/56"}, prefixes(m, now)); diff != "" {
		t.Errorf("one more (-want +got)\n%s", diff)
	}
	now = m.Next()
	m.Tick(now)
	receive(t, m, answerTo(m, reply, granted{prefix: "2001:db8:100::/56"}, granted{prefix: "2001:db8:200::/56", preferred: 1500, valid: 1700}), now)
	if diff := cmp.Diff([]string{"2001:db8:200::/56"}, prefixes(m, now)); diff != "" {
		t.Errorf("one less (-want +got)\n%s", diff)
	}
	now = m.Next()
	m.Tick(now)
	receive(t, m, answerTo(m, reply, granted{prefix: "2001:db8:200::/56"}), now)
	if len(prefixes(m, now)) > 0 || m.Phase() != Starting || !m.Next().After(now) {
		t.Errorf("withdrawn: %v, %s", prefixes(m, now), m.Phase())
	}
	m, _ = bound(t, config(), "2001:db8:100::/56")
	now = m.Next()
	m.Tick(now)
	s := answerTo(m, reply)
	s.status = noBinding
	if out := receive(t, m, s, now); kind(out[0]) != request || len(prefixes(m, now)) != 1 {
		t.Errorf("a router that knows of nothing is sent %x", out)
	}
}

func prefixes(m *Machine, now time.Time) []string {
	var list []string
	for _, p := range m.Lease(now).Prefixes {
		list = append(list, p.Prefix.String())
	}
	return list
}

// TestHostileAnswers: what makes no sense is as good as not sent.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	good := granted{prefix: "2001:db8:100::/56", preferred: 2000, valid: 4000}
	many := make([]granted, 40)
	for i := range many {
		many[i] = granted{prefix: fmt.Sprintf("2001:db8:%x::/56", i), preferred: 2000, valid: 4000}
	}
	for name, tt := range map[string]struct {
		change func(*said)
		want   int // prefixes
	}{
		"fine":                   {func(*said) {}, 1},
		"another transaction":    {func(s *said) { s.xid[0]++ }, 0},
		"somebody else's":        {func(s *said) { s.client = []byte{0, 4, 9} }, 0},
		"no server":              {func(s *said) { s.server = "" }, 0},
		"another server":         {func(s *said) { s.server = "rogue" }, 0},
		"a long server":          {func(s *said) { s.server = strings.Repeat("x", 200) }, 0},
		"an Advertise":           {func(s *said) { s.kind = advertise }, 0},
		"T1 behind T2":           {func(s *said) { s.t1, s.t2 = 200, 100 }, 0},
		"preferred beyond valid": {func(s *said) { s.prefixes[0].preferred = 5000 }, 0},
		"a moment":               {func(s *said) { s.prefixes[0].preferred, s.prefixes[0].valid = 5, 5 }, 0},
		"everything":             {func(s *said) { s.prefixes[0].prefix = "::/0" }, 0},
		"too short":              {func(s *said) { s.prefixes[0].prefix = "2000::/3" }, 0},
		"too long":               {func(s *said) { s.prefixes[0].prefix = "2001:db8:100::/65" }, 0},
		"link-local":             {func(s *said) { s.prefixes[0].prefix = "fe80::/56" }, 0},
		"multicast":              {func(s *said) { s.prefixes[0].prefix = "ff05::/56" }, 0},
		"many":                   {func(s *said) { s.prefixes = many }, maxPrefixes},
		"renewed all the time":   {func(s *said) { s.t1, s.t2 = 1, 1 }, 1},
	} {
		m, now := New(config(), start()), start()
		m.Tick(m.Next())
		m.sent = 2 // the first offer is taken
		receive(t, m, answerTo(m, advertise, good), now)
		s := answerTo(m, reply, good)
		tt.change(&s)
		_, _ = m.Receive(s.bytes(), now)
		if got := m.Lease(now); len(got.Prefixes) != tt.want || tt.want > 0 && got.Renew.Sub(now) < minT1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestExclude: the part that stays the router's, as RFC 6603 section 4.2 writes it.
func TestExclude(t *testing.T) {
	t.Parallel()
	whole := netip.MustParsePrefix("2001:db8:dead:be00::/56")
	for want, value := range map[string][]byte{
		"2001:db8:dead:bef0::/60":      {60, 0xf0},
		"2001:db8:dead:be0f::/64":      {64, 0x0f},
		"2001:db8:dead:be0f:8000::/65": {65, 0x0f, 0x80},
	} {
		if got := excluded(whole, value); got.String() != want {
			t.Errorf("%x: %s, want %s", value, got, want)
		}
	}
	for _, value := range [][]byte{{}, {64}, {56, 0}, {48, 0}, {129, 0}, {64, 1, 2}, slices.Repeat([]byte{128}, 5)} {
		if got := excluded(whole, value); got.IsValid() {
			t.Errorf("%x: %s", value, got)
		}
	}
}

// TestAdvertised: no more is promised than is left when the next renewal is over, and no
// more than RFC 9096 section 3.4 allows.
func TestAdvertised(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		preferred, renew int // seconds from now; a renew of the past is late
		want             uint64
		next             int
	}{
		{86400, 43200, 2700, 43200},
		{3000, 1500, 1500, 1500},
		{3000, -1, 1500, 1500},
		{600, -1, 300, 300},
		{200, -1, 120, 100},
		{100, -1, 0, 1000},
	} {
		now := start()
		p := Prefix{Preferred: now.Add(time.Duration(tt.preferred) * time.Second), Valid: now.Add(1000 * time.Second)}
		got, next := p.Advertised(now.Add(time.Duration(tt.renew)*time.Second), now)
		if at := int(next.Sub(now) / time.Second); got != tt.want || at != tt.next {
			t.Errorf("%+v: %d for %d", tt, got, at)
		}
		if got > 0 && got > uint64(tt.preferred) {
			t.Errorf("%+v: promises more than is left", tt)
		}
	}
}

// FuzzAnswer: whatever a router sends, a machine keeps its bounds and waits for something.
func FuzzAnswer(f *testing.F) {
	for _, k := range []kind{advertise, reply} {
		m := New(config(), start())
		m.Tick(m.Next())
		s := answerTo(m, k, granted{prefix: "2001:db8:100::/56", preferred: 2000, valid: 4000, more: option(nil, optPDExclude, []byte{64, 1})})
		s.more = option(option(nil, optSolMaxRT, []byte{0, 0, 1, 0}), optStatus, []byte{0, 6, 'n', 'o'})
		f.Add(uint8(0), s.bytes()[header:])
	}
	f.Fuzz(func(t *testing.T, phase uint8, data []byte) {
		now := start()
		m := New(config(), now)
		m.Tick(m.Next())
		if phase%4 > 0 {
			receive(t, m, func() said {
				s := answerTo(m, advertise, granted{prefix: "2001:db8:100::/56", preferred: 2000, valid: 4000})
				s.more = option(nil, optPreference, []byte{255})
				return s
			}(), now)
		}
		if phase%4 > 1 {
			receive(t, m, answerTo(m, reply, granted{prefix: "2001:db8:100::/56", preferred: 2000, valid: 4000}), now)
			now = m.Next()
			m.Tick(now)
		}
		for _, k := range []kind{advertise, reply} {
			msg := append([]byte{byte(k)}, m.xid[:]...)
			_, _ = m.Receive(append(msg, data...), now)
			l := m.Lease(now)
			if len(l.Prefixes) > maxPrefixes || len(l.Server) > maxDUID || len(m.Problem()) > maxStatus+100 {
				t.Fatalf("%+v: %s", l, m.Problem())
			}
			for _, p := range l.Prefixes {
				if !p.usable() || p.Preferred.After(p.Valid) || p.Valid.Sub(now) > maxValid || p.Exclude.IsValid() && !inside(p.Exclude, p.Prefix) {
					t.Fatalf("%+v", p)
				}
			}
			if next := m.Next(); next.Before(now) || m.Phase() == Bound && next.Sub(now) < minT1 && next.Before(l.Until()) {
				t.Fatalf("it is to go on at %s, %s", next, m.Phase())
			}
		}
	})
}
