package xml

import "slices"

// drawn is what of a list of forwards was drawn and read before, so that one change
// among ten thousand costs little: those at both ends of the list. A nil drawn is none.
type drawn struct {
	old         []PortForward
	nodes       []*node // of old
	first, last int     // how many at the start and at the end stay

	total int           // how many the list has now
	fresh [][]PortSpan  // of those that are new
	news  []PortForward // the same
}

// fewFresh is how many new forwards are held against each other one. More are held
// against each other by their keys.
const fewFresh = 8

// drawn returns what of e the network has already.
func (n *Network) drawn(e *Extensions) *drawn {
	if n.Metadata == nil || !n.Metadata.ours {
		return nil
	}
	old, el := n.Metadata.ext.Load(), n.extension()
	if el == nil {
		return nil
	}
	d := &drawn{old: old.Forwards, total: len(e.Forwards)}
	for _, c := range el.children {
		if c.name == "portForward" {
			d.nodes = append(d.nodes, c)
		}
	}
	most := min(len(d.old), d.total)
	for d.first < most && d.old[d.first].same(&e.Forwards[d.first]) {
		d.first++
	}
	for d.last < most-d.first && d.old[len(d.old)-1-d.last].same(&e.Forwards[d.total-1-d.last]) {
		d.last++
	}
	d.news = e.Forwards[d.first : d.total-d.last]
	if len(d.news) <= fewFresh {
		for i := range d.news {
			d.fresh = append(d.fresh, d.news[i].Spans())
		}
	}
	return d
}

func (d *drawn) len() int {
	if d == nil {
		return 0
	}
	return d.total
}

// at returns the forward at a place in a list of so many; nil: it is new.
func (d *drawn) at(i, total int) (*node, *PortForward) {
	switch {
	case d == nil:
		return nil, nil
	case i < d.first:
		return d.nodes[i], &d.old[i]
	case i >= total-d.last:
		i += len(d.old) - total
		return d.nodes[i], &d.old[i]
	}
	return nil, nil
}

// apart reports whether a forward has nothing to do with those that are new.
func (d *drawn) apart(f *PortForward) bool {
	if len(d.news) > fewFresh {
		return false
	}
	for i := range d.news {
		if !d.news[i].apart(d.fresh[i], f) {
			return false
		}
	}
	return true
}

// same reports whether both are written in the same way.
func (f *PortForward) same(o *PortForward) bool {
	return f.Proto == o.Proto && f.Family == o.Family && f.Address == o.Address && f.Dev == o.Dev && f.Ignore == o.Ignore && f.Guest == o.Guest &&
		slices.Equal(f.From, o.From) && slices.Equal(f.Ranges, o.Ranges)
}
