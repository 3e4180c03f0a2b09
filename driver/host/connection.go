package host

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
)

// The messages and attributes of connection tracking
// (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1
	ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2

	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaStatus     = 3
	ctaID         = 12
	ctaZone       = 18
	ctaFilter     = 25

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaIPv4Src = 1 // destination is the next
	ctaIPv6Src = 3 // destination is the next

	ctaProtoNum     = 1
	ctaProtoDstPort = 3

	ctaFilterOrigFlags  = 1
	ctaFilterReplyFlags = 2

	ctFilterSrc   = 1 << 0
	ctFilterDst   = 1 << 1
	ctFilterProto = 1 << 3

	ctStatusReplied = 1 << 1 // IPS_SEEN_REPLY
	ctStatusDstNAT  = 1 << 5 // IPS_DST_NAT
)

// ctProtocols are the protocols that forwards have.
var ctProtocols = map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

// ctBatch is how many connections are ended by one message to the kernel.
const ctBatch = 128

// ctPasses is how often the table is searched. A connection that was in the
// making while it was searched is found the next time.
const ctPasses = 3

// endConnections forgets the connections that were translated to a guest. The
// kernel searches its table itself (Linux 5.8; older ones list all of it), so
// what this costs depends little on what else goes on.
func endConnections(ctx context.Context, op step.EndConnections) error {
	const doing = "ending connections to"
	object := op.Guest.String()
	proto, known := ctProtocols[op.Proto]
	if !usable(op.Guest) || op.Proto != "" && !known || op.Start > op.End || op.Start == 0 && op.End != 0 ||
		op.Listen.IsValid() && op.Listen.BitLen() != op.Guest.BitLen() ||
		op.From.IsValid() && (op.From.BitLen() != op.Guest.BitLen() || op.Until.BitLen() != op.Guest.BitLen()) {
		return opError(doing, object, syscall.EINVAL)
	}
	if op.Listen.IsUnspecified() {
		op.Listen = netip.Addr{}
	}
	s := ctSearch{
		family: uint8(family(op.Guest)), filter: ctFilter(op, proto),
		match: func(m []byte) (key []byte, ok bool) { return ctMatch(m, op, proto) },
	}
	return opError(doing, object, s.run(ctx))
}

// ctSearch looks for connections of a family, to forget them.
type ctSearch struct {
	family uint8
	filter []byte // for the kernel; none: it tells of all
	match  func(m []byte) (key []byte, ok bool)
}

