package netlink

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// element is one element of a verdict map as the kernel has it: a range is two,
// its first key and the first one after it, which is an end and leads nowhere.
type element struct {
	key   []byte
	end   bool
	chain string // to jump to
}

// encodeElement returns what an element is to the kernel. A range that reaches to
// the last key has no end.
func encodeElement(e firewall.Element) []element {
	if !e.Prefix.IsValid() {
		return []element{{key: deviceKey(e.Name), chain: e.Chain}}
	}
	out := []element{{key: e.Prefix.Addr().AsSlice(), chain: e.Chain}}
	if end := after(e.Prefix); end.IsValid() {
		out = append(out, element{key: end.AsSlice(), end: true})
	}
	return out
}

// deviceKey returns a device's name as the kernel compares it.
func deviceKey(name string) []byte {
	key := make([]byte, unix.IFNAMSIZ)
	copy(key, name)
	return key
}

// after returns the first address after a prefix; invalid: there is none.
func after(p netip.Prefix) netip.Addr { return firewall.LastOf(p).Next() }

// keyTypes are nf_tables' types of keys.
var keyTypes = map[firewall.KeyType][]nftables.SetDatatype{
	firewall.KeyName:    {nftables.TypeIFName},
	firewall.KeyIPv4:    {nftables.TypeIPAddr},
	firewall.KeyIPv6:    {nftables.TypeIP6Addr},
	firewall.KeyListen4: {nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService},
	firewall.KeyListen6: {nftables.TypeIP6Addr, nftables.TypeInetProto, nftables.TypeInetService},
	firewall.KeyPass4:   {nftables.TypeIPAddr, nftables.TypeEtherAddr, nftables.TypeIFName},
	firewall.KeyPass6:   {nftables.TypeIP6Addr, nftables.TypeEtherAddr, nftables.TypeIFName},
	firewall.KeyMAC:     {nftables.TypeEtherAddr, nftables.TypeIFName},
	firewall.KeyPort:    {nftables.TypeInetProto, nftables.TypeInetService},

	firewall.KeyOwner4:     {nftables.TypeIPAddr, nftables.TypeIPAddr},
	firewall.KeyOwner6:     {nftables.TypeIP6Addr, nftables.TypeIP6Addr},
	firewall.KeyUplink4:    {nftables.TypeIPAddr, nftables.TypeIFName},
	firewall.KeyUplink6:    {nftables.TypeIP6Addr, nftables.TypeIFName},
	firewall.KeyReach4:     {nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeIPAddr, nftables.TypeInetService},
	firewall.KeyReach6:     {nftables.TypeIP6Addr, nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeIP6Addr, nftables.TypeInetService},
	firewall.KeyReachAny4:  {nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeIPAddr, nftables.TypeInetService},
	firewall.KeyFrom4:      {nftables.TypeIPAddr, nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService},
	firewall.KeyFrom6:      {nftables.TypeIP6Addr, nftables.TypeIP6Addr, nftables.TypeInetProto, nftables.TypeInetService},
	firewall.KeyFromReach4: {nftables.TypeIPAddr, nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeIPAddr},
	firewall.KeyFromReach6: {nftables.TypeIP6Addr, nftables.TypeIP6Addr, nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeIP6Addr},
	firewall.KeyReachAny6:  {nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeIP6Addr, nftables.TypeInetService},
}

// valueTypes are those of what is found.
var valueTypes = map[firewall.ValueType][]nftables.SetDatatype{
	firewall.ValueIPv4: {nftables.TypeIPAddr},
	firewall.ValueIPv6: {nftables.TypeIP6Addr},
	firewall.ValueTo4:  {nftables.TypeIPAddr, nftables.TypeInetService},
	firewall.ValueTo6:  {nftables.TypeIP6Addr, nftables.TypeInetService},
}

// compound returns the number and the length of a type of several parts. Each
// begins at a multiple of four bytes.
func compound(parts []nftables.SetDatatype) (magic, size uint32) {
	for _, t := range parts {
		magic = magic<<nftables.SetConcatTypeBits | t.GetNFTMagic()
		size += (t.Bytes + 3) &^ 3
	}
	if len(parts) == 1 {
		size = parts[0].Bytes
	}
	return magic, size
}

