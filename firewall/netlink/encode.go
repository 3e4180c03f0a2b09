package netlink

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// encodeRule encodes a rule to the expressions that nft makes of the same text.
func (b *batch) encodeRule(r firewall.Rule) [][]byte {
	e := encoder{batch: b}
	for _, m := range r.Match {
		e.match(m)
	}
	if r.Counter {
		e.add(&expr.Counter{})
	}
	e.action(r.Do)
	return e.exprs
}

// encoder collects the expressions of one rule.
type encoder struct {
	batch  *batch
	exprs  [][]byte
	family byte // the family that the rule is limited to so far
}

func (e *encoder) add(x ...expr.Any) { e.exprs = append(e.exprs, e.batch.marshal(x...)...) }

func (e *encoder) fail(format string, args ...any) {
	if e.batch.err == nil {
		e.batch.err = fmt.Errorf(format, args...)
	}
}

func (e *encoder) match(m firewall.Match) {
	op := expr.CmpOpEq
	if m.Not {
		op = expr.CmpOpNeq
	}
	switch m.Field {
	case firewall.InName, firewall.OutName, firewall.DestLink, firewall.FromLink:
		e.load(m.Field)
		e.add(&expr.Cmp{Op: op, Register: 1, Data: deviceKey(m.Word)})
	case firewall.Source4, firewall.Dest4, firewall.Source6, firewall.Dest6:
		e.prefix(m.Field, op, m.Prefix)
	case firewall.FirstSource4, firewall.FirstSource6:
		e.load(m.Field)
		e.add(&expr.Cmp{Op: op, Register: 1, Data: m.Prefix.Addr().AsSlice()})
	case firewall.Protocol:
		e.load(m.Field)
		e.add(&expr.Cmp{Op: op, Register: 1, Data: []byte{protocols[m.Word]}})
	case firewall.State:
		e.bits(m.Field, states[m.Word])
	case firewall.Status:
		const translated = 1 << 5 // IPS_DST_NAT
		e.bits(m.Field, translated)
	case firewall.DestPort:
		e.add(
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: op, Register: 1, Data: binaryutil.BigEndian.PutUint16(m.Port)},
		)
	case firewall.Direction, firewall.Family:
		e.load(m.Field)
		e.add(&expr.Cmp{Op: op, Register: 1, Data: []byte{words[m.Word]}})
	case firewall.DestType:
		e.load(m.Field)
		e.add(&expr.Cmp{Op: op, Register: 1, Data: binaryutil.NativeEndian.PutUint32(uint32(words[m.Word]))})
	case firewall.ConnMark, firewall.PackMark:
		e.load(m.Field)
		if m.Mask != 0 {
			e.add(&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(m.Mask), Xor: make([]byte, 4)})
		}
		e.add(&expr.Cmp{Op: op, Register: 1, Data: binaryutil.NativeEndian.PutUint32(m.Mark)})
	case firewall.InIndex:
		e.load(m.Field)
		e.add(
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(^uint32(firewall.MaxLink)), Xor: make([]byte, 4)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)},
		)
	case firewall.Socket:
		e.load(m.Field)
		e.add(&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: []byte{1}})
	case firewall.ICMP4Type, firewall.ICMP6Type:
		e.icmp(m)
	case firewall.Key:
		e.tuple(m.Key)
		e.add(&expr.Lookup{SourceRegister: 1, SetName: m.Set, Invert: m.Not})
	default:
		e.frame(m, op)
	}
}

// states are the bits of ct state.
var states = map[string]uint32{
	firewall.Established: expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED,
	firewall.New:         expr.CtStateBitNEW,
	firewall.Untracked:   expr.CtStateBitUNTRACKED,
	firewall.Stray:       expr.CtStateBitINVALID | expr.CtStateBitUNTRACKED,
}

// words are the kernel's numbers of values that are words.
var words = map[string]byte{
	firewall.Original: 0, firewall.Reply: 1, // enum ip_conntrack_dir
	firewall.IPv4: unix.NFPROTO_IPV4, firewall.IPv6: unix.NFPROTO_IPV6,
	firewall.Local: unix.RTN_LOCAL, firewall.Unicast: unix.RTN_UNICAST,
}

// bits asks whether a field has one of some bits.
func (e *encoder) bits(f firewall.Field, bits uint32) {
	e.load(f)
	e.add(
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	)
}

