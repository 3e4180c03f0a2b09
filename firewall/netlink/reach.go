package netlink

import (
	"cmp"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// register returns the number of the register for a value that begins after so
// many words of four bytes: one of four words where that begins, else one word.
func register(word uint32) uint32 {
	if word%4 == 0 {
		return unix.NFT_REG_1 + word/4
	}
	return unix.NFT_REG32_00 + word
}

// tuple loads several fields one after the other, from register 1 on.
func (e *encoder) tuple(t firewall.Tuple) {
	word := uint32(0)
	for _, f := range t.Fields {
		reg, size := register(word), uint32(1)
		switch f {
		case firewall.Source4, firewall.Dest4, firewall.Source6, firewall.Dest6:
			at := addresses[f]
			e.addressTo(reg, at, at.size)
			size = at.size / 4
		case firewall.OutName, firewall.InName, firewall.InBridge:
			e.add(&expr.Meta{Key: metaKeys[f], Register: reg})
			size = unix.IFNAMSIZ / 4
		case firewall.EtherSource, firewall.ARPSourceMAC, firewall.ARPSource, firewall.ARPDest, firewall.NDTarget, firewall.NDLinkAddress:
			size = (e.payload(f, reg) + 3) / 4
		case firewall.FirstSource4, firewall.FirstSource6, firewall.FirstDest4, firewall.FirstDest6, firewall.Answerer4, firewall.Answerer6, firewall.FirstPort, firewall.AnswererPort:
			ct := tracked[f]
			e.tracked(f, reg)
			size = max(ct.size/4, 1)
			if ct.size == 2 {
				e.masked(reg, t.Mask)
			}
		case firewall.Protocol:
			e.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg})
			if t.Ranges { // as nft does, though one byte has no order
				e.add(&expr.Byteorder{SourceRegister: reg, DestRegister: reg, Op: expr.ByteorderHton, Len: 1, Size: 2})
			}
		case firewall.DestPort:
			e.add(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
			e.masked(reg, t.Mask)
		default:
			e.fail("encoding %q: not part of a key", f)
		}
		word += size
	}
}

// masked masks a port in a register; 0: not.
func (e *encoder) masked(reg uint32, mask uint16) {
	if mask != 0 {
		e.add(&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 2, Mask: binaryutil.BigEndian.PutUint16(mask), Xor: make([]byte, 2)})
	}
}

// tracked are the fields that are of the connection: the direction in which they are
// asked for, and their size in bytes.
var tracked = map[firewall.Field]struct {
	key, direction uint32
	size           uint32
}{
	firewall.FirstSource4: {unix.NFT_CT_SRC_IP, 0, 4},
	firewall.FirstSource6: {unix.NFT_CT_SRC_IP6, 0, 16},
	firewall.FirstDest4:   {unix.NFT_CT_DST_IP, 0, 4},
	firewall.FirstDest6:   {unix.NFT_CT_DST_IP6, 0, 16},
	firewall.FirstPort:    {unix.NFT_CT_PROTO_DST, 0, 2},
	firewall.Answerer4:    {unix.NFT_CT_SRC_IP, 1, 4},
	firewall.Answerer6:    {unix.NFT_CT_SRC_IP6, 1, 16},
	firewall.AnswererPort: {unix.NFT_CT_PROTO_SRC, 1, 2},
}

// tracked loads a field of the connection. It is encoded here because expr.Ct leaves
// out the direction of addresses.
func (e *encoder) tracked(f firewall.Field, reg uint32) {
	ct := tracked[f]
	e.raw("ct", func(ae *netlink.AttributeEncoder) {
		ae.Uint32(unix.NFTA_CT_KEY, ct.key)
		ae.Uint32(unix.NFTA_CT_DREG, reg)
		ae.Uint8(unix.NFTA_CT_DIRECTION, uint8(ct.direction))
	})
}

// mapped translates to what a map has.
func (e *encoder) mapped(a firewall.Action, kind expr.NATType) {
	e.tuple(a.Key)
	e.add(&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: a.Map})
	nat := &expr.NAT{Type: kind, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegAddrMax: 1}
	port := register(1)
	if a.IPv6 {
		nat.Family, port = unix.NFPROTO_IPV6, register(4)
	}
	if a.Ports {
		nat.RegProtoMin, nat.RegProtoMax = port, port
	}
	e.add(nat)
}