// addMap makes a map or a set; one that exists stays, with its elements. id is
// its number within the batch. nft needs to be told the byte order of the keys,
// or it prints names empty.
func (b *batch) addMap(m firewall.Map, id int) {
	const hostOrder, bigEndian = 1, 2
	order, flags := uint32(bigEndian), uint32(0)
	if m.Key == firewall.KeyName {
		order = hostOrder
	}
	if m.Ranges {
		flags |= unix.NFT_SET_INTERVAL
	}
	if m.Value != firewall.ValueNone {
		flags |= unix.NFT_SET_MAP
	}
	if m.Size > 0 {
		flags |= unix.NFT_SET_EVAL | unix.NFT_SET_TIMEOUT
	}
	parts := keyTypes[m.Key]
	key, size := compound(parts)
	if m.Ranges && len(parts) > 1 {
		flags |= setConcat
	}
	b.add(unix.NFT_MSG_NEWSET, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_SET_TABLE, b.table)
		ae.String(unix.NFTA_SET_NAME, m.Name)
		ae.Uint32(unix.NFTA_SET_FLAGS, flags)
		ae.Uint32(unix.NFTA_SET_KEY_TYPE, key)
		ae.Uint32(unix.NFTA_SET_KEY_LEN, size)
		data := userdata.AppendUint32(nil, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, order)
		switch m.Value {
		case firewall.ValueNone:
		case firewall.ValueVerdict:
			ae.Uint32(unix.NFTA_SET_DATA_TYPE, unix.NFT_DATA_VERDICT)
			ae.Uint32(unix.NFTA_SET_DATA_LEN, 0)
		default:
			value, size := compound(valueTypes[m.Value])
			ae.Uint32(unix.NFTA_SET_DATA_TYPE, value)
			ae.Uint32(unix.NFTA_SET_DATA_LEN, size)
			data = userdata.AppendUint32(data, userdata.NFTNL_UDATA_SET_DATABYTEORDER, bigEndian)
		}
		if flags&setConcat != 0 {
			ae.Nested(unix.NFTA_SET_DESC, describe(parts))
		}
		if m.Size > 0 {
			ae.Uint64(unix.NFTA_SET_TIMEOUT, uint64(m.Timeout)*1000)
			ae.Nested(unix.NFTA_SET_DESC, func(ae *netlink.AttributeEncoder) error {
				ae.Uint32(unix.NFTA_SET_DESC_SIZE, uint32(m.Size))
				return nil
			})
		}
		if m.Counter {
			ae.Bytes(unix.NLA_F_NESTED|setExpr, b.marshal(&expr.Counter{})[0])
		}
		ae.Uint32(unix.NFTA_SET_ID, uint32(id)+1)
		ae.Bytes(unix.NFTA_SET_USERDATA, data)
	})
}

// setExpr is NFTA_SET_EXPR: what each element gets, Linux 5.7
// (linux/netfilter/nf_tables.h).
const setExpr = 0x11

// setConcat is NFT_SET_CONCAT: ranges of keys of several parts, Linux 5.6
// (linux/netfilter/nf_tables.h).
const setConcat = 0x80

// describe tells how long each part of a key is, in bytes, which the kernel must know
// where parts are ranges.
func describe(parts []nftables.SetDatatype) func(*netlink.AttributeEncoder) error {
	const concat, field, length = 2, 1, 1 // NFTA_SET_DESC_CONCAT, NFTA_LIST_ELEM, NFTA_SET_FIELD_LEN
	return func(ae *netlink.AttributeEncoder) error {
		ae.Nested(concat, func(ae *netlink.AttributeEncoder) error {
			for _, t := range parts {
				ae.Nested(field, func(ae *netlink.AttributeEncoder) error {
					ae.Uint32(length, t.Bytes)
					return nil
				})
			}
			return nil
		})
		return nil
	}
}

// delMap deletes a map or a set with its elements. It must exist, and no rule may
// look into it.
func (b *batch) delMap(name string) {
	b.add(unix.NFT_MSG_DELSET, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_SET_TABLE, b.table)
		ae.String(unix.NFTA_SET_NAME, name)
	})
}

// addElements adds elements to a map; those that are there already stay.
func (b *batch) addElements(m string, elements []element) {
	addMembers(b, unix.NFT_MSG_NEWSETELEM, netlink.Create, m, elements, element.encode)
}

