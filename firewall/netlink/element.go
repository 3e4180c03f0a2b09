package netlink

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// set returns the kernel's description of a map. The set ID ties the messages of
// one batch together; each map has its own.
func set(t *nftables.Table, m firewall.Map, id int) *nftables.Set {
	s := &nftables.Set{
		Table:    t,
		ID:       uint32(id + 1),
		Name:     m.Name,
		IsMap:    true,
		Interval: m.Interval(),
		DataType: nftables.TypeVerdict,
	}
	switch m.Key {
	case firewall.KeyName:
		s.KeyType = nftables.TypeIFName
		s.KeyByteOrder = binaryutil.NativeEndian // nft prints no keys without it
	case firewall.KeyIPv4:
		s.KeyType = nftables.TypeIPAddr
	case firewall.KeyIPv6:
		s.KeyType = nftables.TypeIP6Addr
	}
	return s
}

// encodeElement returns an element as the kernel has it: a range is two, its
// first key and the first one after it, unless it reaches to the last key.
func encodeElement(e firewall.Element) []nftables.SetElement {
	do := &expr.Verdict{Kind: expr.VerdictJump, Chain: e.Chain}
	if !e.Prefix.IsValid() {
		return []nftables.SetElement{{Key: deviceKey(e.Name), VerdictData: do}}
	}
	out := []nftables.SetElement{{Key: e.Prefix.Addr().AsSlice(), VerdictData: do}}
	if end := after(e.Prefix); end.IsValid() {
		out = append(out, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
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
func after(p netip.Prefix) netip.Addr {
	last := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(last)
	return addr.Next()
}

// elements returns the elements of a map that lead to a chain, as the kernel has
// them. It reads the whole map, which may be large.
func (r *reader) elements(m, chain string) ([]nftables.SetElement, error) {
	replies, err := r.get(unix.NFT_MSG_GETSETELEM, netlink.Dump, r.table, m)
	if err != nil {
		return nil, wrap(err, "reading map %q", m)
	}
	var all []nftables.SetElement
	for _, msg := range replies {
		err := decode(msg, func(ad *netlink.AttributeDecoder) {
			if ad.Type() == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				ad.Nested(func(list *netlink.AttributeDecoder) error {
					for list.Next() {
						list.Nested(func(el *netlink.AttributeDecoder) error {
							all = append(all, decodeElement(el))
							return nil
						})
					}
					return nil
				})
			}
		})
		if err != nil {
			return nil, wrap(err, "reading map %q", m)
		}
	}
	return pick(all, chain), nil
}

// pick returns the elements that lead to a chain, each with the one that ends it.
// The kernel tells ends apart from beginnings, but not what they end: ranges do
// not overlap, so an end belongs to the beginning before it.
func pick(all []nftables.SetElement, chain string) []nftables.SetElement {
	slices.SortFunc(all, func(a, b nftables.SetElement) int {
		switch c := bytes.Compare(a.Key, b.Key); {
		case c != 0 || a.IntervalEnd == b.IntervalEnd:
			return c
		case a.IntervalEnd:
			return -1
		}
		return 1
	})
	var out []nftables.SetElement
	for i, e := range all {
		if e.IntervalEnd || e.VerdictData == nil || e.VerdictData.Chain != chain {
			continue
		}
		out = append(out, e)
		if i+1 < len(all) && all[i+1].IntervalEnd {
			out = append(out, all[i+1])
		}
	}
	return out
}

// decodeElement reads one element of a verdict map.
func decodeElement(ad *netlink.AttributeDecoder) nftables.SetElement {
	var e nftables.SetElement
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_SET_ELEM_FLAGS:
			e.IntervalEnd = ad.Uint32()&unix.NFT_SET_ELEM_INTERVAL_END != 0
		case unix.NFTA_SET_ELEM_KEY:
			ad.Nested(func(key *netlink.AttributeDecoder) error {
				for key.Next() {
					if key.Type() == unix.NFTA_DATA_VALUE {
						e.Key = key.Bytes()
					}
				}
				return nil
			})
		case unix.NFTA_SET_ELEM_DATA:
			ad.Nested(func(data *netlink.AttributeDecoder) error {
				e.VerdictData = decodeVerdict(data)
				return nil
			})
		}
	}
	return e
}

// decodeVerdict reads the verdict of a map's element; nil: it has none.
func decodeVerdict(ad *netlink.AttributeDecoder) *expr.Verdict {
	var v *expr.Verdict
	for ad.Next() {
		if ad.Type() != unix.NFTA_DATA_VERDICT {
			continue
		}
		v = &expr.Verdict{}
		ad.Nested(func(in *netlink.AttributeDecoder) error {
			for in.Next() {
				switch in.Type() {
				case unix.NFTA_VERDICT_CODE:
					v.Kind = expr.VerdictKind(in.Int32())
				case unix.NFTA_VERDICT_CHAIN:
					v.Chain = in.String()
				}
			}
			return nil
		})
	}
	return v
}