// metaKeys are the fields that the kernel knows of every packet, ctKeys those of its
// connection, fibs what it asks the routes for.
var (
	metaKeys = map[firewall.Field]expr.MetaKey{
		firewall.InName: expr.MetaKeyIIFNAME, firewall.InBridge: expr.MetaKeyBRIIIFNAME, firewall.OutName: expr.MetaKeyOIFNAME,
		firewall.Protocol: expr.MetaKeyL4PROTO, firewall.Family: expr.MetaKeyNFPROTO, firewall.PackMark: expr.MetaKeyMARK, firewall.InIndex: expr.MetaKeyIIF,
	}
	ctKeys = map[firewall.Field]expr.CtKey{
		firewall.State: expr.CtKeySTATE, firewall.Status: expr.CtKeySTATUS, firewall.Direction: expr.CtKeyDIRECTION, firewall.ConnMark: expr.CtKeyMARK,
	}
	fibs = map[firewall.Field]expr.Fib{
		firewall.DestType: {Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		firewall.DestLink: {Register: 1, FlagDADDR: true, ResultOIFNAME: true},
		firewall.FromLink: {Register: 1, FlagSADDR: true, ResultOIFNAME: true},
	}
)

// load puts a field into register 1.
func (e *encoder) load(f firewall.Field) {
	if key, ok := metaKeys[f]; ok {
		e.add(&expr.Meta{Key: key, Register: 1})
		return
	}
	if key, ok := ctKeys[f]; ok {
		e.add(&expr.Ct{Key: key, Register: 1})
		return
	}
	if fib, ok := fibs[f]; ok {
		e.add(&fib)
		return
	}
	switch f {
	case firewall.FirstSource4, firewall.FirstSource6:
		e.tracked(f, unix.NFT_REG_1)
	case firewall.Socket:
		e.add(&expr.Socket{Key: expr.SocketKeyWildcard, Register: 1})
	case firewall.Source4, firewall.Dest4, firewall.Source6, firewall.Dest6:
		at := addresses[f]
		e.address(at, at.size)
	default:
		e.fail("encoding %q: unknown field", f)
	}
}

// place is where an address is in the network header, in bytes.
type place struct {
	family       byte
	offset, size uint32
}

// addresses are the places of the addresses (RFC 791, RFC 8200).
var addresses = map[firewall.Field]place{
	firewall.Source4: {unix.NFPROTO_IPV4, 12, 4},
	firewall.Dest4:   {unix.NFPROTO_IPV4, 16, 4},
	firewall.Source6: {unix.NFPROTO_IPV6, 8, 16},
	firewall.Dest6:   {unix.NFPROTO_IPV6, 24, 16},
}

// address loads the first bytes of an address, and limits the rule to its family
// first, as the table sees both.
func (e *encoder) address(at place, size uint32) { e.addressTo(unix.NFT_REG_1, at, size) }

// addressTo is address for another register.
func (e *encoder) addressTo(reg uint32, at place, size uint32) {
	e.limit(at.family)
	e.add(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: at.offset, Len: size})
}

// limit limits the rule to a family, unless it is so already.
func (e *encoder) limit(family byte) {
	if e.family != family {
		if e.batch.family == unix.NFPROTO_BRIDGE {
			e.fail("encoding a rule of family bridge: it does not say first what frames carry")
		}
		e.family = family
		e.add(
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		)
	}
}

// prefix compares an address with a subnet: whole bytes directly, else masked.
func (e *encoder) prefix(f firewall.Field, op expr.CmpOp, p netip.Prefix) {
	at := addresses[f]
	want := p.Addr().AsSlice()
	if len(want) != int(at.size) {
		e.fail("encoding %s %s: wrong family", f, p)
		return
	}
	if p.Bits()%8 == 0 {
		n := p.Bits() / 8
		e.address(at, uint32(n))
		e.add(&expr.Cmp{Op: op, Register: 1, Data: want[:n]})
		return
	}
	mask := make([]byte, at.size)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	e.address(at, at.size)
	e.add(
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: at.size, Mask: mask, Xor: make([]byte, at.size)},
		&expr.Cmp{Op: op, Register: 1, Data: want},
	)
}