// delElements deletes elements of a map, which must be there.
func (b *batch) delElements(m string, elements []element) {
	addMembers(b, unix.NFT_MSG_DELSETELEM, 0, m, elements, element.encode)
}

func (e element) encode(ae *netlink.AttributeEncoder) {
	if e.end {
		ae.Uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	}
	encodeValue(ae, unix.NFTA_SET_ELEM_KEY, e.key)
	if !e.end {
		encodeJump(ae, e.chain)
	}
}

// elements returns the elements of a map that lead to a chain. It reads the
// whole map, which may be large.
func (r *reader) elements(m, chain string) ([]element, error) {
	var all []element
	err := r.members(m, func(ad *netlink.AttributeDecoder) { all = append(all, decodeElement(ad)) })
	return pick(all, chain), wrap(err, "reading map %q", m)
}

// leads reports whether a map has an element. Asked for the end of a range the
// kernel may name another one's, so it is asked where the range's last key leads,
// and the one after it.
func (r *reader) leads(e firewall.Element) (bool, error) {
	doing := fmt.Sprintf("looking for an element of map %q", e.Map)
	first := encodeElement(e)[0]
	keys, want := []element{first}, []element{first}
	end := netip.Addr{}
	if e.Prefix.IsValid() {
		if end = after(e.Prefix); end.IsValid() {
			keys, want = append(keys, element{key: end.Prev().AsSlice()}), append(want, first)
		}
	}
	have, err := r.ask(e.Map, keys)
	if err != nil || !slices.EqualFunc(want, have, element.equal) || !end.IsValid() {
		return err == nil && slices.EqualFunc(want, have, element.equal), wrap(err, "%s", doing)
	}
	have, err = r.ask(e.Map, []element{{key: end.AsSlice()}})
	return len(have) == 0 || !have[0].equal(first), wrap(err, "%s", doing)
}

// ask asks a map for some elements, and returns none if it lacks one.
func (r *reader) ask(m string, elements []element) (have []element, err error) {
	b := batch{family: r.family, table: r.table}
	addMembers(&b, unix.NFT_MSG_GETSETELEM, netlink.Acknowledge, m, elements, element.encode)
	if b.err != nil {
		return nil, b.err
	}
	request, err := r.conn.Send(b.msgs[0])
	for err == nil {
		var replies []netlink.Message
		replies, err = r.conn.Receive()
		if errors.Is(err, unix.ENOENT) {
			return nil, nil
		}
		for _, m := range replies {
			if m.Header.Type == netlink.Error && m.Header.Sequence == request.Header.Sequence {
				return have, nil // its acknowledgement
			}
			if err == nil {
				err = decodeMembers(m, func(ad *netlink.AttributeDecoder) { have = append(have, decodeElement(ad)) })
			}
		}
	}
	return nil, err
}

func (e element) equal(o element) bool {
	return bytes.Equal(e.key, o.key) && e.end == o.end && e.chain == o.chain
}

// pick returns the elements that lead to a chain, each with the one that ends it.
// The kernel tells ends apart from beginnings, but not what they end: ranges do
// not overlap, so an end belongs to the beginning before it.
func pick(all []element, chain string) []element {
	slices.SortFunc(all, func(a, b element) int {
		switch c := bytes.Compare(a.key, b.key); {
		case c != 0 || a.end == b.end:
			return c
		case a.end:
			return -1
		}
		return 1
	})
	var out []element
	for i, e := range all {
		if e.end || e.chain != chain {
			continue
		}
		out = append(out, e)
		if i+1 < len(all) && all[i+1].end {
			out = append(out, all[i+1])
		}
	}
	return out
}

// decodeElement reads one element of a verdict map.
func decodeElement(list *netlink.AttributeDecoder) element {
	var e element
	each(list, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_SET_ELEM_FLAGS:
			e.end = ad.Uint32()&unix.NFT_SET_ELEM_INTERVAL_END != 0
		case unix.NFTA_SET_ELEM_KEY:
			dig(ad, func(ad *netlink.AttributeDecoder) { e.key = ad.Bytes() }, unix.NFTA_DATA_VALUE)
		case unix.NFTA_SET_ELEM_DATA:
			dig(ad, func(ad *netlink.AttributeDecoder) { e.chain = ad.String() }, unix.NFTA_DATA_VERDICT, unix.NFTA_VERDICT_CHAIN)
		}
	})
	return e
}