// run searches the table until nothing is found any more.
func (s *ctSearch) run(ctx context.Context) error {
	list, err := openChannel(unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer list.close()
	end, err := openChannel(unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer end.close()
	for range ctPasses {
		found, err := s.once(ctx, list, end)
		if err != nil || !found {
			return err
		}
	}
	return nil
}

// once searches the table once and reports whether there was something.
func (s *ctSearch) once(ctx context.Context, list, end *channel) (found bool, err error) {
	var batch []byte
	count := 0
	flush := func() {
		if count > 0 && err == nil {
			err = end.work(batch, unix.ENOENT)
		}
		batch, count = batch[:0], 0
	}
	header := []byte{s.family, unix.NFNETLINK_V0, 0, 0}
	var last []byte // waits, for the last of a batch asks for an answer
	dumpErr := list.dump(ctx, ctGet, 0, append(header, s.filter...), func(m []byte) {
		key, ok := s.match(m)
		if !ok {
			return
		}
		found = true
		if last != nil {
			batch = end.appendMessage(batch, ctDelete, 0, last)
		}
		last = append(append(last[:0:0], header...), key...)
		if count++; count == ctBatch {
			batch = end.appendMessage(batch, ctDelete, unix.NLM_F_ACK, last)
			last = nil
			flush()
		}
	})
	if last != nil {
		batch = end.appendMessage(batch, ctDelete, unix.NLM_F_ACK, last)
	}
	flush()
	if dumpErr != nil {
		return found, fmt.Errorf("listing connections: %w", dumpErr)
	}
	return found, err
}

// ctFilter asks the kernel for connections whose answers come from the guest,
// and that were made to an address. A kernel that knows no filter ignores it. Of
// IPv6 addresses it would return all but the one asked for
// (ctnetlink_filter_match_tuple compares the wrong way round, as of Linux 6.18),
// so there it only knows the protocol.
func ctFilter(op step.EndConnections, proto uint8) []byte {
	var reply, orig, flags, b []byte
	var replyFlags uint32
	if op.Guest.Is4() {
		replyFlags |= ctFilterSrc
		reply = appendNested(reply, ctaTupleIP, appendAttribute(nil, ctaIPv4Src, op.Guest.AsSlice()))
	}
	if proto != 0 {
		replyFlags |= ctFilterProto
		reply = appendNested(reply, ctaTupleProto, appendAttribute(nil, ctaProtoNum, []byte{proto}))
	}
	if replyFlags == 0 {
		return nil
	}
	b = appendNested(b, ctaTupleReply, reply)
	flags = appendAttribute(flags, ctaFilterReplyFlags, binary.NativeEndian.AppendUint32(nil, replyFlags))
	if op.Guest.Is4() && op.Listen.IsValid() {
		orig = appendNested(orig, ctaTupleIP, appendAttribute(nil, ctaIPv4Src+1, op.Listen.AsSlice()))
		b = appendNested(b, ctaTupleOrig, orig)
		flags = appendAttribute(flags, ctaFilterOrigFlags, binary.NativeEndian.AppendUint32(nil, ctFilterDst))
	}
	return appendNested(b, ctaFilter, flags)
}

// ctMatch reports whether a connection is meant, and returns the attributes that
// name it.
func ctMatch(m []byte, op step.EndConnections, proto uint8) (key []byte, ok bool) {
	c := ctRead(m)
	to := c.to
	from := !op.From.IsValid() || !c.opener.Less(op.From) && !op.Until.Less(c.opener)
	ok = from && c.status&ctStatusDstNAT != 0 && c.answerer.addr == op.Guest && (proto == 0 || to.proto == proto) &&
		(!op.Listen.IsValid() || to.addr == op.Listen) &&
		(op.Start == 0 || op.Start <= to.port && to.port <= op.End)
	return c.key, ok
}

// connection is one entry of the table.
type connection struct {
	opener   netip.Addr
	to       ctEnd // that it was made to
	answerer ctEnd
	status   uint32
	key      []byte // the attributes that name it
}

func ctRead(m []byte) (c connection) {
	if len(m) < 4 {
		return c
	}
	for typ, value := range attributes(m[4:]) {
		switch typ {
		case ctaTupleOrig:
			from, to := ctTuple(value)
			c.opener, c.to = from.addr, to
			c.key = appendNested(c.key, ctaTupleOrig, value)
		case ctaTupleReply:
			c.answerer, _ = ctTuple(value)
		case ctaStatus:
			if len(value) == 4 {
				c.status = binary.BigEndian.Uint32(value)
			}
		case ctaID, ctaZone:
			c.key = appendAttribute(c.key, typ, value)
		}
	}
	return c
}

// ctEnd is one end of a connection. Of the source the port is not read.
type ctEnd struct {
	addr  netip.Addr
	proto uint8
	port  uint16
}

// ctTuple reads where one direction of a connection comes from and goes to.
func ctTuple(b []byte) (from, to ctEnd) {
	for typ, value := range attributes(b) {
		switch typ {
		case ctaTupleIP:
			for typ, value := range attributes(value) {
				switch typ {
				case ctaIPv4Src, ctaIPv6Src:
					from.addr, _ = netip.AddrFromSlice(value)
				case ctaIPv4Src + 1, ctaIPv6Src + 1:
					to.addr, _ = netip.AddrFromSlice(value)
				}
			}
		case ctaTupleProto:
			for typ, value := range attributes(value) {
				switch {
				case typ == ctaProtoNum && len(value) == 1:
					from.proto, to.proto = value[0], value[0]
				case typ == ctaProtoDstPort && len(value) == 2:
					to.port = binary.BigEndian.Uint16(value)
				}
			}
		}
	}
	return from, to
}

// usable reports whether an address can be a guest's: one host's, on no link of
// its own kind.
func usable(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}
