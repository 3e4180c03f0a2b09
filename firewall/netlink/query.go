package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// reader asks the kernel about a table.
type reader struct {
	conn   *netlink.Conn
	family byte
	table  string
	absent bool // there is no such table: nothing needs to be asked
}

// maxDumps is how often a dump is tried that others' changes interrupt.
const maxDumps = 8

// get sends one request and returns the replies, none if what it names does not
// exist. The names are attributes 1, 2, ...: in nf_tables' requests the table
// comes first and its chain or set next; "" is left out.
func (r *reader) get(msg uint16, flags netlink.HeaderFlags, names ...string) ([]netlink.Message, error) {
	if r.absent {
		return nil, nil
	}
	var attrs []netlink.Attribute
	for i, name := range names {
		if name != "" {
			attrs = append(attrs, netlink.Attribute{Type: uint16(i + 1), Data: append([]byte(name), 0)})
		}
	}
	return r.request(msg, flags, attrs)
}

// getRule returns the message about one rule; none: there is no such rule.
func (r *reader) getRule(chain string, handle uint64) ([]netlink.Message, error) {
	return r.request(unix.NFT_MSG_GETRULE, 0, []netlink.Attribute{
		{Type: unix.NFTA_RULE_TABLE, Data: append([]byte(r.table), 0)},
		{Type: unix.NFTA_RULE_CHAIN, Data: append([]byte(chain), 0)},
		{Type: unix.NFTA_RULE_HANDLE, Data: binary.BigEndian.AppendUint64(nil, handle)},
	})
}

// request is get with attributes.
func (r *reader) request(msg uint16, flags netlink.HeaderFlags, attrs []netlink.Attribute) ([]netlink.Message, error) {
	b, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return nil, err
	}
	req := message(r.family, msg, flags, b)
	for range maxDumps {
		replies, err := r.conn.Execute(req)
		switch {
		case errors.Is(err, unix.ENOENT):
			return nil, nil
		case err != nil:
			return nil, err
		case !slices.ContainsFunc(replies, interrupted):
			return replies, nil
		}
	}
	return nil, fmt.Errorf("dump interrupted %d times: %w", maxDumps, unix.EINTR)
}

// interrupted reports whether the ruleset changed while it was dumped, so that
// something may be missing or told twice.
func interrupted(m netlink.Message) bool {
	return m.Header.Flags&netlink.DumpInterrupted != 0
}

// decode calls f with the attributes of a message.
func decode(m netlink.Message, f func(*netlink.AttributeDecoder)) error {
	if len(m.Data) < 4 {
		return fmt.Errorf("netlink message of %d bytes", len(m.Data))
	}
	ad, err := netlink.NewAttributeDecoder(m.Data[4:])
	if err != nil {
		return err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		f(ad)
	}
	return ad.Err()
}

// decodeAll decodes each message to a value, whose attributes read takes.
func decodeAll[T any](messages []netlink.Message, read func(v *T, ad *netlink.AttributeDecoder)) ([]T, error) {
	list := make([]T, len(messages))
	for i, m := range messages {
		if err := decode(m, func(ad *netlink.AttributeDecoder) { read(&list[i], ad) }); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// members calls read with each element of a map or set. It reads the whole, which may be
// large.
func (r *reader) members(set string, read func(*netlink.AttributeDecoder)) error {
	replies, err := r.get(unix.NFT_MSG_GETSETELEM, netlink.Dump, r.table, set)
	for _, m := range replies {
		if err == nil {
			err = decodeMembers(m, read)
		}
	}
	return err
}

// decodeMembers calls read with each element of a message.
func decodeMembers(m netlink.Message, read func(*netlink.AttributeDecoder)) error {
	return decode(m, func(ad *netlink.AttributeDecoder) {
		if ad.Type() == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			each(ad, read)
		}
	})
}

// each calls f with the attributes nested in the current one.
func each(ad *netlink.AttributeDecoder, f func(*netlink.AttributeDecoder)) {
	ad.Nested(func(nested *netlink.AttributeDecoder) error {
		nested.ByteOrder = binary.BigEndian
		for nested.Next() {
			f(nested)
		}
		return nested.Err()
	})
}

// dig calls f with what is at the end of a path of nested attributes, if there
// is such a thing.
func dig(ad *netlink.AttributeDecoder, f func(*netlink.AttributeDecoder), path ...uint16) {
	if len(path) == 0 {
		f(ad)
		return
	}
	each(ad, func(ad *netlink.AttributeDecoder) {
		if ad.Type() == path[0] {
			dig(ad, f, path[1:]...)
		}
	})
}

// use returns how many chains, maps and other objects the table holds; -1: there
// is no such table.
func (r *reader) use() (int, error) {
	replies, err := r.get(unix.NFT_MSG_GETTABLE, 0, r.table)
	if err != nil {
		return 0, fmt.Errorf("reading table %q: %w", r.table, err)
	}
	use := -1
	for _, m := range replies {
		err := decode(m, func(ad *netlink.AttributeDecoder) {
			if ad.Type() == unix.NFTA_TABLE_USE {
				use = int(ad.Uint32())
			}
		})
		if err != nil {
			return 0, fmt.Errorf("reading table %q: %w", r.table, err)
		}
	}
	return use, nil
}

// chains returns the names of the table's chains.
func (r *reader) chains() ([]string, error) {
	names, err := r.names(unix.NFT_MSG_GETCHAIN, unix.NFTA_CHAIN_TABLE, unix.NFTA_CHAIN_NAME)
	return names, wrap(err, "listing chains")
}

// maps returns the names of the table's maps and sets.
func (r *reader) maps() ([]string, error) {
	names, err := r.names(unix.NFT_MSG_GETSET, unix.NFTA_SET_TABLE, unix.NFTA_SET_NAME)
	return names, wrap(err, "listing maps")
}

// names returns the names of one kind of the table's objects.
func (r *reader) names(msg, tableAttr, nameAttr uint16) ([]string, error) {
	replies, err := r.get(msg, netlink.Dump)
	if err != nil {
		return nil, err
	}
	type object struct{ table, name string }
	list, err := decodeAll(replies, func(o *object, ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case tableAttr:
			o.table = ad.String()
		case nameAttr:
			o.name = ad.String()
		}
	})
	var names []string
	for _, o := range list {
		if o.table == r.table {
			names = append(names, o.name)
		}
	}
	return names, err
}

// kernelRule is what a chain's dump says of a rule.
type kernelRule struct {
	handle   uint64
	userdata []byte
}

// exists reports whether the table has a chain.
func (r *reader) exists(chain string) (bool, error) {
	replies, err := r.get(unix.NFT_MSG_GETCHAIN, 0, r.table, "", chain)
	return len(replies) > 0, wrap(err, "looking for chain %q", chain)
}

// rules returns the rules of a chain, and whether there is such a chain.
func (r *reader) rules(chain string) (rules []kernelRule, ok bool, err error) {
	ok, err = r.exists(chain)
	if err != nil || !ok {
		return nil, false, err
	}
	replies, err := r.get(unix.NFT_MSG_GETRULE, netlink.Dump, r.table, chain)
	if err == nil {
		rules, err = decodeAll(replies, func(rule *kernelRule, ad *netlink.AttributeDecoder) {
			switch ad.Type() {
			case unix.NFTA_RULE_HANDLE:
				rule.handle = ad.Uint64()
			case unix.NFTA_RULE_USERDATA:
				rule.userdata = ad.Bytes()
			}
		})
	}
	return rules, err == nil, wrap(err, "reading chain %q", chain)
}

// wrap adds what was being done to an error that may be nil.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
