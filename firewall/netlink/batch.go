package netlink

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// batch is a list of changes to one table, which the kernel applies as a whole
// or not at all. The first error of encoding stays and fails send.
type batch struct {
	family byte
	table  string
	msgs   []netlink.Message
	err    error

	generation uint32 // of the ruleset that is to be changed; 0: whichever

	// What the kernel says of a batch that it has applied.
	made   uint32 // the generation that it made; 0: none, or it does not tell
	handle uint64 // of the rule that the first message added; 0: it did not
}

// add appends one message; attributes are big endian, as nf_tables has them.
func (b *batch) add(msg uint16, flags netlink.HeaderFlags, attrs func(*netlink.AttributeEncoder)) {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	attrs(ae)
	data, err := ae.Encode()
	if err != nil && b.err == nil {
		b.err = err
	}
	b.msgs = append(b.msgs, message(b.family, msg, flags, data))
}

// message is one of nf_tables with encoded attributes.
func message(family byte, msg uint16, flags netlink.HeaderFlags, attrs []byte) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | msg),
			Flags: netlink.Request | flags,
		},
		Data: append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attrs...),
	}
}

// addTable makes the table; one that exists stays.
func (b *batch) addTable() {
	b.add(unix.NFT_MSG_NEWTABLE, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_TABLE_NAME, b.table)
		ae.Uint32(unix.NFTA_TABLE_FLAGS, 0)
	})
}

// delTable deletes the table with all that is in it.
func (b *batch) delTable() {
	b.add(unix.NFT_MSG_DELTABLE, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_TABLE_NAME, b.table)
	})
}

// addChain makes a chain; one that exists stays, with its rules.
func (b *batch) addChain(c firewall.Chain) {
	b.add(unix.NFT_MSG_NEWCHAIN, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, b.table)
		ae.String(unix.NFTA_CHAIN_NAME, c.Name)
		if c.Hook == nil {
			return
		}
		hook, ok := hooks[c.Hook.Name]
		if !ok && b.err == nil {
			b.err = fmt.Errorf("encoding chain %q: unknown hook %q", c.Name, c.Hook.Name)
		}
		ae.Nested(unix.NFTA_CHAIN_HOOK, func(ae *netlink.AttributeEncoder) error {
			ae.Uint32(unix.NFTA_HOOK_HOOKNUM, hook)
			ae.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority))
			return nil
		})
		const accept = 1 // NF_ACCEPT
		ae.Uint32(unix.NFTA_CHAIN_POLICY, accept)
		ae.String(unix.NFTA_CHAIN_TYPE, c.Hook.Type)
	})
}

// hooks are the kernel's numbers of the hooks (enum nf_inet_hooks).
var hooks = map[string]uint32{
	"prerouting":  unix.NF_INET_PRE_ROUTING,
	"input":       unix.NF_INET_LOCAL_IN,
	"forward":     unix.NF_INET_FORWARD,
	"output":      unix.NF_INET_LOCAL_OUT,
	"postrouting": unix.NF_INET_POST_ROUTING,
}

// delChain deletes a chain and its rules. It must exist, and nothing may lead
// to it.
func (b *batch) delChain(name string) {
	b.add(unix.NFT_MSG_DELCHAIN, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, b.table)
		ae.String(unix.NFTA_CHAIN_NAME, name)
	})
}

// rule is a rule as the kernel takes it.
type rule struct {
	exprs    [][]byte
	userdata []byte
	proto    byte // what x_tables' extensions may take for granted; 0: nothing
}

// addRule appends a rule to a chain.
func (b *batch) addRule(chain string, r rule) {
	b.add(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_RULE_TABLE, b.table)
		ae.String(unix.NFTA_RULE_CHAIN, chain)
		ae.Nested(unix.NFTA_RULE_EXPRESSIONS, func(ae *netlink.AttributeEncoder) error {
			for _, e := range r.exprs {
				ae.Bytes(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, e)
			}
			return nil
		})
		if r.proto != 0 {
			ae.Nested(unix.NFTA_RULE_COMPAT, func(ae *netlink.AttributeEncoder) error {
				ae.Uint32(unix.NFTA_RULE_COMPAT_PROTO, uint32(r.proto))
				ae.Uint32(unix.NFTA_RULE_COMPAT_FLAGS, 0)
				return nil
			})
		}
		if len(r.userdata) > 0 {
			ae.Bytes(unix.NFTA_RULE_USERDATA, r.userdata)
		}
	})
}

// delRule deletes one rule of a chain, or with handle 0 all of them.
func (b *batch) delRule(chain string, handle uint64) {
	b.add(unix.NFT_MSG_DELRULE, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_RULE_TABLE, b.table)
		ae.String(unix.NFTA_RULE_CHAIN, chain)
		if handle != 0 {
			ae.Uint64(unix.NFTA_RULE_HANDLE, handle)
		}
	})
}

// marshal encodes expressions for the batch's family.
func (b *batch) marshal(exprs ...expr.Any) [][]byte {
	var out [][]byte
	for _, e := range exprs {
		data, err := expr.Marshal(b.family, e)
		if err != nil && b.err == nil {
			b.err = err
		}
		out = append(out, data)
	}
	return out
}

// send has the kernel apply the batch. Only the last message asks for an
// acknowledgement; failures are told anyway, and the first one is returned.
func (b *batch) send(c *netlink.Conn) error {
	if b.err != nil || len(b.msgs) == 0 {
		return b.err
	}
	b.msgs[len(b.msgs)-1].Header.Flags |= netlink.Acknowledge
	// The first message's flags count for the news of the new generation. What
	// deletes a table would bring news of all that was in it.
	if b.msgs[0].Header.Type != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELTABLE {
		b.msgs[0].Header.Flags |= netlink.Echo
	}
	mark := func(msg uint16) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(msg), Flags: netlink.Request},
			Data:   binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}, unix.NFNL_SUBSYS_NFTABLES),
		}
	}
	begin := mark(unix.NFNL_MSG_BATCH_BEGIN)
	if b.generation != 0 {
		const size = 8 // of the attribute: its header and the number
		begin.Data = binary.NativeEndian.AppendUint16(begin.Data, size)
		begin.Data = binary.NativeEndian.AppendUint16(begin.Data, unix.NFNL_BATCH_GENID)
		begin.Data = binary.BigEndian.AppendUint32(begin.Data, b.generation)
	}
	msgs := append([]netlink.Message{begin}, b.msgs...)
	msgs = append(msgs, mark(unix.NFNL_MSG_BATCH_END))
	sent, err := c.SendMessages(msgs)
	if err != nil {
		return err
	}
	last := sent[len(sent)-2].Header.Sequence
	for {
		replies, err := c.Receive()
		if err != nil {
			return err
		}
		for _, m := range replies {
			if m.Header.Type == netlink.Error && m.Header.Sequence == last {
				return nil
			}
			if err := b.hear(m); err != nil {
				return err
			}
		}
	}
}

// hear takes note of what the kernel says of the batch.
func (b *batch) hear(m netlink.Message) error {
	const made, added = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWRULE
	if m.Header.Type != made && m.Header.Type != added {
		return nil
	}
	return decode(m, func(ad *netlink.AttributeDecoder) {
		switch {
		case m.Header.Type == made && ad.Type() == unix.NFTA_GEN_ID:
			b.made = ad.Uint32()
		case m.Header.Type == added && ad.Type() == unix.NFTA_RULE_HANDLE:
			b.handle = ad.Uint64()
		}
	})
}
