package netlink

import (
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// framePlaces are the places of what the table of family bridge looks at in a frame
// (IEEE 802.3, 802.1Q, RFC 826, RFC 4861).
var framePlaces = map[firewall.Field]struct {
	base         expr.PayloadBase
	offset, size uint32
}{
	firewall.EtherDest:     {expr.PayloadBaseLLHeader, 0, 6},
	firewall.EtherSource:   {expr.PayloadBaseLLHeader, 6, 6},
	firewall.EtherType:     {expr.PayloadBaseLLHeader, 12, 2},
	firewall.VLANID:        {expr.PayloadBaseLLHeader, 14, 2},
	firewall.SNAP:          {expr.PayloadBaseLLHeader, 14, 6},
	firewall.ARPSourceMAC:  {expr.PayloadBaseNetworkHeader, 8, 6},
	firewall.ARPSource:     {expr.PayloadBaseNetworkHeader, 14, 4},
	firewall.ARPDest:       {expr.PayloadBaseNetworkHeader, 24, 4},
	firewall.NDTarget:      {expr.PayloadBaseTransportHeader, 8, 16},
	firewall.NDOption:      {expr.PayloadBaseTransportHeader, 24, 2},
	firewall.NDLinkAddress: {expr.PayloadBaseTransportHeader, 26, 6},
}

// frameTypes are the numbers of what a frame carries, and of tags.
var frameTypes = map[string]uint16{
	firewall.TagC: unix.ETH_P_8021Q, firewall.TagS: unix.ETH_P_8021AD,
	firewall.FrameARP: unix.ETH_P_ARP, firewall.FrameIPv4: unix.ETH_P_IP, firewall.FrameIPv6: unix.ETH_P_IPV6,
	firewall.FrameLLC: unix.ETH_P_802_2,
}

// frameFamilies are the families that a rule is limited to by what the frame carries.
var frameFamilies = map[string]byte{firewall.FrameIPv4: unix.NFPROTO_IPV4, firewall.FrameIPv6: unix.NFPROTO_IPV6}

// payload loads a part of the frame.
func (e *encoder) payload(f firewall.Field, reg uint32) (size uint32) {
	at, known := framePlaces[f]
	if !known {
		e.fail("encoding %q: unknown field", f)
	}
	e.add(&expr.Payload{DestRegister: reg, Base: at.base, Offset: at.offset, Len: at.size})
	return at.size
}

// frame adds a condition about a frame.
func (e *encoder) frame(m firewall.Match, op expr.CmpOp) {
	compare := func(data []byte) {
		e.payload(m.Field, unix.NFT_REG_1)
		e.add(&expr.Cmp{Op: op, Register: 1, Data: data})
	}
	switch m.Field {
	case firewall.EtherDest:
		compare(m.MAC[:])
	case firewall.EtherType:
		compare(binaryutil.BigEndian.PutUint16(frameTypes[m.Word]))
	case firewall.FrameProtocol:
		e.family = frameFamilies[m.Word]
		e.add(&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: binaryutil.BigEndian.PutUint16(frameTypes[m.Word])})
	case firewall.VLANID:
		e.payload(m.Field, unix.NFT_REG_1)
		e.add(
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2, Mask: []byte{0x0f, 0xff}, Xor: make([]byte, 2)},
			&expr.Cmp{Op: op, Register: 1, Data: make([]byte, 2)})
	case firewall.SNAP:
		compare([]byte{0xaa, 0xaa, 3, 0, 0, 0})
	case firewall.ARPSource:
		compare(m.Prefix.Addr().AsSlice())
	case firewall.NDOption:
		e.payload(m.Field, unix.NFT_REG_1)
		e.add(&expr.Cmp{Op: op, Register: 1, Data: binaryutil.BigEndian.PutUint16(m.Port)})
	case firewall.Fragment:
		e.add(&expr.Exthdr{DestRegister: 1, Type: unix.IPPROTO_FRAGMENT, Len: 1, Op: expr.ExthdrOpIpv6, Flags: unix.NFT_EXTHDR_F_PRESENT},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{1}})
	case firewall.FragmentOffset: // the lowest three bits are others (RFC 8200 section 4.5)
		e.add(&expr.Exthdr{DestRegister: 1, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2, Mask: []byte{0xff, 0xf8}, Xor: make([]byte, 2)},
			&expr.Cmp{Op: op, Register: 1, Data: make([]byte, 2)})
	case firewall.Faster:
		e.meter(m.Set, m.Rate, m.Burst, true)
	default:
		e.fail("encoding %q: unknown field", m)
	}
}

// meter breaks the rule unless the port is faster than a rate, or not.
func (e *encoder) meter(set string, rate, burst uint16, over bool) {
	e.load(firewall.InName)
	e.add(&expr.Dynset{
		SrcRegKey: 1, SetName: set, Operation: unix.NFT_DYNSET_OP_UPDATE,
		Exprs: []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(rate), Unit: expr.LimitTimeSecond, Burst: uint32(burst), Over: over}},
	})
}

// tell has packets told to who listens, as fast as they may be.
func (e *encoder) tell(a firewall.Action) {
	e.meter(a.Map, a.Rate, a.Burst, false)
	e.add(&expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN, Group: firewall.GuardLog, Snaplen: firewall.GuardSnap})
}
