package netlink

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall/coexist"
)

// decodeRule reads a rule of somebody else.
func decodeRule(m netlink.Message, family byte, sets *setReader) (chain string, rule coexist.Rule, err error) {
	d := ruleDecoder{family: family, sets: sets, rule: &rule, loaded: map[uint32]loaded{}}
	err = decode(m, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_RULE_CHAIN:
			chain = ad.String()
		case unix.NFTA_RULE_HANDLE:
			rule.Handle = ad.Uint64()
		case unix.NFTA_RULE_USERDATA:
			if comment, ok := userdata.GetString(ad.Bytes(), userdata.TypeComment); ok && rule.Comment == "" {
				rule.Comment = string(bytes.TrimRight([]byte(comment), "\x00"))
			}
		case unix.NFTA_RULE_EXPRESSIONS:
			each(ad, d.expression)
		}
	})
	if err == nil {
		err = d.err
	}
	return chain, rule, err
}

// loaded is what a register of the kernel holds.
type loaded struct {
	field coexist.Field
	text  string // of an unknown field
	ipv6  bool   // of an address
	size  int    // in bytes; 0: not known
	mask  []byte // nil: none

	links map[int]string // where a link's index is asked for; nil: its name is
}

// ruleDecoder follows the expressions of one rule.
type ruleDecoder struct {
	family byte
	sets   *setReader
	rule   *coexist.Rule
	loaded map[uint32]loaded // by register
	err    error
}

// expression reads one. The kernel tells its name first.
func (d *ruleDecoder) expression(ad *netlink.AttributeDecoder) {
	name := ""
	each(ad, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_EXPR_NAME:
			name = ad.String()
			if bare[name] == ending {
				d.rule.Verdict.Kind = coexist.Other
			}
		case unix.NFTA_EXPR_DATA:
			d.one(name, ad)
		}
	})
}

// meaning is what an expression without a register is for a packet's way.
type meaning uint8

const (
	effect    meaning = iota + 1 // none: it counts, logs or marks
	condition                    // an unknown one
	ending                       // no further rule is asked
)

// bare are the expressions that neither load a register nor compare one.
var bare = map[string]meaning{
	"counter": effect, "log": effect, "notrack": effect, "dup": effect, "objref": effect, "last": effect, "flow_offload": effect,
	"limit": condition, "quota": condition, "connlimit": condition, "dynset": condition,
	"queue": ending, "synproxy": ending, "fwd": ending, "tproxy": ending,
}

func (d *ruleDecoder) one(name string, ad *netlink.AttributeDecoder) {
	switch name {
	case "meta":
		understand(d, ad, d.meta)
	case "ct":
		understand(d, ad, d.ct)
	case "payload":
		understand(d, ad, d.payload)
	case "fib":
		understand(d, ad, d.fib)
	case "bitwise":
		understand(d, ad, d.bitwise)
	case "cmp":
		understand(d, ad, d.cmp)
	case "range":
		understand(d, ad, d.between)
	case "lookup":
		understand(d, ad, d.lookup)
	case "immediate":
		d.immediate(ad)
	case "match", "target":
		d.extension(name, ad)
	case "queue":
		understand(d, ad, d.queue)
	case "reject":
		d.rule.Verdict.Kind = coexist.Reject
	case "nat", "masq", "redir":
		d.rule.Verdict = coexist.Verdict{Kind: coexist.Accept, Rewrites: rewrites(name, ad)}
	default:
		switch bare[name] {
		case effect, ending:
		case condition:
			d.unknown(name)
		default:
			d.foreign(name, ad)
		}
	}
}

// understand reads an expression that the library knows.
func understand[E any, P interface {
	*E
	expr.Any
}](d *ruleDecoder, ad *netlink.AttributeDecoder, follow func(P)) {
	e := P(new(E))
	err := expr.Unmarshal(d.family, ad.Bytes(), e)
	if err == nil {
		follow(e)
	} else if d.err == nil {
		d.err = err
	}
}

// rewrites says how an expression changes an address (enum nft_nat_types).
func rewrites(name string, ad *netlink.AttributeDecoder) string {
	switch {
	case name == "masq":
		return "masquerade"
	case name == "redir":
		return "redirect"
	case numbers(ad)[unix.NFTA_NAT_TYPE] == unix.NFT_NAT_SNAT:
		return "snat"
	}
	return "dnat"
}

func (d *ruleDecoder) add(m coexist.Match) { d.rule.Match = append(d.rule.Match, m) }

func (d *ruleDecoder) unknown(text string) {
	d.add(coexist.Match{Field: coexist.Unknown, Text: text})
}

