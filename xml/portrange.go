package xml

import (
	"cmp"
	"slices"
)

const maxPort = 65535

// PortSpan is a run of ports that are forwarded: those of the host from First to
// Last go to those of the guest from To on.
type PortSpan struct{ First, Last, To uint16 }

// Spans returns the ports that a forward is for: in order, apart, and without
// those that are excluded. Without a range that is not excluded these are all
// ports.
func (f *PortForward) Spans() []PortSpan {
	var keep []PortSpan
	var cut []ForwardRange
	for _, r := range f.Ranges {
		if r.Exclude {
			cut = append(cut, r)
			continue
		}
		keep = append(keep, PortSpan{First: r.Start, Last: r.last(), To: r.to()})
	}
	if len(keep) == 0 {
		keep = []PortSpan{{First: 1, Last: maxPort, To: 1}}
	}
	slices.SortFunc(keep, func(a, b PortSpan) int { return cmp.Compare(a.First, b.First) })
	for _, r := range cut {
		keep = without(keep, r.Start, r.last())
	}
	return join(keep)
}

// without cuts the ports from first to last out.
func without(list []PortSpan, first, last uint16) []PortSpan {
	var kept []PortSpan
	for _, s := range list {
		if s.Last < first || s.First > last {
			kept = append(kept, s)
			continue
		}
		if s.First < first {
			kept = append(kept, PortSpan{First: s.First, Last: first - 1, To: s.To})
		}
		if s.Last > last {
			kept = append(kept, PortSpan{First: last + 1, Last: s.Last, To: s.To + (last + 1 - s.First)})
		}
	}
	return kept
}

// join makes one span of those that follow each other on both sides.
func join(list []PortSpan) []PortSpan {
	var joined []PortSpan
	for _, s := range list {
		if n := len(joined); n > 0 {
			before := &joined[n-1]
			if length := s.First - before.First; before.Last+1 == s.First && before.Last < maxPort && before.To+length == s.To {
				before.Last = s.Last
				continue
			}
		}
		joined = append(joined, s)
	}
	return joined
}

func (r *ForwardRange) last() uint16 { return max(r.Start, r.End) }

func (r *ForwardRange) to() uint16 {
	if r.To == 0 {
		return r.Start
	}
	return r.To
}

func (f *PortForward) parseRanges(el *node) error {
	list, err := el.elements()
	if err != nil {
		return err
	}
	if len(list) > maxRanges {
		return list[maxRanges].bad("more than %d elements 'range' in <portForward>", maxRanges)
	}
	for _, c := range list {
		if c.name != "range" {
			return c.bad("unknown element '%s' in element 'portForward'", c.name)
		}
		r, err := parseRange(c, f.Ignore)
		if err != nil {
			return err
		}
		for _, o := range f.Ranges {
			if o.Exclude == r.Exclude && o.Start <= r.last() && r.Start <= o.last() {
				return c.bad("ranges %s and %s of <portForward> overlap", ports(o.Start, o.last()), ports(r.Start, r.last()))
			}
		}
		f.Ranges = append(f.Ranges, *r)
	}
	if len(f.Spans()) == 0 {
		return el.bad("every range of <portForward> is excluded")
	}
	return nil
}

func parseRange(el *node, ignore bool) (*ForwardRange, error) {
	if err := el.leaf("start", "end", "to", "exclude"); err != nil {
		return nil, err
	}
	r := &ForwardRange{}
	for _, p := range []struct {
		name string
		into *uint16
	}{{"start", &r.Start}, {"end", &r.End}, {"to", &r.To}} {
		v, given, err := el.uintAttr(p.name, 10, 16)
		switch {
		case err != nil:
			return nil, el.bad("Invalid port '%s' for attribute '%s' in element 'range': must be 1 to %d", el.path(p.name), p.name, maxPort)
		case given && v == 0:
			return nil, el.zeroAttr(p.name)
		}
		*p.into = uint16(v)
	}
	exclude, err := el.tristate("exclude")
	r.Exclude = exclude == Yes
	switch {
	case err != nil:
		return nil, err
	case r.Start == 0:
		return nil, el.missingAttr("start")
	case r.End != 0 && r.End < r.Start:
		return nil, el.bad("Invalid range %d-%d in <portForward>: the end is below the start", r.Start, r.End)
	case r.To != 0 && r.Exclude:
		return nil, el.bad("attribute 'to' not allowed in <range exclude='yes'>, which is not forwarded")
	case r.To != 0 && ignore:
		return nil, el.bad("attribute 'to' not allowed in a range of <portForward ignore='yes'>, which forwards nothing")
	case int(r.to())+int(r.last()-r.Start) > maxPort:
		return nil, el.bad("Invalid range %s to %d in <portForward>: it ends beyond port %d", ports(r.Start, r.last()), r.To, maxPort)
	}
	return r, nil
}
