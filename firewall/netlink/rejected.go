package netlink

import (
	"context"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// Rejected is how many packets the rules of a bridge have rejected or dropped
// since they were installed.
type Rejected struct {
	Leaving  uint64 // that its guests sent
	Entering uint64 // that were sent to its guests
}

// ReadRejected returns what the rules of some bridges have rejected. Those without
// rules are left out. It asks for the one rule in many that rejects, and network by
// network, so that changes need not wait for the counters of a thousand.
func ReadRejected(ctx context.Context, conn *Conn, bridges []string) (map[string]Rejected, error) {
	list := make(map[string]Rejected, len(bridges))
	err := conn.use(func(*netlink.Conn) error {
		if chains := 2; len(conn.rejecting) > chains*len(bridges) {
			conn.rejecting = nil // most are of bridges that are gone
		}
		return nil
	})
	for _, bridge := range bridges {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		err = conn.use(func(socket *netlink.Conn) error {
			sum, found, err := conn.rejectedLocked(socket, bridge)
			if found {
				list[bridge] = sum
			}
			return wrap(err, "reading the counters of the rules of %q", bridge)
		})
	}
	return list, err
}

// rejectedLocked adds up what the chains of a bridge have rejected, and reports
// whether there are any.
func (c *Conn) rejectedLocked(socket *netlink.Conn, bridge string) (sum Rejected, found bool, err error) {
	r := newChange(socket, false).reader
	for _, part := range []struct {
		m       string
		packets *uint64
	}{{firewall.LeaveMap, &sum.Leaving}, {firewall.EnterMap, &sum.Entering}} {
		chain := firewall.ChainName(part.m, bridge)
		rules, err := r.verdicts(chain, c.rejecting[chain])
		if err != nil {
			return sum, found, err
		}
		if len(rules) == 0 {
			delete(c.rejecting, chain)
			continue
		}
		var handles []uint64
		for _, rule := range rules {
			handles = append(handles, rule.handle)
			*part.packets += rule.packets
		}
		if c.rejecting == nil {
			c.rejecting = map[string][]uint64{}
		}
		c.rejecting[chain] = handles
		found = true
	}
	return sum, found, nil
}

// verdicts returns the rules of a chain that reject or drop: those with some
// handles, if all of these are still there, else those that all rules are read
// for. A handle is never given to another rule, and rules that change are made
// anew.
func (r *reader) verdicts(chain string, handles []uint64) (list []verdict, err error) {
	for _, handle := range handles {
		replies, err := r.getRule(chain, handle)
		if err != nil {
			return nil, err
		}
		if list, err = appendVerdicts(list, replies); err != nil {
			return nil, err
		}
	}
	if len(handles) > 0 && len(list) == len(handles) {
		return list, nil
	}
	replies, err := r.get(unix.NFT_MSG_GETRULE, netlink.Dump, r.table, chain)
	if err != nil {
		return nil, err
	}
	return appendVerdicts(nil, replies)
}

// appendVerdicts adds those rules of some messages that reject or drop.
func appendVerdicts(list []verdict, messages []netlink.Message) ([]verdict, error) {
	rules, err := decodeAll(messages, (*verdict).attribute)
	return append(list, slices.DeleteFunc(rules, func(v verdict) bool { return !v.final })...), err
}

// verdict is what a rule does, as far as it is counted.
type verdict struct {
	handle  uint64
	packets uint64
	final   bool // it rejects or drops
}

// attribute reads one attribute of a rule.
func (v *verdict) attribute(ad *netlink.AttributeDecoder) {
	switch ad.Type() {
	case unix.NFTA_RULE_HANDLE:
		v.handle = ad.Uint64()
	case unix.NFTA_RULE_EXPRESSIONS:
		each(ad, v.expression)
	}
}

// expression reads one expression of a rule.
func (v *verdict) expression(ad *netlink.AttributeDecoder) {
	name := ""
	each(ad, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_EXPR_NAME:
			name = ad.String()
			v.final = v.final || name == "reject"
		case unix.NFTA_EXPR_DATA:
			switch name {
			case "counter":
				dig(ad, func(ad *netlink.AttributeDecoder) { v.packets = ad.Uint64() }, unix.NFTA_COUNTER_PACKETS)
			case "immediate":
				dig(ad, func(ad *netlink.AttributeDecoder) { v.final = v.final || ad.Int32() == int32(expr.VerdictDrop) },
					unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT, unix.NFTA_VERDICT_CODE)
			}
		}
	})
}
