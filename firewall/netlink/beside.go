package netlink

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
)

// besideAccept is an accepting rule in a chain of libvirt's, in the words of
// nftables or of iptables-nft.
func besideAccept(b *batch, in coexist.Insertion, iptables bool) rule {
	size := unix.IFNAMSIZ
	if iptables {
		size = 0
	}
	exprs := nameIs(expr.MetaKeyIIFNAME, in.Accept.In, size)
	exprs = append(exprs, nameIs(expr.MetaKeyOIFNAME, in.Accept.Out, size)...)
	exprs = append(exprs, addressIs(in.Address, in.Accept.Out != "")...)
	if !iptables {
		exprs = append(exprs, nativeKind(in.Kind)...)
		exprs = append(exprs, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})
		return rule{exprs: b.marshal(exprs...), userdata: userdata.AppendString(nil, userdata.TypeComment, in.Comment)}
	}
	if in.Kind == coexist.Translated || in.Kind == coexist.Replies {
		info := markInfo()
		exprs = append(exprs, &expr.Match{Name: "mark", Rev: 1, Info: &info})
	}
	if in.Kind == coexist.Replies || in.Kind == coexist.Stray {
		info := conntrackInfo(in.Kind)
		exprs = append(exprs, &expr.Match{Name: "conntrack", Rev: 3, Info: &info})
	}
	comment := make(xt.Unknown, 256) // struct xt_comment_info
	copy(comment[:255], in.Comment)
	exprs = append(exprs, &expr.Match{Name: "comment", Info: &comment}, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})
	return rule{exprs: b.marshal(exprs...)}
}

// addressIs compares the source or the destination.
func addressIs(p netip.Prefix, dest bool) []expr.Any {
	if !p.IsValid() {
		return nil
	}
	data := p.Masked().Addr().AsSlice()
	offset := uint32(12) // of the source in an IPv4 header, RFC 791
	if len(data) == 16 {
		offset = 8 // in an IPv6 header, RFC 8200
	}
	if dest {
		offset += uint32(len(data))
	}
	exprs := []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(data))}}
	if p.Bits() < 8*len(data) {
		mask := make([]byte, len(data))
		for i := range p.Bits() {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		exprs = append(exprs, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(len(data)), Mask: mask, Xor: make([]byte, len(data))})
	}
	return append(exprs, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data})
}

// Bits of the kernel's words about a connection.
const (
	destTranslated = 1 << 5 // IPS_DST_NAT
	xtState        = 1      // XT_CONNTRACK_STATE
	xtDirection    = 1 << 12
	xtInvalid      = 1
	xtTranslated   = 1 << 7 // XT_CONNTRACK_STATE_DNAT
	xtUntracked    = 1 << 8
)

// hasBits asks for one of some bits of what is loaded.
func hasBits(load expr.Any, mask uint32) []expr.Any {
	return []expr.Any{
		load,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binary.NativeEndian.AppendUint32(nil, mask), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// nativeKind asks for a kind in the words of nftables.
func nativeKind(kind coexist.Kind) []expr.Any {
	vouched := hasBits(&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, firewall.VouchMark)
	switch kind {
	case coexist.Translated:
		return vouched
	case coexist.Replies:
		return append(vouched, &expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{1}})
	case coexist.Stray:
		return hasBits(&expr.Ct{Key: expr.CtKeySTATE, Register: 1}, coexist.StateInvalid|coexist.StateUntracked)
	case coexist.Any:
	}
	return nil
}

// markInfo is struct xt_mark_mtinfo1 for the mark of what our rules vouch for: -m mark
// --mark.
func markInfo() xt.Unknown {
	info := binary.NativeEndian.AppendUint32(nil, firewall.VouchMark)
	return append(binary.NativeEndian.AppendUint32(info, firewall.VouchMark), 0, 0, 0, 0) // not inverted
}

// conntrackStates is struct xt_conntrack_mtinfo3 for some states: -m conntrack
// --ctstate. No states: it asks for nothing.
func conntrackStates(mask uint16) xt.Unknown {
	const size, flags, states = 164, 146, 150
	info := make(xt.Unknown, size)
	if mask != 0 {
		binary.NativeEndian.PutUint16(info[flags:], xtState)
		binary.NativeEndian.PutUint16(info[states:], mask)
	}
	return info
}

// conntrackInfo is the same for a kind, with --ctdir.
func conntrackInfo(kind coexist.Kind) xt.Unknown {
	const flags, inverted = 146, 148
	switch kind {
	case coexist.Stray:
		return conntrackStates(xtInvalid | xtUntracked)
	case coexist.Replies:
		info := conntrackStates(0)
		binary.NativeEndian.PutUint16(info[flags:], xtDirection)
		binary.NativeEndian.PutUint16(info[inverted:], xtDirection) // not the original one
		return info
	case coexist.Any, coexist.Translated:
	}
	return conntrackStates(0)
}
