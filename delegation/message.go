package delegation

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// maxMessage bounds a datagram in bytes; servers send less than a frame.
const maxMessage = 9000

// header are a message's type and its transaction.
const header = 4

// answer is what is of interest of a server's message.
type answer struct {
	kind       kind
	server     []byte
	preference uint8
	status     status
	text       string         // the status in the server's words
	named      []netip.Prefix // what it says something about
	lease      Lease
	solMaxRT   time.Duration // 0: not said
}

// errForeign says that a message is none for us: there is nothing to report.
var errForeign = errors.New("no answer to us")

// iaHeader are the identifier, T1 and T2 of an IA_PD (RFC 9915 section 21.21).
const iaHeader = 12

// hinted appends an IA Prefix option without lifetimes: what is wished for (section 18.2.1).
func hinted(msg []byte, p netip.Prefix) []byte {
	value := make([]byte, prefixHeader)
	value[8] = byte(p.Bits())
	a := p.Addr().As16()
	copy(value[9:], a[:])
	return option(msg, optIAPrefix, value)
}

// prefixHeader are two lifetimes, a length and an address (RFC 9915 section 21.22).
const prefixHeader = 25

// wished returns the prefixes that a message asks for.
func (m *Machine) wished(k kind) []netip.Prefix {
	var list []netip.Prefix
	switch {
	case k != solicit:
		for _, p := range m.offer.Prefixes {
			list = append(list, p.Prefix)
		}
	case len(m.known) > 0:
		list = append(list, m.known[0].Prefix)
	case m.cfg.Hint > 0:
		list = append(list, netip.PrefixFrom(netip.IPv6Unspecified(), m.cfg.Hint))
	}
	return list
}

// compose returns a message of ours.
func (m *Machine) compose(k kind, now time.Time) []byte {
	msg := append([]byte{byte(k)}, m.xid[:]...)
	msg = option(msg, optClientID, m.cfg.DUID)
	if k == request || k == renew {
		msg = option(msg, optServerID, m.offer.Server)
	}
	elapsed := min(max(now.Sub(m.begun)/(10*time.Millisecond), 0), 0xffff) // hundredths of a second
	msg = option(msg, optElapsed, binary.BigEndian.AppendUint16(nil, uint16(elapsed)))
	var wanted []byte
	for _, c := range []code{optPDExclude, optSolMaxRT} {
		wanted = binary.BigEndian.AppendUint16(wanted, uint16(c))
	}
	msg = option(msg, optORO, wanted)
	ia := make([]byte, iaHeader)
	binary.BigEndian.PutUint32(ia, m.cfg.IAID)
	for _, p := range m.wished(k) {
		ia = hinted(ia, p)
	}
	return option(msg, optIAPD, ia)
}

