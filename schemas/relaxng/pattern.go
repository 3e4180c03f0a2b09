package relaxng

import (
	"cmp"
	"slices"
)

// MaxPatterns is how many patterns one document may give rise to. Schemas
// without ambiguity stay below a few for each different element; the bound is
// for documents that are made to be expensive.
const MaxPatterns = 1 << 16

type kind uint8

const (
	notAllowed kind = iota
	empty
	text
	choice
	interleave
	group
	oneOrMore
	list
	element
	attribute
	data
	after // left: what an open element still needs, right: what follows it
)

// pattern is one node of a pattern. Patterns are made by a builder, which
// returns the same pointer for equal ones, and never change.
type pattern struct {
	kind        kind
	nullable    bool // matches nothing at all
	attrs       bool // holds attribute patterns (outside of elements)
	id          int  // order of creation; sorts choices
	left, right *pattern
	names       nameClass // element, attribute
	content     *pattern  // element, attribute; an element's is set when its schema is complete
	datum       datum     // data
}

type key struct {
	kind        kind
	left, right *pattern
}

// builder makes patterns. One that is derived from another (fork) sees the
// patterns of its parent, which must not be used for building any more.
type builder struct {
	parent *builder // nil while a schema is compiled
	table  map[key]*pattern
	next   int
	limit  int

	notAllowed, empty, text *pattern
}

func newBuilder() *builder {
	b := &builder{table: map[key]*pattern{}, limit: MaxPatterns}
	b.notAllowed = b.leaf(&pattern{kind: notAllowed})
	b.empty = b.leaf(&pattern{kind: empty, nullable: true})
	b.text = b.leaf(&pattern{kind: text, nullable: true})
	return b
}

func (b *builder) fork() *builder {
	return &builder{
		parent: b, table: map[key]*pattern{}, next: b.next, limit: b.next + MaxPatterns,
		notAllowed: b.notAllowed, empty: b.empty, text: b.text,
	}
}

// exhausted reports whether the budget of patterns is spent.
func (b *builder) exhausted() bool { return b.next > b.limit }

// leaf numbers a pattern that is equal to no other.
func (b *builder) leaf(p *pattern) *pattern {
	p.id = b.next
	b.next++
	return p
}

func (b *builder) intern(k key, nullable, attrs bool) *pattern {
	if p, ok := b.table[k]; ok {
		return p
	}
	if b.parent != nil {
		if p, ok := b.parent.table[k]; ok {
			return p
		}
	}
	if b.exhausted() {
		return b.notAllowed
	}
	p := b.leaf(&pattern{kind: k.kind, left: k.left, right: k.right, nullable: nullable, attrs: attrs})
	b.table[k] = p
	return p
}

// choice returns p | q. Choices are lists to the right, sorted and without
// doubles, so that equal sets of alternatives are equal patterns.
func (b *builder) choice(p, q *pattern) *pattern {
	switch {
	case p == q || q.kind == notAllowed:
		return p
	case p.kind == notAllowed:
		return q
	}
	all := append(alternatives(p), alternatives(q)...)
	slices.SortFunc(all, func(x, y *pattern) int { return cmp.Compare(x.id, y.id) })
	all = slices.Compact(all)
	sum := all[len(all)-1]
	for i := len(all) - 2; i >= 0; i-- {
		l := all[i]
		sum = b.intern(key{choice, l, sum}, l.nullable || sum.nullable, l.attrs || sum.attrs)
	}
	return sum
}

// alternatives returns what p is a choice of.
func alternatives(p *pattern) []*pattern {
	var all []*pattern
	for ; p.kind == choice; p = p.right {
		all = append(all, p.left)
	}
	return append(all, p)
}

func (b *builder) group(p, q *pattern) *pattern { return b.both(group, p, q) }

func (b *builder) interleave(p, q *pattern) *pattern { return b.both(interleave, p, q) }

func (b *builder) both(k kind, p, q *pattern) *pattern {
	switch {
	case p.kind == notAllowed || q.kind == empty:
		return p
	case q.kind == notAllowed || p.kind == empty:
		return q
	}
	return b.intern(key{k, p, q}, p.nullable && q.nullable, p.attrs || q.attrs)
}

func (b *builder) oneOrMore(p *pattern) *pattern {
	if p.kind == notAllowed || p.kind == empty {
		return p
	}
	return b.intern(key{oneOrMore, p, nil}, p.nullable, p.attrs)
}

func (b *builder) list(p *pattern) *pattern {
	return b.intern(key{list, p, nil}, false, false)
}

func (b *builder) after(p, q *pattern) *pattern {
	if p.kind == notAllowed || q.kind == notAllowed {
		return b.notAllowed
	}
	return b.intern(key{after, p, q}, false, p.attrs)
}
