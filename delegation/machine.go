package delegation

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Config is what a Machine needs.
type Config struct {
	DUID  []byte // required: ours, for ever (RFC 9915 section 11)
	IAID  uint32 // required: of the link, for ever (section 4.2)
	Hint  int    // how long a prefix is wished for where there was none before, in bits; 0: whatever there is
	Lease Lease  // of an earlier run; zero: none

	// Random returns numbers from 0 up to 1, and is asked for each transaction and each
	// retransmission. Required.
	Random func() float64
}

// Phase is what a Machine is at.
type Phase int

// The phases of a Machine.
const (
	Starting   Phase = iota // waits a moment, so that not all hosts ask at once
	Soliciting              // looks for a router that delegates
	Requesting              // asks the one that offered
	Bound                   // has a prefix
	Verifying               // has a prefix, and asks whether it is still right here
	Renewing                // asks the router that delegated it to prolong it
	Rebinding               // asks any
)

// String returns the phase in words.
func (p Phase) String() string {
	return []string{"starting", "soliciting", "requesting", "bound", "verifying", "renewing", "rebinding"}[p]
}

// Retransmission of a phase (RFC 9915 section 7.6 and 15).
type pace struct {
	kind    kind
	first   time.Duration // IRT
	longest time.Duration // MRT; 0: no limit
	times   int           // MRC; 0: no limit
	within  time.Duration // MRD; 0: no limit
}

func paceOf(p Phase) pace {
	return map[Phase]pace{
		Soliciting: {kind: solicit, first: time.Second, longest: time.Hour},
		Requesting: {kind: request, first: time.Second, longest: 30 * time.Second, times: 10},
		Verifying:  {kind: rebind, first: time.Second, longest: 4 * time.Second, within: 10 * time.Second},
		Renewing:   {kind: renew, first: 10 * time.Second, longest: 10 * time.Minute},
		Rebinding:  {kind: rebind, first: 10 * time.Second, longest: 10 * time.Minute},
	}[p]
}

// maxDelay is how long a first Solicit is put off at most (SOL_MAX_DELAY).
const maxDelay = time.Second

// Machine is one link's client. It is used by one goroutine.
type Machine struct {
	cfg   Config
	phase Phase
	lease Lease    // what is delegated
	known []Prefix // what was, last

	xid      [3]byte
	begun    time.Time     // of this exchange
	timeout  time.Duration // RT
	next     time.Time     // of the next transmission, or of the next phase
	sent     int
	solMaxRT time.Duration // 0: the default

	pause time.Duration // the last rest

	offer   Lease   // what is asked for
	best    *answer // while Advertises are collected
	problem string  // why there is no prefix, in words
}

// New returns a machine at a moment. A lease of an earlier run is in force at once.
func New(cfg Config, now time.Time) *Machine {
	m := &Machine{cfg: cfg, known: cfg.Lease.Prefixes}
	m.lease = Checked(cfg.Lease, now)
	m.Verify(now)
	return m
}

// Phase returns what the machine is at.
func (m *Machine) Phase() Phase { return m.phase }

// Lease returns what is delegated, and its prefixes that are still valid at a moment.
func (m *Machine) Lease(now time.Time) Lease { return m.lease.At(now) }

// Problem says why there is no prefix; "": nothing is known to be wrong.
func (m *Machine) Problem() string { return m.problem }

// Verify begins anew: the link came up, and may be another one now (RFC 9915 section
// 18.2.12). A prefix is kept meanwhile.
func (m *Machine) Verify(now time.Time) {
	if len(m.lease.At(now).Prefixes) > 0 && len(m.lease.Server) > 0 {
		m.offer = m.lease
		m.begin(Verifying, now)
		m.next = now
		return
	}
	m.begin(Starting, now)
	m.next = now.Add(time.Duration(m.cfg.Random() * float64(maxDelay)))
}