// icmp limits the rule to some types of ICMP.
func (e *encoder) icmp(m firewall.Match) {
	family, proto := byte(unix.NFPROTO_IPV4), byte(unix.IPPROTO_ICMP)
	if m.Field == firewall.ICMP6Type {
		family, proto = unix.NFPROTO_IPV6, unix.IPPROTO_ICMPV6
	}
	if e.family != family || e.batch.family != unix.NFPROTO_BRIDGE {
		e.family = 0 // as nft does, it is said once more
		e.limit(family)
	}
	e.add(
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
	)
	if m.Lo == m.Hi {
		e.add(&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{m.Lo}})
		return
	}
	e.add(
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: []byte{m.Lo}},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: []byte{m.Hi}},
	)
}

// rewrite changes an address to another, or to what a map has, without connection
// tracking. The kernel mends the checksum of the IPv4 header, and those of TCP,
// UDP and ICMPv6, which cover the addresses.
func (e *encoder) rewrite(a firewall.Action) {
	at := addresses[a.Field]
	switch {
	case a.To.IsValid():
		e.limit(at.family)
		e.add(&expr.Immediate{Register: 1, Data: a.To.AsSlice()})
	default:
		e.limit(at.family)
		e.load(cmp.Or(a.By, a.Field))
		e.add(&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: a.Map})
	}
	w := write{base: unix.NFT_PAYLOAD_NETWORK_HEADER, offset: at.offset, size: at.size, flags: unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR}
	if at.family == unix.NFPROTO_IPV4 {
		w.sumType, w.sumOffset = unix.NFT_PAYLOAD_CSUM_INET, checksumOffset
	}
	e.write(w)
}

const (
	checksumOffset = 10 // of the checksum in the IPv4 header (RFC 791)
	errorLength    = 8  // of an ICMP header, after which an error has the packet that it is about
	icmpChecksum   = 2  // where the checksum is in it (RFC 792, RFC 4443)
)

// embedded changes an address of the packet that an ICMP error is about. With
// IPv4 that packet's own header has a checksum: once it is mended, the sum over
// all that the ICMP checksum covers is what it was. With IPv6 the ICMP checksum
// is mended.
func (e *encoder) embedded(a firewall.Action) {
	at := addresses[a.Field]
	w := write{
		base: unix.NFT_PAYLOAD_TRANSPORT_HEADER, offset: errorLength + at.offset, size: at.size,
		sumType: unix.NFT_PAYLOAD_CSUM_INET, sumOffset: errorLength + checksumOffset,
	}
	if at.family == unix.NFPROTO_IPV6 {
		w.sumOffset = icmpChecksum
	}
	e.add(
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: w.offset, Len: w.size},
		&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: a.Map},
	)
	e.write(w)
}

// write is a change of a packet: what is in register 1 goes to a place, and a
// checksum at another one is mended.
type write struct {
	base, offset, size        uint32
	sumType, sumOffset, flags uint32
}

// write is encoded here because expr.Payload leaves out the flags where there is
// no checksum in the header itself, as in IPv6.
func (e *encoder) write(w write) {
	e.raw("payload", func(ae *netlink.AttributeEncoder) {
		ae.Uint32(unix.NFTA_PAYLOAD_SREG, unix.NFT_REG_1)
		ae.Uint32(unix.NFTA_PAYLOAD_BASE, w.base)
		ae.Uint32(unix.NFTA_PAYLOAD_OFFSET, w.offset)
		ae.Uint32(unix.NFTA_PAYLOAD_LEN, w.size)
		ae.Uint32(unix.NFTA_PAYLOAD_CSUM_TYPE, w.sumType)
		ae.Uint32(unix.NFTA_PAYLOAD_CSUM_OFFSET, w.sumOffset)
		ae.Uint32(unix.NFTA_PAYLOAD_CSUM_FLAGS, w.flags)
	})
}