// numbers returns the attributes of an expression that are 32-bit numbers.
func numbers(ad *netlink.AttributeDecoder) map[uint16]uint32 {
	values := map[uint16]uint32{}
	each(ad, func(ad *netlink.AttributeDecoder) {
		if b := ad.Bytes(); len(b) == 4 {
			values[ad.Type()] = binary.BigEndian.Uint32(b)
		}
	})
	return values
}

// foreign has an expression that is not known: what it loads is unknown. All
// that load name their register by attribute 1 or 2; a rule of which that is not
// true is merely less well understood.
func (d *ruleDecoder) foreign(name string, ad *netlink.AttributeDecoder) {
	values := numbers(ad)
	for _, attr := range []uint16{1, 2} {
		if reg, ok := values[attr]; ok {
			d.loaded[reg] = loaded{text: name}
		}
	}
}

func (d *ruleDecoder) meta(e *expr.Meta) {
	if e.SourceRegister {
		d.rule.Marks = d.rule.Marks || e.Key == expr.MetaKeyMARK
		return
	}
	var l loaded
	switch key := uint32(e.Key); key {
	case unix.NFT_META_MARK:
		l = loaded{field: coexist.PacketMark, size: 4, text: "mark"}
	case unix.NFT_META_IIFNAME:
		l = loaded{field: coexist.InName, size: unix.IFNAMSIZ}
	case unix.NFT_META_OIFNAME:
		l = loaded{field: coexist.OutName, size: unix.IFNAMSIZ}
	case unix.NFT_META_NFPROTO:
		l = loaded{field: coexist.NFProto, size: 1}
	case unix.NFT_META_L4PROTO:
		l = loaded{field: coexist.L4Proto, size: 1}
	case unix.NFT_META_PROTOCOL:
		l = loaded{field: coexist.NFProto, size: 2, text: etherType}
	case unix.NFT_META_IIF, unix.NFT_META_OIF:
		l = loaded{text: metaNames[key]}
		if links := d.sets.scope.links; links != nil {
			l = loaded{field: coexist.InName, size: 4, links: links}
			if key == unix.NFT_META_OIF {
				l.field = coexist.OutName
			}
		}
	default:
		l = loaded{text: metaNames[key]}
		if l.text == "" {
			l.text = "meta"
		}
	}
	d.loaded[e.Register] = l
}

// etherType is the text of the type of a frame, which says of what family the packet
// in it is.
const etherType = "ether type"

// metaNames are for people.
var metaNames = map[uint32]string{
	unix.NFT_META_IIF: "iif", unix.NFT_META_OIF: "oif", unix.NFT_META_PKTTYPE: "pkttype",
	unix.NFT_META_SKUID: "skuid", unix.NFT_META_IIFTYPE: "iiftype",
}

// ctStatus is the text of the status of a connection, of which one bit is understood.
const ctStatus = "ct status"

func (d *ruleDecoder) ct(e *expr.Ct) {
	if e.Register == 0 { // it stores
		return
	}
	l := loaded{text: "ct"}
	switch uint32(e.Key) {
	case unix.NFT_CT_STATE:
		l = loaded{field: coexist.State, size: 4}
	case unix.NFT_CT_STATUS:
		l.text, l.size = ctStatus, 4
	}
	d.loaded[e.Register] = l
}

func (d *ruleDecoder) payload(e *expr.Payload) {
	if e.OperationType == expr.PayloadWrite {
		return
	}
	l := loaded{text: "payload", size: int(min(e.Len, 1<<8))}
	switch uint32(e.Base) {
	case unix.NFT_PAYLOAD_LL_HEADER:
		if e.Offset == 12 && e.Len == 2 {
			l.field, l.text = coexist.NFProto, etherType
		}
	case unix.NFT_PAYLOAD_NETWORK_HEADER:
		d.networkHeader(&l, e.Offset)
	case unix.NFT_PAYLOAD_TRANSPORT_HEADER:
		switch {
		case e.Offset == 0 && e.Len == 2:
			l.field = coexist.FromPort
		case e.Offset == 2 && e.Len == 2:
			l.field = coexist.DestPort
		case e.Offset == 0 && e.Len == 1:
			l.field = coexist.ICMPType
		}
	}
	d.loaded[e.DestRegister] = l
}

// networkHeader knows the fields of the headers of IPv4 and IPv6 (RFC 791, RFC
// 8200).
func (d *ruleDecoder) networkHeader(l *loaded, offset uint32) {
	const (
		protocol4, source4, dest4 = 9, 12, 16
		next6, source6, dest6     = 6, 8, 24
	)
	switch {
	case d.ipv6() && offset == next6 && l.size == 1, d.ipv4() && offset == protocol4 && l.size == 1:
		l.field = coexist.L4Proto
	case d.ipv4() && offset == source4 && l.size <= 4:
		l.field = coexist.Source
	case d.ipv4() && offset == dest4 && l.size <= 4:
		l.field = coexist.Dest
	case d.ipv6() && offset == source6 && l.size <= 16:
		l.field, l.ipv6 = coexist.Source, true
	case d.ipv6() && offset == dest6 && l.size <= 16:
		l.field, l.ipv6 = coexist.Dest, true
	}
}

