package relaxng

import "github.com/virbr/virbr/xml"

// open returns what is left of p after the start of an element's tag: a choice
// of after patterns.
func (b *builder) open(p *pattern, n name) *pattern {
	switch p.kind {
	case choice:
		return b.choice(b.open(p.left, n), b.open(p.right, n))
	case element:
		if p.names.has(n) {
			return b.after(p.content, b.empty)
		}
	case interleave:
		l := b.follow(b.open(p.left, n), func(x *pattern) *pattern { return b.interleave(x, p.right) })
		r := b.follow(b.open(p.right, n), func(x *pattern) *pattern { return b.interleave(p.left, x) })
		return b.choice(l, r)
	case group:
		l := b.follow(b.open(p.left, n), func(x *pattern) *pattern { return b.group(x, p.right) })
		if p.left.nullable {
			return b.choice(l, b.open(p.right, n))
		}
		return l
	case oneOrMore:
		more := b.choice(p, b.empty)
		return b.follow(b.open(p.left, n), func(x *pattern) *pattern { return b.group(x, more) })
	case after:
		return b.follow(b.open(p.left, n), func(x *pattern) *pattern { return b.after(x, p.right) })
	case notAllowed, empty, text, list, attribute, data:
	}
	return b.notAllowed
}

// follow applies f to what follows in each alternative of p, a choice of after
// patterns.
func (b *builder) follow(p *pattern, f func(*pattern) *pattern) *pattern {
	switch p.kind {
	case after:
		return b.after(p.left, f(p.right))
	case choice:
		return b.choice(b.follow(p.left, f), b.follow(p.right, f))
	case notAllowed, empty, text, interleave, group, oneOrMore, list, element, attribute, data:
	}
	return b.notAllowed
}

// attr returns what is left of p after an attribute.
func (b *builder) attr(p *pattern, a xml.TreeAttr) *pattern {
	if !p.attrs {
		return b.notAllowed
	}
	switch p.kind {
	case after:
		return b.after(b.attr(p.left, a), p.right)
	case choice:
		return b.choice(b.attr(p.left, a), b.attr(p.right, a))
	case group:
		return b.choice(b.group(b.attr(p.left, a), p.right), b.group(p.left, b.attr(p.right, a)))
	case interleave:
		return b.choice(b.interleave(b.attr(p.left, a), p.right), b.interleave(p.left, b.attr(p.right, a)))
	case oneOrMore:
		return b.group(b.attr(p.left, a), b.choice(p, b.empty))
	case attribute:
		if p.names.has(name{a.Space, a.Name}) && b.value(p.content, a.Value) {
			return b.empty
		}
	case notAllowed, empty, text, list, element, data:
	}
	return b.notAllowed
}

// value reports whether a string as a whole matches p.
func (b *builder) value(p *pattern, s string) bool {
	return p.nullable && blank(s) || b.chars(p, s).nullable
}

// close returns what is left of p at the end of a start tag, where no more
// attributes can come.
func (b *builder) close(p *pattern) *pattern {
	if !p.attrs {
		return p
	}
	switch p.kind {
	case after:
		return b.after(b.close(p.left), p.right)
	case choice:
		return b.choice(b.close(p.left), b.close(p.right))
	case group:
		return b.group(b.close(p.left), b.close(p.right))
	case interleave:
		return b.interleave(b.close(p.left), b.close(p.right))
	case oneOrMore:
		return b.oneOrMore(b.close(p.left))
	case notAllowed, empty, text, list, element, attribute, data:
	}
	return b.notAllowed
}

// chars returns what is left of p after a piece of text.
func (b *builder) chars(p *pattern, s string) *pattern {
	switch p.kind {
	case choice:
		return b.choice(b.chars(p.left, s), b.chars(p.right, s))
	case interleave:
		return b.choice(b.interleave(b.chars(p.left, s), p.right), b.interleave(p.left, b.chars(p.right, s)))
	case group:
		l := b.group(b.chars(p.left, s), p.right)
		if p.left.nullable {
			return b.choice(l, b.chars(p.right, s))
		}
		return l
	case oneOrMore:
		return b.group(b.chars(p.left, s), b.choice(p, b.empty))
	case after:
		return b.after(b.chars(p.left, s), p.right)
	case text:
		return p
	case data:
		if p.datum.match(s) {
			return b.empty
		}
	case list:
		rest := p.left
		for _, word := range words(s) {
			rest = b.chars(rest, word)
		}
		if rest.nullable {
			return b.empty
		}
	case notAllowed, empty, element, attribute:
	}
	return b.notAllowed
}

// end returns what is left of p after an end tag.
func (b *builder) end(p *pattern) *pattern {
	switch {
	case p.kind == choice:
		return b.choice(b.end(p.left), b.end(p.right))
	case p.kind == after && p.left.nullable:
		return p.right
	}
	return b.notAllowed
}
