package netlink

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall/coexist"
)

// libvirtTable is what libvirt's nftables backend has, one for each family.
const libvirtTable = "libvirt_network"

// libvirtChains are what libvirt's iptables backend has in the tables of
// iptables-nft, in both families. Those of its network filters for guests' cards
// have other names; the hypervisor's daemon goes on caring for them.
var libvirtChains = map[string][]string{
	"filter": {"LIBVIRT_INP", "LIBVIRT_OUT", "LIBVIRT_FWI", "LIBVIRT_FWO", "LIBVIRT_FWX"},
	"nat":    {"LIBVIRT_PRT"},
	"mangle": {"LIBVIRT_PRT"},
}

// IsLibvirtChain reports whether libvirt's iptables backend makes a chain of
// that name in a table of iptables.
func IsLibvirtChain(table, chain string) bool { return slices.Contains(libvirtChains[table], chain) }

// Dropped is what [DropLibvirt] found and removed.
type Dropped struct {
	Parts []string // "table ip libvirt_network", "chain ip6 filter LIBVIRT_FWI"

	// Input: one of the parts let guests reach DHCP and DNS of the host.
	Input bool
	// Closed are the base chains that drop what comes to the host unless some
	// rule accepts it: "chain ip filter INPUT".
	Closed []string
}

// DropLibvirt removes the firewall rules of libvirt's network driver, of all its
// networks, in one batch: the tables of its nftables backend, the chains of its
// iptables backend and every jump to those. Tables and chains that iptables may
// have for others stay. It removes nothing and costs little where there are none.
//
// Rules that the older iptables (legacy) made are not here.
func DropLibvirt(conn *Conn) (Dropped, error) {
	var found Dropped
	err := conn.attempt(func(socket *netlink.Conn, _ bool) error {
		d := dropping{conn: socket}
		for _, family := range []byte{unix.NFPROTO_INET, unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
			if err := d.family(family); err != nil {
				return err
			}
		}
		found = d.found
		return wrap(d.batch.send(socket), "removing libvirt's rules")
	})
	if err != nil {
		return Dropped{}, err
	}
	return found, nil
}

// dropping collects the batch of [DropLibvirt].
type dropping struct {
	conn  *netlink.Conn
	batch batch
	found Dropped
}

// families names address families as nft does.
var families = map[byte]string{
	unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6",
	unix.NFPROTO_BRIDGE: "bridge", unix.NFPROTO_NETDEV: "netdev", unix.NFPROTO_ARP: "arp",
}

// family finds what there is of one address family.
func (d *dropping) family(family byte) error {
	r := reader{conn: d.conn, family: family}
	where := accepts()
	tables, err := r.surveyChains(&where)
	if err != nil {
		return err
	}
	d.batch.family = family
	name := families[family]
	for _, t := range tables {
		var theirs []string
		for _, c := range t.Chains {
			label := "chain " + name + " " + t.Name + " " + c.Name
			switch {
			case c.Hook == coexist.Input && c.Drop:
				d.found.Closed = append(d.found.Closed, label)
			case family != unix.NFPROTO_INET && IsLibvirtChain(t.Name, c.Name):
				theirs = append(theirs, c.Name)
				d.found.Parts = append(d.found.Parts, label)
				d.found.Input = d.found.Input || c.Name == "LIBVIRT_INP"
			}
		}
		if len(theirs) == 0 {
			continue
		}
		if err := d.chains(reader{conn: d.conn, family: family, table: t.Name}, theirs); err != nil {
			return err
		}
	}
	if family == unix.NFPROTO_INET {
		return nil
	}
	r.table = libvirtTable
	use, err := r.use()
	if err == nil && use >= 0 {
		d.batch.table = libvirtTable
		d.batch.delTable()
		d.found.Parts = append(d.found.Parts, "table "+name+" "+libvirtTable)
	}
	return err
}

// chains deletes chains of a table of iptables, after all that leads to them.
func (d *dropping) chains(r reader, names []string) error {
	jumps, err := r.jumps()
	if err != nil {
		return err
	}
	d.batch.table = r.table
	for _, j := range jumps {
		if slices.Contains(names, j.to) && !slices.Contains(names, j.chain) {
			d.batch.delRule(j.chain, j.handle)
		}
	}
	for _, name := range names {
		d.batch.delRule(name, 0)
	}
	for _, name := range names {
		d.batch.delChain(name)
	}
	return nil
}

// jump is a rule that leads to another chain.
type jump struct {
	chain  string
	handle uint64
	to     string
}

// jumps returns the rules of the table that lead to other chains.
func (r *reader) jumps() ([]jump, error) {
	replies, err := r.get(unix.NFT_MSG_GETRULE, netlink.Dump, r.table)
	if err != nil {
		return nil, fmt.Errorf("reading the rules of table %q: %w", r.table, err)
	}
	list, err := decodeAll(replies, func(j *jump, ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_RULE_CHAIN:
			j.chain = ad.String()
		case unix.NFTA_RULE_HANDLE:
			j.handle = ad.Uint64()
		case unix.NFTA_RULE_EXPRESSIONS:
			each(ad, func(ad *netlink.AttributeDecoder) { j.to = cmp.Or(leadsTo(ad), j.to) })
		}
	})
	return slices.DeleteFunc(list, func(j jump) bool { return j.to == "" }), wrap(err, "reading the rules of table %q", r.table)
}

// leadsTo returns the chain that an expression of a rule leads to; "": none. The
// kernel tells an expression's kind before what that kind alone gives a meaning.
func leadsTo(expression *netlink.AttributeDecoder) (chain string) {
	immediate := false
	each(expression, func(ad *netlink.AttributeDecoder) {
		switch {
		case ad.Type() == unix.NFTA_EXPR_NAME:
			immediate = ad.String() == "immediate"
		case ad.Type() == unix.NFTA_EXPR_DATA && immediate:
			dig(ad, func(ad *netlink.AttributeDecoder) { chain = ad.String() },
				unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT, unix.NFTA_VERDICT_CHAIN)
		}
	})
	return chain
}
