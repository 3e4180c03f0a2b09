package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
)

// Coexist surveys the rules of others and applies the changes that decide asks
// for: those of one table as a whole or not at all, and only to the ruleset that
// was seen. If somebody changes that meanwhile, all begins anew.
//
// last, which may be nil, is a survey that is taken if it still holds; the one
// that is returned may be passed on the next time.
func Coexist(conn *Conn, last *View, decide func(*coexist.Survey) []coexist.Change) (view *View, err error) {
	for range maxReads {
		err = conn.use(func(socket *netlink.Conn) error {
			if view, err = conn.viewLocked(socket, last); err != nil {
				return err
			}
			at := view.Generation
			for _, c := range decide(view.Survey) {
				if err := change1(socket, at, c); err != nil {
					return fmt.Errorf("changing table %s %q: %w", c.Family, c.Table, err)
				}
				at++
			}
			return nil
		})
		if !errors.Is(err, unix.ERESTART) && !errors.Is(err, unix.ENOENT) {
			break
		}
		last = nil
	}
	return view, err
}

// familyNumbers are the kernel's, by nft's words.
var familyNumbers = map[string]byte{coexist.IPv4: unix.NFPROTO_IPV4, coexist.IPv6: unix.NFPROTO_IPV6, coexist.Inet: unix.NFPROTO_INET}

// change1 applies the change of one table to a generation of the ruleset.
func change1(socket *netlink.Conn, generation uint32, c coexist.Change) error {
	b := batch{family: familyNumbers[c.Family], table: c.Table, generation: generation}
	for _, d := range c.Delete {
		b.delRule(d.Chain, d.Handle)
	}
	for _, in := range c.Insert {
		for _, name := range []string{in.Accept.In, in.Accept.Out} {
			if name != "" && firewall.CheckDevice(name) != nil {
				return firewall.CheckDevice(name)
			}
		}
		r := nativeAccept(&b, in)
		switch {
		case in.Kind != coexist.Any || in.Address.IsValid():
			r = besideAccept(&b, in, c.Iptables)
		case c.Iptables:
			r = iptablesAccept(&b, in)
		}
		b.insertRule(in.Chain, in.Before, r)
	}
	return b.send(socket)
}

// insertRule adds a rule before another one, or at the chain's end.
func (b *batch) insertRule(chain string, before uint64, r rule) {
	if before == 0 {
		b.addRule(chain, r)
		return
	}
	b.addRule(chain, r)
	m := &b.msgs[len(b.msgs)-1]
	m.Header.Flags &^= netlink.Append
	position, err := netlink.MarshalAttributes([]netlink.Attribute{{
		Type: unix.NFTA_RULE_POSITION, Data: binary.BigEndian.AppendUint64(nil, before),
	}})
	if err != nil && b.err == nil {
		b.err = err
	}
	m.Data = append(m.Data, position...)
}

// protocolNumbers are those of IANA.
var protocolNumbers = map[string]byte{
	"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP, "icmpv6": unix.IPPROTO_ICMPV6,
}

// nameIs compares an interface's name with that of nft: all bytes of the
// register; or with that of iptables: as many as there are, and a zero.
func nameIs(key expr.MetaKey, name string, size int) []expr.Any {
	if name == "" {
		return nil
	}
	data := make([]byte, max(size, len(name)+1))
	copy(data, name)
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data},
	}
}

func protocolIs(name string) []expr.Any {
	if name == "" {
		return nil
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocolNumbers[name]}},
	}
}

// nativeAccept is an accepting rule as nft writes it.
func nativeAccept(b *batch, in coexist.Insertion) rule {
	a := in.Accept
	exprs := nameIs(expr.MetaKeyIIFNAME, a.In, unix.IFNAMSIZ)
	exprs = append(exprs, nameIs(expr.MetaKeyOIFNAME, a.Out, unix.IFNAMSIZ)...)
	exprs = append(exprs, protocolIs(a.Proto)...)
	transport := func(offset uint32, data []byte) {
		exprs = append(exprs,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: uint32(len(data))},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data})
	}
	if a.FromPort != 0 {
		transport(0, binary.BigEndian.AppendUint16(nil, a.FromPort))
	}
	if a.Port != 0 {
		transport(2, binary.BigEndian.AppendUint16(nil, a.Port))
	}
	if a.Type != 0 {
		transport(0, []byte{a.Type})
	}
	switch {
	case a.Reply:
		exprs = append(exprs, hasBits(&expr.Ct{Key: expr.CtKeySTATE, Register: 1}, coexist.StateEstablished|coexist.StateRelated)...)
	case a.Translated:
		exprs = append(exprs, hasBits(&expr.Ct{Key: expr.CtKeySTATUS, Register: 1}, destTranslated)...)
	}
	exprs = append(exprs, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})
	return rule{exprs: b.marshal(exprs...), userdata: userdata.AppendString(nil, userdata.TypeComment, in.Comment)}
}

// iptablesAccept is an accepting rule in the form in which all versions of
// iptables-nft read it: what is newer (ports as nft has them, since 1.8.8) the
// older ones list without the port.
func iptablesAccept(b *batch, in coexist.Insertion) rule {
	a := in.Accept
	exprs := nameIs(expr.MetaKeyIIFNAME, a.In, 0)
	exprs = append(exprs, nameIs(expr.MetaKeyOIFNAME, a.Out, 0)...)
	exprs = append(exprs, protocolIs(a.Proto)...)
	from, to := [2]uint16{a.FromPort, a.FromPort}, [2]uint16{a.Port, a.Port}
	if a.FromPort == 0 {
		from[1] = 65535
	}
	if a.Port == 0 {
		to[1] = 65535
	}
	switch {
	case a.Type != 0:
		info := xt.Unknown{a.Type, 0, 255, 0, 0, 0, 0, 0} // struct ip6t_icmp: any code
		exprs = append(exprs, &expr.Match{Name: "icmp6", Info: &info})
	case a.Proto == "udp":
		exprs = append(exprs, &expr.Match{Name: "udp", Info: &xt.Udp{SrcPorts: from, DstPorts: to}})
	case a.Proto == "tcp":
		exprs = append(exprs, &expr.Match{Name: "tcp", Info: &xt.Tcp{SrcPorts: from, DstPorts: to}})
	}
	var states uint16
	switch {
	case a.Reply:
		states = coexist.StateEstablished | coexist.StateRelated
	case a.Translated:
		states = xtTranslated
	}
	if states != 0 {
		info := conntrackStates(states)
		exprs = append(exprs, &expr.Match{Name: "conntrack", Rev: 3, Info: &info})
	}
	comment := make(xt.Unknown, 256) // struct xt_comment_info
	copy(comment[:255], in.Comment)
	exprs = append(exprs, &expr.Match{Name: "comment", Info: &comment}, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})
	return rule{exprs: b.marshal(exprs...), proto: protocolNumbers[a.Proto]}
}
