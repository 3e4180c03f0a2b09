package netlink

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall/coexist"
)

// extension reads a match or a target of x_tables, as iptables-nft has them for
// what nf_tables lacks.
func (d *ruleDecoder) extension(kind string, ad *netlink.AttributeDecoder) {
	var name string
	var revision uint32
	var info []byte
	each(ad, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() { // NFTA_MATCH_* and NFTA_TARGET_* have the same numbers
		case unix.NFTA_MATCH_NAME:
			name = ad.String()
		case unix.NFTA_MATCH_REV:
			revision = ad.Uint32()
		case unix.NFTA_MATCH_INFO:
			info = ad.Bytes()
		}
	})
	if kind == "target" {
		d.rule.Marks = d.rule.Marks || coexist.SetsMark(name)
		if d.rule.Verdict = coexist.TargetVerdict(name); d.rule.Verdict.Kind == coexist.Jump {
			d.rule.Verdict = coexist.Verdict{Kind: coexist.Other} // a target that is not known
		}
		if name == "NFQUEUE" && len(info) >= 4 && revision > 0 { // struct xt_NFQ_info_v3, whose bypass is a flag or a number
			d.queued(binary.NativeEndian.Uint16(info), binary.NativeEndian.Uint16(info[2:]), revision > 1 && len(info) >= 6 && info[4]&1 != 0)
		}
		return
	}
	var ok bool
	switch name {
	case "comment":
		text, _, _ := bytes.Cut(info, []byte{0})
		d.rule.Comment, ok = string(text), true
	case "tcp", "udp":
		ok = d.xtPorts(name, info)
	case "icmp", "icmp6":
		ok = d.xtICMP(info)
	case "addrtype":
		ok = revision == 1 && d.xtAddrtype(info)
	case "multiport":
		ok = revision == 1 && d.xtMultiport(info)
	case "state":
		if ok = len(info) >= 4; ok {
			d.xtState(uint64(binary.NativeEndian.Uint32(info)), false)
		}
	case "rpfilter":
		ok = d.xtReverse(info)
	case "iprange":
		ok = d.xtRange(info)
	case "mark": // struct xt_mark_mtinfo1
		if ok = revision == 1 && len(info) >= 9; ok {
			n := uint64(binary.NativeEndian.Uint32(info))
			d.add(coexist.Match{Field: coexist.PacketMark, Not: info[8] != 0, Values: []coexist.Value{{Low: n, High: n}}})
		}
	case "conntrack":
		ok = revision >= 2 && d.xtConntrack(info)
	}
	if !ok {
		d.unknown(name)
	}
}

// xtPorts reads struct xt_tcp or struct xt_udp.
func (d *ruleDecoder) xtPorts(name string, info []byte) bool {
	inverse := 8 // where the flags of inversion are
	if name == "tcp" {
		inverse = 11
	}
	if len(info) <= inverse {
		return false
	}
	for i, f := range []coexist.Field{coexist.FromPort, coexist.DestPort} {
		v := coexist.Value{Low: uint64(binary.NativeEndian.Uint16(info[4*i:])), High: uint64(binary.NativeEndian.Uint16(info[4*i+2:]))}
		not := info[inverse]&(1<<i) != 0
		if not || v.Low != 0 || v.High != math.MaxUint16 {
			d.add(coexist.Match{Field: f, Not: not, Values: []coexist.Value{v}})
		}
	}
	// An option, or flags such as SYN, which first packets may have.
	return name == "udp" || info[8] == 0 && info[9] == 0
}

// xtICMP reads struct ipt_icmp or struct ip6t_icmp.
func (d *ruleDecoder) xtICMP(info []byte) bool {
	const anyType = 0xff
	if len(info) < 4 || info[1] != 0 || info[2] != 0xff {
		return false // a code
	}
	if info[0] != anyType {
		v := coexist.Value{Low: uint64(info[0]), High: uint64(info[0])}
		d.add(coexist.Match{Field: coexist.ICMPType, Not: info[3]&1 != 0, Values: []coexist.Value{v}})
	}
	return true
}