func (d *ruleDecoder) ipv4() bool { return d.family == unix.NFPROTO_IPV4 || d.asked(unix.NFPROTO_IPV4) }
func (d *ruleDecoder) ipv6() bool { return d.family == unix.NFPROTO_IPV6 || d.asked(unix.NFPROTO_IPV6) }

// asked reports whether the rule is for one family only.
func (d *ruleDecoder) asked(family uint64) bool {
	for _, m := range d.rule.Match {
		if m.Field == coexist.NFProto && !m.Not && len(m.Values) == 1 && m.Values[0].Low == family && m.Values[0].High == family {
			return true
		}
	}
	return false
}

// fibPresent is the text of a fib expression that loads whether there is a route.
const fibPresent = "fib exists"

// fib knows the question for the kind of the destination; that may be asked for
// one interface only, which changes nothing for those that it is asked for here. And
// it knows the one for the way back to the source, as filters of reverse paths ask it.
func (d *ruleDecoder) fib(e *expr.Fib) {
	l := loaded{text: "fib"}
	if e.ResultADDRTYPE && e.FlagDADDR {
		l = loaded{field: coexist.DestCast, size: 4}
	}
	if (e.ResultOIF || e.ResultOIFNAME) && e.FlagSADDR {
		l = loaded{field: coexist.BackAny}
		if e.FlagIIF {
			l.field = coexist.BackIn
		}
		if e.FlagPRESENT {
			l.text = fibPresent
		}
	}
	d.loaded[e.Register] = l
}

func (d *ruleDecoder) bitwise(e *expr.Bitwise) {
	l, ok := d.loaded[e.SourceRegister]
	switch {
	case !ok || l.mask != nil || len(e.Mask) == 0 || len(bytes.Trim(e.Xor, "\x00")) > 0:
		l = loaded{text: "bits"}
	default:
		l.mask = e.Mask
	}
	d.loaded[e.DestRegister] = l
}

// verdicts are the kernel's codes (enum nft_verdicts, netfilter.h).
var verdicts = map[int32]coexist.VerdictKind{
	0: coexist.Drop, 1: coexist.Accept,
	unix.NFT_CONTINUE: coexist.Continue, unix.NFT_BREAK: coexist.Continue,
	unix.NFT_JUMP: coexist.Jump, unix.NFT_GOTO: coexist.Goto, unix.NFT_RETURN: coexist.Return,
}

func (d *ruleDecoder) immediate(ad *netlink.AttributeDecoder) {
	each(ad, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_IMMEDIATE_DREG:
			d.loaded[ad.Uint32()] = loaded{text: "constant"}
		case unix.NFTA_IMMEDIATE_DATA:
			dig(ad, func(ad *netlink.AttributeDecoder) { d.rule.Verdict = decodeVerdict(ad) }, unix.NFTA_DATA_VERDICT)
		}
	})
}

func decodeVerdict(ad *netlink.AttributeDecoder) coexist.Verdict {
	v := coexist.Verdict{Kind: coexist.Other}
	each(ad, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_VERDICT_CODE:
			if kind, ok := verdicts[int32(ad.Uint32())]; ok {
				v.Kind = kind
			}
		case unix.NFTA_VERDICT_CHAIN:
			v.Chain = ad.String()
		}
	})
	return v
}

// queue has the queue that a rule hands packets to. One with a queue that is computed
// says less.
func (d *ruleDecoder) queue(e *expr.Queue) {
	if e.Total > 0 {
		d.queued(e.Num, e.Total, e.Flag&expr.QueueFlagBypass != 0)
	}
}

// queued is for a rule that hands packets to programs at some queues. What these do
// nobody knows; where none listens the kernel drops the packets, or lets them bypass.
// Source: nft_queue.c, nfqnl_enqueue_packet in nfnetlink_queue.c.
func (d *ruleDecoder) queued(first, total uint16, bypass bool) {
	v := &d.rule.Verdict
	v.Kind, v.Text = coexist.Other, fmt.Sprintf("queue to %d", first)
	queues := d.sets.scope.queues
	for n := range total {
		if queues == nil || queues[first+n] {
			return
		}
	}
	v.Text += ", to which no program listens"
	v.Kind = coexist.Drop
	if bypass {
		v.Kind = coexist.Accept
	}
}