// begin starts a phase with an exchange of its own; its first message is due at once.
func (m *Machine) begin(p Phase, now time.Time) {
	m.phase, m.begun, m.next, m.sent, m.timeout, m.best = p, now, now, 0, 0, nil
	for i := range m.xid {
		m.xid[i] = byte(m.cfg.Random() * 256)
	}
}

// Next returns when Tick is to be called.
func (m *Machine) Next() time.Time { return m.next }

// Tick does what is due at a moment, and returns what is to be sent to all DHCPv6
// servers on the link; nil: nothing.
func (m *Machine) Tick(now time.Time) []byte {
	if now.Before(m.next) {
		return nil
	}
	m.expire(now)
	switch m.phase {
	case Starting:
		m.begin(Soliciting, now)
	case Bound:
		m.offer = m.lease
		m.begin(Renewing, now)
	case Soliciting:
		if m.best != nil { // the time to choose is over (section 18.2.1)
			return m.choose(m.best, now)
		}
	case Requesting, Verifying, Renewing, Rebinding:
	}
	if m.phase == Renewing && !now.Before(m.lease.Rebind) {
		m.begin(Rebinding, now)
	}
	pace := paceOf(m.phase)
	if over := pace.within > 0 && now.Sub(m.begun) >= pace.within; over || pace.times > 0 && m.sent == pace.times {
		return m.giveUp(now)
	}
	return m.transmit(now)
}

// expire drops what ran out; without a prefix a machine looks for one anew.
func (m *Machine) expire(now time.Time) {
	left := m.lease.At(now)
	if len(left.Prefixes) == len(m.lease.Prefixes) {
		return
	}
	m.lease = left
	if len(left.Prefixes) == 0 && m.phase != Starting && m.phase != Soliciting && m.phase != Requesting {
		m.problem = "the prefix ran out: nobody prolongs it"
		m.begin(Soliciting, now)
	}
}

// giveUp ends an exchange that nobody answers.
func (m *Machine) giveUp(now time.Time) []byte {
	if m.phase == Verifying { // the prefix may be used for as long as it is valid
		m.bind(now)
		return nil
	}
	m.problem = "the router that offered a prefix does not answer"
	m.rest(now)
	return nil
}

// transmit returns the message of the phase and says when it is sent again (section 15).
func (m *Machine) transmit(now time.Time) []byte {
	pace := paceOf(m.phase)
	longest := pace.longest
	if m.phase == Soliciting && m.solMaxRT > 0 {
		longest = m.solMaxRT
	}
	jitter := m.cfg.Random()/5 - 0.1
	if m.sent == 0 {
		if m.phase == Soliciting { // more than IRT (section 18.2.1)
			jitter = m.cfg.Random()/10 + 0.001
		}
		m.timeout = scale(pace.first, 1+jitter)
	} else {
		m.timeout = scale(m.timeout, 2+jitter)
	}
	if longest > 0 && m.timeout > longest {
		m.timeout = scale(longest, 1+jitter)
	}
	m.sent++
	m.next = now.Add(m.timeout)
	m.bound(pace)
	return m.compose(pace.kind, now)
}

func scale(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }

// bound has the next step no later than what else is to happen.
func (m *Machine) bound(pace pace) {
	earliest := func(t time.Time) {
		if !t.IsZero() && t.Before(m.next) && t.After(m.begun) {
			m.next = t
		}
	}
	if pace.within > 0 {
		earliest(m.begun.Add(pace.within))
	}
	if m.phase == Renewing {
		earliest(m.lease.Rebind)
	}
	earliest(m.lease.Until())
}

// bind rests until the lease is to be renewed.
func (m *Machine) bind(now time.Time) {
	m.begin(Bound, now)
	m.problem, m.pause = "", 0
	m.next = m.lease.Renew
	if until := m.lease.Until(); m.next.IsZero() || until.Before(m.next) {
		m.next = until
	}
}

