package netlink

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/google/nftables/expr"

	"github.com/virbr/virbr/firewall/coexist"
)

func (d *ruleDecoder) cmp(e *expr.Cmp) {
	l := d.loaded[e.Register]
	if (l.field == coexist.State || l.text == ctStatus) && l.mask != nil {
		d.stateBits(l, e.Op, e.Data)
		return
	}
	v, ok := l.value(e.Data)
	not := e.Op == expr.CmpOpNeq
	if ok && e.Op != expr.CmpOpEq && !not {
		v, ok = ordered(l, v, e.Op)
	}
	if !ok {
		d.unknown(l.text)
		return
	}
	d.add(coexist.Match{Field: l.field, Not: not, Values: []coexist.Value{v}})
}

// stateBits has "one of these states", which the kernel asks as "the bits of
// these are not zero".
func (d *ruleDecoder) stateBits(l loaded, op expr.CmpOp, data []byte) {
	if len(l.mask) != 4 || len(bytes.Trim(data, "\x00")) > 0 || op > expr.CmpOpNeq {
		d.unknown("ct state")
		return
	}
	mask := uint64(binary.NativeEndian.Uint32(l.mask))
	if l.text == ctStatus {
		if mask != destTranslated {
			d.unknown(ctStatus)
			return
		}
		mask = coexist.StateTranslated
	}
	d.add(coexist.Match{Field: coexist.State, Not: op == expr.CmpOpEq, Values: []coexist.Value{{Low: mask, High: mask}}})
}

// ordered turns a comparison into a range.
func ordered(l loaded, v coexist.Value, op expr.CmpOp) (coexist.Value, bool) {
	if l.field != coexist.DestPort && l.field != coexist.FromPort {
		return v, false
	}
	switch op {
	case expr.CmpOpLt:
		if v.Low == 0 {
			return v, false
		}
		return coexist.Value{High: v.Low - 1}, true
	case expr.CmpOpLte:
		return coexist.Value{High: v.Low}, true
	case expr.CmpOpGt:
		return coexist.Value{Low: v.Low + 1, High: math.MaxUint16}, true
	case expr.CmpOpGte:
		return coexist.Value{Low: v.Low, High: math.MaxUint16}, true
	case expr.CmpOpEq, expr.CmpOpNeq:
	}
	return v, false
}

// value reads what a register is compared with.
func (l loaded) value(data []byte) (coexist.Value, bool) {
	number := func(n uint64) (coexist.Value, bool) { return coexist.Value{Low: n, High: n}, l.mask == nil }
	switch l.field {
	case coexist.InName, coexist.OutName:
		if l.mask != nil || len(data) == 0 || len(data) > unix.IFNAMSIZ {
			return coexist.Value{}, false
		}
		if l.links != nil { // it is asked for by its index
			name := ""
			if len(data) == 4 {
				name = l.links[int(binary.NativeEndian.Uint32(data))]
			}
			return coexist.Value{Name: name}, name != ""
		}
		name, _, exact := bytes.Cut(data, []byte{0})
		return coexist.Value{Name: string(name), Wild: !exact && len(data) < unix.IFNAMSIZ}, true
	case coexist.NFProto, coexist.L4Proto, coexist.ICMPType:
		if l.text == etherType {
			return l.family(data)
		}
		if len(data) == 1 {
			return number(uint64(data[0]))
		}
	case coexist.DestPort, coexist.FromPort:
		if len(data) == 2 {
			return number(uint64(binary.BigEndian.Uint16(data)))
		}
	case coexist.State, coexist.DestCast:
		if len(data) == 4 {
			return number(uint64(binary.NativeEndian.Uint32(data)))
		}
	case coexist.PacketMark: // with a mask, too: it is held against 0 only
		if len(data) == 4 {
			n := uint64(binary.NativeEndian.Uint32(data))
			return coexist.Value{Low: n, High: n}, true
		}
	case coexist.Source, coexist.Dest:
		return l.prefix(data)
	case coexist.BackAny, coexist.BackIn: // the number of an interface, or whether there is one
		if len(bytes.Trim(data, "\x00")) == 0 {
			return number(coexist.Missing)
		}
		if l.text == fibPresent {
			return number(coexist.Exists)
		}
	case coexist.Unknown:
	}
	return coexist.Value{}, false
}

// family has the type of a frame as the address family of the packet in it; 0 where it
// is none of these.
func (l loaded) family(data []byte) (coexist.Value, bool) {
	if len(data) != 2 || l.mask != nil {
		return coexist.Value{}, false
	}
	var v coexist.Value
	switch binary.BigEndian.Uint16(data) {
	case unix.ETH_P_IP:
		v.Low = unix.NFPROTO_IPV4
	case unix.ETH_P_IPV6:
		v.Low = unix.NFPROTO_IPV6
	}
	v.High = v.Low
	return v, true
}

// prefix reads an address, of which the first bytes or bits may be all that is
// asked for.
func (l loaded) prefix(data []byte) (coexist.Value, bool) {
	ones := 8 * len(data)
	if l.mask != nil {
		if ones = prefixLength(l.mask); ones < 0 || len(l.mask) != len(data) {
			return coexist.Value{}, false
		}
	}
	whole := make([]byte, 4)
	if l.ipv6 {
		whole = make([]byte, 16)
	}
	if len(data) > len(whole) {
		return coexist.Value{}, false
	}
	copy(whole, data)
	a, _ := netip.AddrFromSlice(whole)
	return coexist.Value{Prefix: netip.PrefixFrom(a, ones)}, true
}

// prefixLength returns how many bits a mask begins with; -1: it is no prefix.
func prefixLength(mask []byte) int {
	n := 0
	for _, b := range mask {
		n += bits.LeadingZeros8(^b)
	}
	for i, b := range mask {
		want := byte(0)
		if rest := n - 8*i; rest >= 8 {
			want = 0xff
		} else if rest > 0 {
			want = ^byte(0) << (8 - rest)
		}
		if b != want {
			return -1
		}
	}
	return n
}

func (d *ruleDecoder) between(e *expr.Range) {
	l := d.loaded[e.Register]
	low, ok1 := l.value(e.FromData)
	high, ok2 := l.value(e.ToData)
	if !ok1 || !ok2 || low.Name != "" || low.Prefix.IsValid() || l.field == coexist.State {
		d.unknown(cmp.Or(l.text, string(l.field)+" range"))
		return
	}
	d.add(coexist.Match{Field: l.field, Not: e.Op == expr.CmpOpNeq, Values: []coexist.Value{{Low: low.Low, High: high.Low}}})
}

func (d *ruleDecoder) lookup(e *expr.Lookup) {
	l, mapped := d.loaded[e.SourceRegister], e.IsDestRegSet
	entries, ok, err := d.sets.read(e.SetName, l)
	if err != nil && d.err == nil {
		d.err = err
	}
	switch {
	case mapped && ok:
		d.rule.Key, d.rule.Map = l.field, entries
	case mapped && l.field != coexist.Unknown:
		d.add(coexist.Match{Field: l.field}) // some verdict, or none
	case mapped || l.field == coexist.Unknown:
		d.unknown(cmp.Or(l.text, "set"))
	default:
		m := coexist.Match{Field: l.field, Not: e.Invert}
		for _, e := range entries {
			m.Values = append(m.Values, e.Value)
		}
		if ok && len(entries) == 0 { // an empty set holds nothing
			m = coexist.Match{Field: coexist.InName, Not: !m.Not, Values: []coexist.Value{{Wild: true}}}
		}
		d.add(m)
	}
}
