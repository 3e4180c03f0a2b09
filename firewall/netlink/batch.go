package netlink

import (
	"fmt"

	"github.com/google/nftables"

	"github.com/virbr/virbr/firewall"
)

// batch collects the messages of one change of our table. Messages are queued in
// the connection only by send, when nothing of ours can go wrong any more: it
// cannot forget them.
type batch struct {
	conn   *nftables.Conn
	reader *reader
	table  *nftables.Table
	sets   map[string]*nftables.Set
	queue  []func() error

	// exact: what is deleted was read from the kernel's maps, all of them.
	// Otherwise it is what should be there, which is much cheaper to know; if
	// it is not there, the kernel refuses the batch.
	exact bool
}

func newBatch(conn *Conn, exact bool) *batch {
	r := conn.reader(nftables.TableFamilyINet, firewall.TableName)
	b := &batch{
		conn:   conn.changes,
		reader: r,
		table:  &nftables.Table{Family: r.family, Name: r.table},
		sets:   map[string]*nftables.Set{},
		exact:  exact,
	}
	for i, m := range firewall.Base().Maps {
		b.sets[m.Name] = set(b.table, m, i)
	}
	return b
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