// read reads a server's message. Options that are of no interest are not looked into:
// a router that gets one of them wrong still delegates.
func (m *Machine) read(data []byte, now time.Time) (*answer, error) {
	if len(data) < header || len(data) > maxMessage {
		return nil, errForeign
	}
	a := &answer{kind: kind(data[0])}
	if !bytes.Equal(data[1:header], m.xid[:]) || a.kind != advertise && a.kind != reply {
		return nil, errForeign
	}
	var client []byte
	seen := false // the IA_PD
	err := options(data[header:], func(c code, value []byte) error {
		switch c {
		case optClientID:
			client = value
		case optServerID:
			a.server = bytes.Clone(value)
		case optPreference:
			if len(value) == 1 {
				a.preference = value[0]
			}
		case optStatus:
			a.state(value)
		case optSolMaxRT:
			a.solMaxRT = solMaxRT(value)
		case optIAPD:
			if len(value) >= iaHeader && binary.BigEndian.Uint32(value) == m.cfg.IAID && !seen {
				seen = true
				return a.readIA(value, now)
			}
		default: // of no interest
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case !bytes.Equal(client, m.cfg.DUID):
		return nil, errForeign
	case len(a.server) < 3 || len(a.server) > maxDUID:
		return nil, fmt.Errorf("the answer names its server by %d bytes", len(a.server))
	}
	a.lease.Server = a.server
	return a, nil
}

// maxStatus bounds a status text in bytes, and with it what ends in logs.
const maxStatus = 200

func (a *answer) state(value []byte) {
	if len(value) < 2 || a.status != 0 {
		return
	}
	a.status = status(binary.BigEndian.Uint16(value))
	if a.status != 0 {
		a.text = string(value[2:min(len(value), 2+maxStatus)])
	}
}

// solMaxRT reads the option of that name; out of bounds it counts as not sent (RFC 9915
// section 21.24).
func solMaxRT(value []byte) time.Duration {
	if len(value) != 4 {
		return 0
	}
	if s := binary.BigEndian.Uint32(value); s >= 60 && s <= 86400 {
		return time.Duration(s) * time.Second
	}
	return 0
}

// readIA reads our IA_PD.
func (a *answer) readIA(value []byte, now time.Time) error {
	t1, t2 := lifetime(value[4:]), lifetime(value[8:])
	if t1 > t2 && t2 > 0 {
		return errForeign // RFC 9915 section 21.21: it is to be ignored
	}
	err := options(value[iaHeader:], func(c code, value []byte) error {
		switch c {
		case optStatus:
			a.state(value)
		case optIAPrefix:
			if len(a.named) < maxPrefixes {
				a.prefix(value, now)
			}
		default:
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.lease.schedule(t1, t2, now)
	return nil
}

// schedule says when a lease is to be renewed. The router leaves it to us by zeros: then
// it is 0.5 and 0.8 of the shortest preferred lifetime (RFC 9915 section 21.21).
func (l *Lease) schedule(t1, t2 time.Duration, now time.Time) {
	if len(l.Prefixes) == 0 {
		return
	}
	shortest := maxValid
	for _, p := range l.Prefixes {
		shortest = min(shortest, p.Preferred.Sub(now))
	}
	if t1 == 0 {
		t1 = shortest / 2
	}
	if t2 == 0 {
		t2 = max(shortest*4/5, t1)
	}
	t1 = max(t1, minT1)
	l.Renew, l.Rebind = now.Add(t1), now.Add(max(t1, t2))
}

// lifetime reads seconds. The largest number is infinity (RFC 9915 section 7.7).
func lifetime(b []byte) time.Duration {
	return min(time.Duration(binary.BigEndian.Uint32(b))*time.Second, maxValid)
}

// prefix reads an IA Prefix option. One that is not, or no longer, to be used is named
// and left out: its lifetime is too short to give it to anybody.
func (a *answer) prefix(value []byte, now time.Time) {
	if len(value) < prefixHeader || value[8] > 128 {
		return
	}
	preferred, valid := lifetime(value), lifetime(value[4:])
	p := Prefix{
		Prefix:    netip.PrefixFrom(netip.AddrFrom16([16]byte(value[9:25])), int(value[8])).Masked(),
		Preferred: now.Add(preferred),
		Valid:     now.Add(valid),
	}
	if preferred > valid || !p.usable() {
		return
	}
	err := options(value[prefixHeader:], func(c code, value []byte) error {
		switch c {
		case optStatus:
			if len(value) >= 2 && binary.BigEndian.Uint16(value) != uint16(success) {
				return errForeign
			}
		case optPDExclude:
			p.Exclude = excluded(p.Prefix, value)
		default:
		}
		return nil
	})
	if err != nil {
		return
	}
	a.named = append(a.named, p.Prefix)
	if valid >= minValid {
		a.lease.Prefixes = append(a.lease.Prefixes, p)
	}
}

// excluded reads OPTION_PD_EXCLUDE (RFC 6603 section 4.2): a length, and the bits
// between the delegated prefix's length and it, from the left of the first byte on.
func excluded(whole netip.Prefix, value []byte) netip.Prefix {
	if len(value) < 2 || int(value[0]) <= whole.Bits() || value[0] > 128 {
		return netip.Prefix{}
	}
	bits := int(value[0]) - whole.Bits()
	if len(value)-1 != (bits+7)/8 {
		return netip.Prefix{}
	}
	a := whole.Addr().As16()
	for i := range bits {
		if value[1+i/8]&(0x80>>(i%8)) != 0 {
			at := whole.Bits() + i
			a[at/8] |= 0x80 >> (at % 8)
		}
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), int(value[0]))
}