func (e *encoder) action(a firewall.Action) {
	switch a.Kind {
	case firewall.Return:
		e.add(&expr.Verdict{Kind: expr.VerdictReturn})
	case firewall.Accept:
		e.add(&expr.Verdict{Kind: expr.VerdictAccept})
	case firewall.Drop:
		e.add(&expr.Verdict{Kind: expr.VerdictDrop})
	case firewall.Jump:
		e.add(&expr.Verdict{Kind: expr.VerdictJump, Chain: a.Chain})
	case firewall.FlowAdd:
		e.flowAdd(a.Map)
	case firewall.Tell:
		e.tell(a)
	case firewall.NoTrack:
		e.add(&expr.Notrack{})
	case firewall.DNAT:
		e.mapped(a, expr.NATTypeDestNAT)
	case firewall.Mark:
		e.mark(^uint32(firewall.VouchMark), firewall.VouchMark)
	case firewall.Unmark:
		e.mark(^uint32(firewall.VouchMark), 0)
	case firewall.KeepLink:
		e.load(firewall.InIndex)
		e.add(
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(firewall.MaxLink), Xor: binaryutil.NativeEndian.PutUint32(firewall.LinkMark)},
			&expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: 1},
		)
	case firewall.TellLink:
		e.load(firewall.ConnMark)
		e.add(&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1})
	case firewall.Rewrite:
		e.rewrite(a)
	case firewall.Embedded:
		e.embedded(a)
	case firewall.Reject:
		e.add(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH})
	case firewall.Lookup:
		e.load(a.Field)
		e.add(&expr.Lookup{SourceRegister: 1, SetName: a.Map, IsDestRegSet: true})
	case firewall.Masquerade:
		e.masquerade(a)
	case firewall.SNAT:
		if a.Map != "" {
			e.mapped(a, expr.NATTypeSourceNAT)
		} else {
			e.snat(a)
		}
	default:
		e.fail("encoding %q: unknown action", a.Kind)
	}
}

// mark keeps some bits of the packet's mark and flips others.
func (e *encoder) mark(keep, flip uint32) {
	e.add(
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(keep), Xor: binaryutil.NativeEndian.PutUint32(flip)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	)
}

// raw adds an expression that package expr does not encode as it should be.
func (e *encoder) raw(name string, attrs func(*netlink.AttributeEncoder)) {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	ae.String(unix.NFTA_EXPR_NAME, name)
	ae.Nested(unix.NFTA_EXPR_DATA, func(ae *netlink.AttributeEncoder) error {
		attrs(ae)
		return nil
	})
	data, err := ae.Encode()
	if err != nil {
		e.fail("encoding an expression %q: %w", name, err)
	}
	e.exprs = append(e.exprs, data)
}

// masquerade is encoded here because expr.Masq leaves out the flag without which
// the kernel ignores the ports.
func (e *encoder) masquerade(a firewall.Action) {
	lo, hi := e.ports(a, 1)
	if lo == 0 {
		e.add(&expr.Masq{})
		return
	}
	e.raw("masq", func(ae *netlink.AttributeEncoder) {
		ae.Uint32(unix.NFTA_MASQ_FLAGS, unix.NF_NAT_RANGE_PROTO_SPECIFIED)
		ae.Uint32(unix.NFTA_MASQ_REG_PROTO_MIN, lo)
		if hi != 0 {
			ae.Uint32(unix.NFTA_MASQ_REG_PROTO_MAX, hi)
		}
	})
}

func (e *encoder) snat(a firewall.Action) {
	nat := &expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1}
	e.add(&expr.Immediate{Register: 1, Data: a.AddrStart.AsSlice()})
	next := uint32(2)
	if a.AddrEnd != a.AddrStart {
		nat.RegAddrMax = next
		e.add(&expr.Immediate{Register: next, Data: a.AddrEnd.AsSlice()})
		next++
	}
	nat.RegProtoMin, nat.RegProtoMax = e.ports(a, next)
	nat.Specified = nat.RegProtoMin != 0
	e.add(nat)
}

// ports puts a range of ports into registers from next on; 0: not given.
func (e *encoder) ports(a firewall.Action, next uint32) (lo, hi uint32) {
	if a.PortStart == 0 {
		return 0, 0
	}
	e.add(&expr.Immediate{Register: next, Data: binaryutil.BigEndian.PutUint16(a.PortStart)})
	if a.PortEnd == a.PortStart {
		return next, 0
	}
	e.add(&expr.Immediate{Register: next + 1, Data: binaryutil.BigEndian.PutUint16(a.PortEnd)})
	return next, next + 1
}
