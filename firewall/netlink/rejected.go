package netlink

import (
	"context"
	"fmt"

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
// rules are left out. It asks chain by chain, so that changes need not wait until
// the counters of all rules of a thousand networks are read.
func ReadRejected(ctx context.Context, conn *Conn, bridges []string) (map[string]Rejected, error) {
	list := make(map[string]Rejected, len(bridges))
	for _, bridge := range bridges {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var sum Rejected
		found := false
		err := conn.use(func(socket *netlink.Conn) error {
			r := newChange(socket, false).reader
			for m, packets := range map[string]*uint64{
				firewall.LeaveMap: &sum.Leaving, firewall.LocalMap: &sum.Leaving, firewall.EnterMap: &sum.Entering,
			} {
				n, ok, err := r.rejected(firewall.ChainName(m, bridge))
				if err != nil {
					return err
				}
				*packets += n
				found = found || ok
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading the counters of the rules of %q: %w", bridge, err)
		}
		if found {
			list[bridge] = sum
		}
	}
	return list, nil
}

// rejected adds up the counters of a chain's rules that reject or drop, and
// reports whether there is such a chain with rules.
func (r *reader) rejected(chain string) (packets uint64, ok bool, err error) {
	replies, err := r.get(unix.NFT_MSG_GETRULE, netlink.Dump, r.table, chain)
	for _, m := range replies {
		var rule verdict
		if err := decode(m, func(ad *netlink.AttributeDecoder) {
			if ad.Type() == unix.NFTA_RULE_EXPRESSIONS {
				each(ad, rule.expression)
			}
		}); err != nil {
			return 0, false, err
		}
		if rule.final {
			packets += rule.packets
		}
	}
	return packets, len(replies) > 0, err
}

// verdict is what a rule does, as far as it is counted.
type verdict struct {
	packets uint64
	final   bool // it rejects or drops
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
