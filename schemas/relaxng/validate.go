package relaxng

import "github.com/virbr/virbr/xml"

// MaxDepth is how deep the elements of a document may be nested (libxml2's
// bound, too).
const MaxDepth = 256

// Schema is a compiled schema. It may be used by several goroutines at a time.
type Schema struct {
	start *pattern
	base  *builder
}

// run is one validation.
type run struct {
	*builder
	opened map[opening]*pattern
	closed map[*pattern]*pattern
}

type opening struct {
	p    *pattern
	name name
}

// Validate checks a document, given as its root element. The error is an
// *Error.
func (s *Schema) Validate(root *xml.Tree) error {
	r := &run{builder: s.base.fork(), opened: map[opening]*pattern{}, closed: map[*pattern]*pattern{}}
	context := &frame{initial: s.start}
	if _, err := r.element(s.start, root, context, 1); err != nil {
		return err
	}
	return nil
}

// frame is what explanations need to know about an element that is open.
type frame struct {
	parent  *xml.Tree // nil above the root
	initial *pattern  // before the first child
	earlier map[name]bool
}

// element returns what is left of p after the element n.
func (r *run) element(p *pattern, n *xml.Tree, f *frame, depth int) (*pattern, *Error) {
	if depth > MaxDepth {
		return nil, &Error{Line: n.Line, Element: n.Name, Msg: "nested too deeply"}
	}
	q := r.openMemo(p, nameOf(n))
	if r.exhausted() {
		return nil, r.spent(n)
	}
	if q.kind == notAllowed {
		return nil, r.strayElement(p, n, f)
	}
	q, err := r.attributes(q, n)
	if err != nil {
		return nil, err
	}
	q, err = r.children(q, n, depth)
	if err != nil {
		return nil, err
	}
	done := r.end(q)
	if r.exhausted() {
		return nil, r.spent(n)
	}
	if done.kind == notAllowed {
		return nil, r.incomplete(q, n)
	}
	return done, nil
}

func (r *run) attributes(p *pattern, n *xml.Tree) (*pattern, *Error) {
	q := p
	for i, a := range n.Attrs {
		next := r.attr(q, a)
		if r.exhausted() {
			return nil, r.spent(n)
		}
		if next.kind == notAllowed {
			return nil, r.strayAttr(p, q, n, i)
		}
		q = next
	}
	closed, ok := r.closed[q]
	if !ok {
		closed = r.close(q)
		r.closed[q] = closed
	}
	if r.exhausted() {
		return nil, r.spent(n)
	}
	if closed.kind == notAllowed {
		return nil, r.missingAttr(q, n)
	}
	return closed, nil
}

func (r *run) children(p *pattern, n *xml.Tree, depth int) (*pattern, *Error) {
	children := n.Children
	switch {
	case len(children) == 0:
		return r.choice(p, r.chars(p, "")), nil
	case len(children) == 1 && isText(children[0]):
		return r.onlyText(p, n, children[0].Text)
	}
	f := &frame{parent: n, initial: p, earlier: map[name]bool{}}
	for _, c := range children {
		var err *Error
		switch {
		case !isText(c):
			p, err = r.element(p, c, f, depth+1)
			f.earlier[nameOf(c)] = true
		case !blank(c.Text):
			p, err = r.mixedText(p, n, c.Text)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// onlyText takes the text of an element without child elements. White space
// alone counts as nothing, too.
func (r *run) onlyText(p *pattern, n *xml.Tree, s string) (*pattern, *Error) {
	q := r.chars(p, s)
	if blank(s) {
		q = r.choice(p, q)
	}
	switch {
	case r.exhausted():
		return nil, r.spent(n)
	case q.kind == notAllowed:
		return nil, r.strayText(p, n, s)
	}
	return q, nil
}

func (r *run) mixedText(p *pattern, n *xml.Tree, s string) (*pattern, *Error) {
	q := r.chars(p, s)
	switch {
	case r.exhausted():
		return nil, r.spent(n)
	case q.kind == notAllowed:
		return nil, r.strayText(p, n, s)
	}
	return q, nil
}

func (r *run) openMemo(p *pattern, n name) *pattern {
	k := opening{p, n}
	if q, ok := r.opened[k]; ok {
		return q
	}
	q := r.open(p, n)
	r.opened[k] = q
	return q
}
