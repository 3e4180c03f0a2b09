package netlink

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"

	"github.com/virbr/virbr/firewall"
)

// bufferSize is what the kernel may queue for one batch, in bytes. Every message
// of a batch is acknowledged before the first acknowledgement is read, with
// about a kilobyte of the kernel's memory each.
const bufferSize = 64 << 20

// Open returns a connection for the functions of this package, for the network
// namespace of the file descriptor netns; 0: the one of the process. There is
// nothing to close: sockets live as long as one batch.
func Open(netns int) (*nftables.Conn, error) {
	buffers := func(c *netlink.Conn) error {
		if err := c.SetReadBuffer(bufferSize); err != nil {
			return fmt.Errorf("setting the read buffer of netfilter netlink: %w", err)
		}
		if err := c.SetWriteBuffer(bufferSize); err != nil {
			return fmt.Errorf("setting the write buffer of netfilter netlink: %w", err)
		}
		return nil
	}
	return nftables.New(nftables.WithNetNSFd(netns), nftables.WithSockOptions(buffers))
}

// Install makes the kernel's rules of each network's bridge exactly those of the
// network, in one batch, making the table and its base chains where they are
// missing. It is for new networks, for changed ones and for repair alike: chains
// that are as they should be keep their rules and counters. nil networks, which
// have no rules, are skipped.
func Install(conn *nftables.Conn, nets ...*firewall.Network) error {
	nets = slices.DeleteFunc(slices.Clone(nets), func(n *firewall.Network) bool { return n == nil })
	if len(nets) == 0 {
		return nil
	}
	b, err := newBatch(conn)
	if err != nil {
		return err
	}
	defer b.reader.close()
	b.declare()
	if err := b.base(); err != nil {
		return err
	}
	for _, n := range nets {
		if err := b.install(n); err != nil {
			return fmt.Errorf("preparing the rules of %q: %w", n.Bridge, err)
		}
	}
	return b.send("installing the rules of " + bridges(nets))
}

// bridges names the networks in a message.
func bridges(nets []*firewall.Network) string {
	if len(nets) == 1 {
		return fmt.Sprintf("%q", nets[0].Bridge)
	}
	return fmt.Sprintf("%q and %d more", nets[0].Bridge, len(nets)-1)
}

// batch collects the messages of one change. Messages are queued in conn only by
// send, when nothing can go wrong any more: conn cannot forget them.
type batch struct {
	conn   *nftables.Conn
	reader *reader
	table  *nftables.Table
	sets   map[string]*nftables.Set
	queue  []func() error
}

// newBatch starts a batch; its reader must be closed.
func newBatch(conn *nftables.Conn) (*batch, error) {
	r, err := newReader(conn, nftables.TableFamilyINet, firewall.TableName)
	if err != nil {
		return nil, err
	}
	b := &batch{
		conn:   conn,
		reader: r,
		table:  &nftables.Table{Family: r.family, Name: r.table},
		sets:   map[string]*nftables.Set{},
	}
	for i, m := range firewall.Base().Maps {
		b.sets[m.Name] = set(b.table, m, i)
	}
	return b, nil
}

func (b *batch) do(f func()) { b.queue = append(b.queue, func() error { f(); return nil }) }

// send queues the messages and has the kernel apply them.
func (b *batch) send(doing string) error {
	for _, f := range b.queue {
		if err := f(); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	if err := b.conn.Flush(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// declare makes the table and its maps where they are missing.
func (b *batch) declare() {
	b.do(func() { b.conn.AddTable(b.table) })
	for _, m := range firewall.Base().Maps {
		b.queue = append(b.queue, func() error { return b.conn.AddSet(b.sets[m.Name], nil) })
	}
}

// base makes the base chains, and their rules anew.
func (b *batch) base() error {
	for _, c := range firewall.Base().Chains {
		if err := b.chain(c, true); err != nil {
			return err
		}
	}
	return nil
}

// chain makes a chain with exactly its rules; flush where it may have others.
func (b *batch) chain(c firewall.Chain, flush bool) error {
	kernel, err := encodeHook(b.table, c)
	if err != nil {
		return err
	}
	b.do(func() { b.conn.AddChain(kernel) })
	if flush {
		b.do(func() { b.conn.FlushChain(kernel) })
	}
	for _, r := range c.Rules {
		exprs, err := encodeRule(r)
		if err != nil {
			return err
		}
		rule := &nftables.Rule{Table: b.table, Chain: kernel, Exprs: exprs, UserData: digest(r)}
		b.do(func() { b.conn.AddRule(rule) })
	}
	return nil
}

// install adds one network. Elements that are there already may be added again;
// ranges that are not wanted go first, as the new ones may overlap them.
func (b *batch) install(n *firewall.Network) error {
	if err := n.Validate(); err != nil {
		return err
	}
	var gone []string
	for _, m := range firewall.Base().Maps {
		name := firewall.ChainName(m.Name, n.Bridge)
		rules, exists, err := b.reader.rules(name)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(n.Chains, func(c firewall.Chain) bool { return c.Name == name })
		if i >= 0 && exists && same(n.Chains[i].Rules, rules) {
			continue
		}
		if exists && m.Interval() {
			if err := b.delRanges(m.Name, name); err != nil {
				return err
			}
		}
		if i < 0 {
			if exists {
				gone = append(gone, name)
			}
			continue
		}
		if err := b.chain(n.Chains[i], exists); err != nil {
			return err
		}
	}
	for _, e := range n.Elements {
		b.queue = append(b.queue, func() error { return b.conn.SetAddElements(b.sets[e.Map], encodeElement(e)) })
	}
	for _, name := range gone {
		b.delChain(name)
	}
	return nil
}

// same reports whether a chain's rules are those wanted, by their digests.
func same(want []firewall.Rule, have []kernelRule) bool {
	return slices.EqualFunc(want, have, func(w firewall.Rule, h kernelRule) bool {
		return bytes.Equal(digest(w), h.userdata)
	})
}

// delRanges deletes the elements of an interval map that lead to a chain.
func (b *batch) delRanges(m, chain string) error {
	elements, err := b.reader.ranges(m, chain)
	if err != nil || len(elements) == 0 {
		return err
	}
	b.queue = append(b.queue, func() error { return b.conn.SetDeleteElements(b.sets[m], elements) })
	return nil
}

// delChain deletes a chain and its rules.
func (b *batch) delChain(name string) {
	b.do(func() { b.conn.DelChain(&nftables.Chain{Table: b.table, Name: name}) })
}
