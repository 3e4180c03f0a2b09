package netlink

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// datum is an element of a map of data, or of a set, as the kernel has it. The
// bytes are strings, so that data can be compared and be keys.
type datum struct {
	key   string
	end   string // of a map with ranges
	value string
	chain string // to jump to, instead of a value
	owner string
	note  string // for people, behind the owner
}

// protocols are the numbers of those that have ports, and of IGMP.
var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP, "igmp": unix.IPPROTO_IGMP}

// encodeDatum returns what a datum is to the kernel.
func encodeDatum(d firewall.Datum) datum {
	out := datum{value: address(d.To), chain: d.Chain, owner: d.Owner, note: d.Note}
	add := func(first, last string) { out.key, out.end = out.key+first, out.end+last }
	same := func(part string) { add(part, part) }
	add(address(d.From), address(d.Until))
	same(address(d.Addr))
	if !d.MAC.IsZero() {
		same(string(append(d.MAC[:], 0, 0)))
	}
	if d.Link != "" {
		same(string(deviceKey(d.Link)))
	}
	if d.Proto != "" {
		same(string([]byte{protocols[d.Proto], 0, 0, 0}))
		add(port(d.Port), port(d.PortEnd))
	}
	same(address(d.Guest))
	if d.GuestPort != 0 {
		add(port(d.GuestPort), port(max(d.GuestPort, d.GuestEnd)))
	}
	if d.PortEnd == 0 && (!d.From.IsValid() || d.Port != 0) {
		out.end = ""
	}
	if d.ToPort != 0 {
		out.value += port(d.ToPort)
	}
	return out
}

// setElemKeyEnd is NFTA_SET_ELEM_KEY_END: the ends of a range, part by part
// (linux/netfilter/nf_tables.h).
const setElemKeyEnd = 10

func address(a netip.Addr) string { return string(a.AsSlice()) }

// port returns a port in network byte order, and what fills it to four bytes.
func port(p uint16) string { return string([]byte{byte(p >> 8), byte(p), 0, 0}) }

// perMessage is how many elements go into one message: a list of them cannot be
// longer than 64 KiB.
const perMessage = 256

// addData adds elements, which must not be there with other values.
func (b *batch) addData(m string, list []datum) {
	addMembers(b, unix.NFT_MSG_NEWSETELEM, netlink.Create, m, list, datum.encode)
}

// delData deletes elements, which must be there.
func (b *batch) delData(m string, list []datum) {
	addMembers(b, unix.NFT_MSG_DELSETELEM, 0, m, list, datum.encodeKey)
}

// addMembers appends messages about elements of a map or set.
func addMembers[T any](b *batch, msg uint16, flags netlink.HeaderFlags, set string, list []T, encode func(T, *netlink.AttributeEncoder)) {
	for part := range slices.Chunk(list, perMessage) {
		b.add(msg, flags, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, b.table)
			ae.String(unix.NFTA_SET_ELEM_LIST_SET, set)
			ae.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(ae *netlink.AttributeEncoder) error {
				for _, member := range part {
					ae.Nested(unix.NFTA_LIST_ELEM, func(ae *netlink.AttributeEncoder) error {
						encode(member, ae)
						return nil
					})
				}
				return nil
			})
		})
	}
}

// encodeValue writes the value of an attribute.
func encodeValue(ae *netlink.AttributeEncoder, attribute uint16, value []byte) {
	ae.Nested(attribute, func(ae *netlink.AttributeEncoder) error {
		ae.Bytes(unix.NFTA_DATA_VALUE, value)
		return nil
	})
}

// encodeJump writes that an element leads to a chain.
func encodeJump(ae *netlink.AttributeEncoder, chain string) {
	ae.Nested(unix.NFTA_SET_ELEM_DATA, func(ae *netlink.AttributeEncoder) error {
		ae.Nested(unix.NFTA_DATA_VERDICT, func(ae *netlink.AttributeEncoder) error {
			ae.Int32(unix.NFTA_VERDICT_CODE, int32(expr.VerdictJump))
			ae.String(unix.NFTA_VERDICT_CHAIN, chain)
			return nil
		})
		return nil
	})
}

func (d datum) encodeKey(ae *netlink.AttributeEncoder) {
	encodeValue(ae, unix.NFTA_SET_ELEM_KEY, []byte(d.key))
	if d.end != "" {
		encodeValue(ae, setElemKeyEnd, []byte(d.end))
	}
}

// encode writes all. The owner is a comment, which nft shows.
func (d datum) encode(ae *netlink.AttributeEncoder) {
	d.encodeKey(ae)
	switch {
	case d.chain != "":
		encodeJump(ae, d.chain)
	case d.value != "":
		encodeValue(ae, unix.NFTA_SET_ELEM_DATA, []byte(d.value))
	}
	ae.Bytes(unix.NFTA_SET_ELEM_USERDATA, userdata.AppendString(nil, userdata.TypeComment, strings.TrimSuffix(d.owner+" "+d.note, " ")))
}

// data returns the elements of a map of data that a network owns, by key. It
// reads the whole map, which may be large.
func (r *reader) data(m, owner string) (map[string]datum, error) {
	all, err := r.allData(m)
	return all[owner], err
}

// allData returns the elements of a map of data by owner and key.
func (r *reader) allData(m string) (map[string]map[string]datum, error) {
	all := map[string]map[string]datum{}
	err := r.members(m, func(ad *netlink.AttributeDecoder) {
		d := decodeDatum(ad)
		if all[d.owner] == nil {
			all[d.owner] = map[string]datum{}
		}
		all[d.owner][d.key] = d
	})
	return all, wrap(err, "reading map %q", m)
}

// decodeDatum reads one element of a map of data.
func decodeDatum(list *netlink.AttributeDecoder) datum {
	var d datum
	each(list, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_SET_ELEM_KEY:
			dig(ad, func(ad *netlink.AttributeDecoder) { d.key = string(ad.Bytes()) }, unix.NFTA_DATA_VALUE)
		case setElemKeyEnd:
			dig(ad, func(ad *netlink.AttributeDecoder) { d.end = string(ad.Bytes()) }, unix.NFTA_DATA_VALUE)
		case unix.NFTA_SET_ELEM_DATA:
			each(ad, func(ad *netlink.AttributeDecoder) {
				switch ad.Type() {
				case unix.NFTA_DATA_VALUE:
					d.value = string(ad.Bytes())
				case unix.NFTA_DATA_VERDICT:
					dig(ad, func(ad *netlink.AttributeDecoder) { d.chain = ad.String() }, unix.NFTA_VERDICT_CHAIN)
				}
			})
		case unix.NFTA_SET_ELEM_USERDATA:
			d.owner, d.note, _ = strings.Cut(comment(ad.Bytes()), " ")
		}
	})
	return d
}

// comment returns the comment in an element's user data; "": none.
func comment(data []byte) string {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		if data[0] == byte(userdata.TypeComment) {
			return strings.TrimRight(string(data[2:2+int(data[1])]), "\x00")
		}
		data = data[2+int(data[1]):]
	}
	return ""
}