// xtAddrtype reads struct xt_addrtype_info_v1, if it asks for the destination
// alone.
func (d *ruleDecoder) xtAddrtype(info []byte) bool {
	const invertDest, limited = 2, 4 | 8
	if len(info) < 8 || binary.NativeEndian.Uint16(info) != 0 {
		return false
	}
	mask, flags := binary.NativeEndian.Uint16(info[2:]), binary.NativeEndian.Uint32(info[4:])
	if flags&limited != 0 {
		return false
	}
	m := coexist.Match{Field: coexist.DestCast, Not: flags&invertDest != 0}
	for bit := range uint64(16) {
		if mask&(1<<bit) != 0 {
			m.Values = append(m.Values, coexist.Value{Low: bit, High: bit})
		}
	}
	d.add(m)
	return true
}

// xtRange reads struct xt_iprange_mtinfo: two ranges of addresses, and which are asked for.
func (d *ruleDecoder) xtRange(info []byte) bool {
	const size, flagsAt = 16, 64
	if len(info) <= flagsAt {
		return false
	}
	n := 4
	if d.family == unix.NFPROTO_IPV6 {
		n = 16
	}
	for i, f := range []coexist.Field{coexist.Source, coexist.Dest} {
		asked, not := byte(1)<<i, byte(16)<<i // IPRANGE_SRC, IPRANGE_SRC_INV
		if info[flagsAt]&asked == 0 {
			continue
		}
		m := coexist.Match{Field: f, Not: info[flagsAt]&not != 0}
		from, _ := netip.AddrFromSlice(info[2*i*size : 2*i*size+n])
		last, _ := netip.AddrFromSlice(info[(2*i+1)*size : (2*i+1)*size+n])
		for _, p := range covering(from, last) {
			m.Values = append(m.Values, coexist.Value{Prefix: p})
		}
		d.add(m)
	}
	return true
}

// xtReverse reads struct xt_rpfilter_info. It matches packets with a way back, inverted
// those without.
func (d *ruleDecoder) xtReverse(info []byte) bool {
	const loose, invert = 1, 8
	if len(info) < 1 {
		return false
	}
	m := coexist.Match{Field: coexist.BackIn, Values: []coexist.Value{{Low: coexist.Exists, High: coexist.Exists}}}
	if info[0]&loose != 0 {
		m.Field = coexist.BackAny
	}
	if info[0]&invert != 0 {
		m.Values[0] = coexist.Value{Low: coexist.Missing, High: coexist.Missing}
	}
	d.add(m)
	return true
}

// xtMultiport reads struct xt_multiport_v1.
func (d *ruleDecoder) xtMultiport(info []byte) bool {
	const maxPorts, flagsAt, invertAt = 15, 32, 47
	if len(info) <= invertAt || info[1] > maxPorts {
		return false
	}
	m := coexist.Match{Not: info[invertAt] != 0}
	switch info[0] {
	case 0:
		m.Field = coexist.FromPort
	case 1:
		m.Field = coexist.DestPort
	default:
		return false
	}
	open := false
	for i := range int(info[1]) {
		port := uint64(binary.NativeEndian.Uint16(info[2+2*i:]))
		if open {
			m.Values[len(m.Values)-1].High = port
			open = false
			continue
		}
		m.Values = append(m.Values, coexist.Value{Low: port, High: port})
		open = info[flagsAt+i] != 0
	}
	d.add(m)
	return true
}

// xtConntrack reads struct xt_conntrack_mtinfo2 or 3, if it asks for the state
// alone.
func (d *ruleDecoder) xtConntrack(info []byte) bool {
	const flagsAt, stateFlag, alias = 146, 1, 1 << 13 // alias: it is called "state"
	if len(info) < flagsAt+6 || binary.NativeEndian.Uint16(info[flagsAt:])&^alias != stateFlag {
		return false
	}
	not := binary.NativeEndian.Uint16(info[flagsAt+2:])&stateFlag != 0
	d.xtState(uint64(binary.NativeEndian.Uint16(info[flagsAt+4:])), not)
	return true
}

// xtState reads x_tables' bits of states, which differ from nf_tables' where
// there is no such state as new.
func (d *ruleDecoder) xtState(mask uint64, not bool) {
	low := mask & (coexist.StateInvalid | coexist.StateEstablished | coexist.StateRelated | coexist.StateNew)
	if mask&xtUntracked != 0 {
		low |= coexist.StateUntracked
	}
	if mask&xtTranslated != 0 {
		low |= coexist.StateTranslated
	}
	d.add(coexist.Match{Field: coexist.State, Not: not, Values: []coexist.Value{{Low: low, High: low}}})
}
