package delegation

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Limits of what an upstream router may have us believe.
const (
	maxPrefixes = 8   // of one lease
	minBits     = 16  // a shorter prefix is nobody's to give away
	maxBits     = 64  // guests cannot use a longer one (RFC 7421)
	maxDUID     = 130 // bytes, with the type (RFC 9915 section 11.1)

	// minValid is the least time that a prefix can be advertised for: dnsmasq takes no
	// shorter lease.
	minValid = 2 * time.Minute
	// maxValid stands for "infinity", and for what is as good as that.
	maxValid = 10 * 365 * 24 * time.Hour
	// minT1 is the least time between two renewals.
	minT1 = 10 * time.Second
)

// Prefix is one delegated prefix.
type Prefix struct {
	Prefix    netip.Prefix `json:"prefix"`
	Exclude   netip.Prefix `json:"exclude,omitzero"` // a part that stays the upstream router's (RFC 6603)
	Preferred time.Time    `json:"preferred"`        // until then it is given to new connections
	Valid     time.Time    `json:"valid"`            // until then it may be used at all
}

// usable reports whether a prefix is one that a host can give guests parts of.
func (p Prefix) usable() bool {
	a := p.Prefix.Addr()
	return p.Prefix.IsValid() && a.Is6() && !a.Is4In6() && a.IsGlobalUnicast() &&
		p.Prefix.Bits() >= minBits && p.Prefix.Bits() <= maxBits && p.Prefix == p.Prefix.Masked()
}

// Lease is what an upstream router delegates.
type Lease struct {
	Server   []byte    `json:"server,omitempty"` // the router's DUID; nil: another program holds the lease
	Renew    time.Time `json:"renew,omitzero"`   // T1
	Rebind   time.Time `json:"rebind,omitzero"`  // T2
	Prefixes []Prefix  `json:"prefixes,omitempty"`
}

// At returns the lease without what is no longer valid at a moment.
func (l Lease) At(now time.Time) Lease {
	l.Prefixes = slices.DeleteFunc(slices.Clone(l.Prefixes), func(p Prefix) bool { return !now.Before(p.Valid) })
	return l
}

// Until returns when the first of the lease's prefixes ends; zero: there is none.
func (l Lease) Until() time.Time {
	var first time.Time
	for _, p := range l.Prefixes {
		if first.IsZero() || p.Valid.Before(first) {
			first = p.Valid
		}
	}
	return first
}

// Checked returns a lease that another program holds, or that a file has, without what
// makes no sense.
func Checked(l Lease, now time.Time) Lease {
	if len(l.Server) > maxDUID {
		l.Server = nil
	}
	var list []Prefix
	for _, p := range l.Prefixes {
		if !p.usable() || p.Valid.Before(p.Preferred) || len(list) == maxPrefixes {
			continue
		}
		if e := p.Exclude; e.IsValid() && !inside(e, p.Prefix) {
			p.Exclude = netip.Prefix{}
		}
		if most := now.Add(maxValid); p.Valid.After(most) {
			p.Valid = most
		}
		if p.Preferred.After(p.Valid) {
			p.Preferred = p.Valid
		}
		list = append(list, p)
	}
	slices.SortStableFunc(list, func(a, b Prefix) int { return cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()) })
	l.Prefixes = list
	return l.At(now)
}

// inside reports whether a prefix is a part of another one.
func inside(p, whole netip.Prefix) bool {
	return p.Bits() > whole.Bits() && p.Addr().BitLen() == whole.Addr().BitLen() && whole.Contains(p.Addr())
}

// Limits of what customer edge routers advertise (RFC 9096 section 3.4), in seconds.
// dnsmasq advertises one lifetime for both, so the lower one counts.
const PreferredLimit = 2700

// Advertised returns for how many seconds a prefix is advertised, and when that is to be
// looked at again. Advertisements must not promise more than is left (RFC 7084
// requirement L-13), also not when the next renewal is late: what is promised is what is
// left by then, and the half of what is left after that. 0: it is on its way out.
func (p Prefix) Advertised(renew, now time.Time) (seconds uint64, next time.Time) {
	left := p.Preferred.Sub(now)
	if renew.After(now) && renew.Before(p.Preferred) {
		left = p.Preferred.Sub(renew)
		next = renew
	} else {
		left /= 2
		next = now.Add(left)
	}
	if left < minValid {
		if p.Preferred.Sub(now) < minValid {
			return 0, p.Valid
		}
		left = minValid
	}
	return min(uint64(left/time.Second), PreferredLimit), next
}

// Memory is what outlives a daemon.
type Memory struct {
	DUID  []byte             `json:"duid"`            // ours (RFC 9915 section 11)
	Links map[string]Holding `json:"links,omitempty"` // by the uplink's name
}

// Check refuses a file's content that nobody of us wrote.
func (m Memory) Check() error {
	if n := len(m.DUID); n != 0 && (n < 3 || n > maxDUID) {
		return fmt.Errorf("the DUID has %d bytes", n)
	}
	return nil
}

// Holding is a lease and who holds it.
type Holding struct {
	Holder  string `json:"holder,omitempty"` // the program; "": ourselves
	Lease   Lease  `json:"lease"`
	Problem string `json:"problem,omitempty"` // see Status
}

// Status is what is known of an uplink's delegation.
type Status struct {
	Link    string
	Holder  string // who asks the router: "virbrd", "systemd-networkd", ...
	Phase   string // of our own client; "": another program asks
	Lease   Lease
	Problem string // why there is no prefix, or why it is not prolonged; "": nothing is known to be wrong
}
