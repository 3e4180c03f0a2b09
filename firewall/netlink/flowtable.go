package netlink

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// The attributes of flowtables (linux/netfilter/nf_tables.h).
const (
	flowtableTable = 1
	flowtableName  = 2
	flowtableHook  = 3

	flowtableHookNumber   = 1
	flowtableHookPriority = 2
	flowtableHookDevices  = 3

	deviceName = 1
)

// ingress is the number of the one hook that a flowtable can have
// (NF_NETDEV_INGRESS).
const ingress = 0

// addFlowtable makes a flowtable, or adds links to one that exists. Those that it
// has already may be given again (Linux 5.8).
func (b *batch) addFlowtable(f firewall.Flowtable) {
	b.add(unix.NFT_MSG_NEWFLOWTABLE, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(flowtableTable, b.table)
		ae.String(flowtableName, f.Name)
		ae.Nested(flowtableHook, func(ae *netlink.AttributeEncoder) error {
			ae.Uint32(flowtableHookNumber, ingress)
			ae.Uint32(flowtableHookPriority, 0)
			if len(f.Links) > 0 {
				ae.Nested(flowtableHookDevices, func(ae *netlink.AttributeEncoder) error {
					for _, link := range f.Links {
						ae.String(deviceName, link)
					}
					return nil
				})
			}
			return nil
		})
	})
}

// delFlowtable deletes a flowtable. No rule may name it.
func (b *batch) delFlowtable(name string) {
	b.add(unix.NFT_MSG_DELFLOWTABLE, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(flowtableTable, b.table)
		ae.String(flowtableName, name)
	})
}

// flowtable returns the links of a flowtable, and whether there is such a one.
func (r *reader) flowtable(name string) (links []string, ok bool, err error) {
	replies, err := r.get(unix.NFT_MSG_GETFLOWTABLE, 0, r.table, name)
	for _, m := range replies {
		ok = true
		err = errors.Join(err, decode(m, func(ad *netlink.AttributeDecoder) {
			if ad.Type() == flowtableHook {
				dig(ad, func(ad *netlink.AttributeDecoder) { links = append(links, ad.String()) }, flowtableHookDevices, deviceName)
			}
		}))
	}
	return links, ok, wrap(err, "reading flowtable %q", name)
}

// interrupt has every connection that goes by the flowtable pass the rules again:
// the flowtable is made anew.
func (c *change) interrupt(nets []*firewall.Network) error {
	links, ok, err := c.reader.flowtable(firewall.FlowtableName)
	if err != nil || !ok {
		return err
	}
	for _, n := range nets {
		links = append(links, n.Fast...)
	}
	slices.Sort(links)
	for _, part := range firewall.Parts() {
		if part.Marker != firewall.FastMap {
			continue
		}
		c.delRule(firewall.FlowChain, 0)
		c.delFlowtable(firewall.FlowtableName)
		c.addFlowtable(firewall.Flowtable{Name: firewall.FlowtableName, Links: slices.Compact(links)})
		for _, chain := range part.Chains {
			if chain.Name == firewall.FlowChain {
				c.chain(chain, records(chain, nil), false)
			}
		}
	}
	return nil
}

// Flowtables reports whether the kernel has flowtables, and rules that use them.
// It makes one, of no link, in a table of its own, and deletes it in the same
// batch.
func Flowtables(conn *Conn) (bool, error) {
	const table, flowtable, chain = firewall.TableName + "-probe", "probe", "probe"
	err := conn.use(func(socket *netlink.Conn) error {
		b := batch{family: unix.NFPROTO_INET, table: table}
		b.addTable()
		b.addFlowtable(firewall.Flowtable{Name: flowtable})
		b.addChain(firewall.Chain{Name: chain})
		e := encoder{batch: &b}
		e.flowAdd(flowtable)
		b.addRule(chain, rule{exprs: e.exprs})
		b.delTable()
		return b.send(socket)
	})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPROTONOSUPPORT):
		return false, nil
	}
	return false, fmt.Errorf("asking the kernel for flowtables: %w", err)
}

// flowAdd is encoded here because expr.FlowOffload leaves out the final zero.
func (e *encoder) flowAdd(flowtable string) {
	e.raw("flow_offload", func(ae *netlink.AttributeEncoder) { ae.String(1, flowtable) }) // NFTA_FLOW_TABLE_NAME
}
