package netlink

import (
	"bytes"
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
)

// setReader reads sets of one table, each once.
type setReader struct {
	reader *reader
	scope  *scope
	known  map[string]setContents
}

// setContents is what a set holds; ok is false where it cannot be said.
type setContents struct {
	entries []coexist.Entry
	ok      bool
}

// read returns a set's contents as values of the field that a register holds.
func (s *setReader) read(name string, l loaded) ([]coexist.Entry, bool, error) {
	switch l.field {
	case coexist.InName, coexist.OutName, coexist.NFProto, coexist.L4Proto, coexist.DestPort, coexist.FromPort, coexist.ICMPType, coexist.State, coexist.DestCast, coexist.PacketMark:
	case coexist.Source, coexist.Dest:
		if !s.scope.lists {
			return nil, false, nil
		}
	case coexist.BackAny, coexist.BackIn, coexist.Unknown:
		return nil, false, nil
	}
	if l.mask != nil {
		return nil, false, nil
	}
	key := name + " " + string(l.field)
	if c, ok := s.known[key]; ok {
		return c.entries, c.ok, nil
	}
	elements, err := s.elements(name)
	if err != nil {
		return nil, false, err
	}
	var c setContents
	c.entries, c.ok = values(elements, l)
	if s.known == nil {
		s.known = map[string]setContents{}
	}
	s.known[key] = c
	return c.entries, c.ok, nil
}

// setElement is an element as the kernel tells it.
type setElement struct {
	key, keyEnd []byte
	end         bool // the first key after an interval
	catchAll    bool
	verdict     coexist.Verdict
}

// compare orders elements by their keys; the end of an interval comes before the begin of
// the next one.
func (e setElement) compare(o setElement) int {
	switch order := bytes.Compare(e.key, o.key); {
	case order != 0 || e.end == o.end:
		return order
	case e.end:
		return -1
	default:
		return 1
	}
}

func (s *setReader) elements(name string) ([]setElement, error) {
	var list []setElement
	err := s.reader.members(name, func(ad *netlink.AttributeDecoder) { list = append(list, decodeMember(ad)) })
	return list, wrap(err, "reading set %q", name)
}

func decodeMember(ad *netlink.AttributeDecoder) (e setElement) {
	const catchAll = 2 // NFT_SET_ELEM_CATCHALL
	each(ad, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_SET_ELEM_KEY:
			dig(ad, func(ad *netlink.AttributeDecoder) { e.key = bytes.Clone(ad.Bytes()) }, unix.NFTA_DATA_VALUE)
		case setElemKeyEnd:
			dig(ad, func(ad *netlink.AttributeDecoder) { e.keyEnd = bytes.Clone(ad.Bytes()) }, unix.NFTA_DATA_VALUE)
		case unix.NFTA_SET_ELEM_DATA:
			dig(ad, func(ad *netlink.AttributeDecoder) { e.verdict = decodeVerdict(ad) }, unix.NFTA_DATA_VERDICT)
		case unix.NFTA_SET_ELEM_FLAGS:
			flags := ad.Uint32()
			e.end = flags&unix.NFT_SET_ELEM_INTERVAL_END != 0
			e.catchAll = flags&catchAll != 0
		}
	})
	return e
}

// prefixes turns the elements of a set of addresses into prefixes; an interval may take
// several.
func prefixes(list []setElement, l loaded) ([]coexist.Entry, bool) {
	slices.SortStableFunc(list, setElement.compare)
	intervals := slices.ContainsFunc(list, func(e setElement) bool { return e.end })
	var entries []coexist.Entry
	for i, e := range list {
		from, ok := netip.AddrFromSlice(e.key)
		if !ok || e.catchAll || e.keyEnd != nil || len(e.key) != l.size || from.Is6() != l.ipv6 {
			return nil, false
		}
		if e.end {
			continue
		}
		last := from
		if intervals {
			last = firewall.LastOf(netip.PrefixFrom(from, 0))
			if i+1 < len(list) {
				end, _ := netip.AddrFromSlice(list[i+1].key)
				last = end.Prev()
			}
		}
		for _, p := range covering(from, last) {
			entries = append(entries, coexist.Entry{Value: coexist.Value{Prefix: p}, Verdict: e.verdict})
		}
	}
	return entries, true
}

// covering returns the prefixes that together are a range of addresses.
func covering(from, last netip.Addr) (list []netip.Prefix) {
	for from.IsValid() && !last.Less(from) {
		p := widest(from, last)
		list = append(list, p)
		from = after(p)
	}
	return list
}

// widest returns the widest prefix that begins with one address and does not go beyond
// another one.
func widest(from, last netip.Addr) netip.Prefix {
	p := netip.PrefixFrom(from, from.BitLen())
	for p.Bits() > 0 {
		wider := netip.PrefixFrom(from, p.Bits()-1)
		if wider.Masked().Addr() != from || last.Less(firewall.LastOf(wider)) {
			break
		}
		p = wider
	}
	return p
}

// values turns elements into values of a field; false where they are more than
// single values and ranges of numbers.
func values(list []setElement, l loaded) ([]coexist.Entry, bool) {
	if l.field == coexist.Source || l.field == coexist.Dest {
		return prefixes(list, l)
	}
	var entries []coexist.Entry
	intervals := slices.ContainsFunc(list, func(e setElement) bool { return e.end })
	if intervals {
		slices.SortStableFunc(list, setElement.compare)
	}
	open := false
	for _, e := range list {
		v, ok := l.value(e.key)
		if !ok || e.catchAll || e.keyEnd != nil || len(e.key) != l.size || intervals && (v.Name != "" || l.field == coexist.State) {
			return nil, false
		}
		switch {
		case e.end && open:
			entries[len(entries)-1].Value.High = v.Low - 1
			open = false
		case e.end: // what is before the first interval
		default:
			if open = intervals; open {
				v.High = math.MaxUint16
			}
			entries = append(entries, coexist.Entry{Value: v, Verdict: e.verdict})
		}
	}
	slices.SortStableFunc(entries, func(a, b coexist.Entry) int {
		return cmp.Or(cmp.Compare(a.Value.Name, b.Value.Name), cmp.Compare(a.Value.Low, b.Value.Low))
	})
	return entries, true
}