// Receive takes a datagram that came from a link-local address, and returns what is to
// be sent. An error says what is wrong with an answer that was for us.
func (m *Machine) Receive(data []byte, now time.Time) ([]byte, error) {
	a, err := m.read(data, now)
	if err != nil {
		if errors.Is(err, errForeign) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading a DHCPv6 answer: %w", err)
	}
	switch {
	case m.phase == Soliciting && a.kind == advertise:
		return m.advertised(a, now), nil
	case a.kind != reply:
		return nil, nil
	case m.phase == Requesting || m.phase == Renewing:
		if !bytes.Equal(a.server, m.offer.Server) {
			return nil, nil
		}
	case m.phase != Rebinding && m.phase != Verifying:
		return nil, nil
	}
	return m.replied(a, now), nil
}

// advertised takes an offer. The best that comes within the first timeout is taken, the
// first after that, and one of the highest preference at once (section 18.2.9).
func (m *Machine) advertised(a *answer, now time.Time) []byte {
	if a.solMaxRT > 0 {
		m.solMaxRT = a.solMaxRT
	}
	if len(a.lease.Prefixes) == 0 {
		m.problem = "a router answers, but delegates no prefix"
		if a.text != "" {
			m.problem += ": " + a.text
		}
		return nil
	}
	if m.best == nil || m.better(a) {
		m.best = a
	}
	if m.sent > 1 || a.preference == 255 {
		return m.choose(m.best, now)
	}
	return nil
}

// better reports whether an offer is better than the one at hand: by preference, then
// the prefix that there was before, then more room.
func (m *Machine) better(a *answer) bool {
	if a.preference != m.best.preference {
		return a.preference > m.best.preference
	}
	same := func(o *answer) bool {
		return slices.ContainsFunc(o.lease.Prefixes, func(p Prefix) bool {
			return slices.ContainsFunc(m.known, func(k Prefix) bool { return k.Prefix == p.Prefix })
		})
	}
	if same(a) != same(m.best) {
		return same(a)
	}
	return a.lease.Prefixes[0].Prefix.Bits() < m.best.lease.Prefixes[0].Prefix.Bits()
}

func (m *Machine) choose(a *answer, now time.Time) []byte {
	m.offer = a.lease
	m.begin(Requesting, now)
	return m.transmit(now)
}

// replied takes a Reply (section 18.2.10).
func (m *Machine) replied(a *answer, now time.Time) []byte {
	if a.solMaxRT > 0 {
		m.solMaxRT = a.solMaxRT
	}
	if a.text != "" {
		m.problem = "the router refuses: " + a.text
	}
	switch {
	case a.status == noBinding && m.phase != Requesting:
		m.offer = Lease{Server: a.server, Prefixes: m.offer.Prefixes}
		m.begin(Requesting, now)
		return m.transmit(now)
	case m.phase != Requesting && (a.status != success || len(a.named) == 0):
		return nil // it is asked again (section 18.2.10.1)
	case m.phase == Requesting && a.status != success && a.status != noPrefixAvail && a.status != notOnLink:
		return nil
	}
	if a.status == success {
		m.lease = m.merged(a, now)
	}
	if len(m.lease.Prefixes) == 0 {
		if a.status == success {
			m.problem = "the router withdrew the prefix"
		}
		m.rest(now)
		return nil
	}
	m.known = m.lease.Prefixes
	m.bind(now)
	return nil
}

// merged returns the lease as a Reply has it. What it does not mention stays as it was.
func (m *Machine) merged(a *answer, now time.Time) Lease {
	l := a.lease
	if m.phase != Requesting {
		for _, p := range m.lease.At(now).Prefixes {
			if !slices.Contains(a.named, p.Prefix) {
				l.Prefixes = append(l.Prefixes, p)
			}
		}
	}
	return Checked(l, now)
}

// rest waits before it begins anew, longer each time: a router that offers what it then
// does not give must not have us ask without an end (section 14.1).
func (m *Machine) rest(now time.Time) {
	m.begin(Starting, now)
	m.pause = min(max(2*m.pause, firstRest), longestRest)
	m.next = now.Add(scale(m.pause, 0.9+m.cfg.Random()/5))
}

// Pauses after an exchange that came to nothing.
const (
	firstRest   = time.Second
	longestRest = 10 * time.Minute
)
