package relaxng

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/virbr/virbr/xml"
)

// maxQuoted and maxListed keep messages short whatever a document holds.
const (
	maxQuoted = 60 // characters of a value
	maxListed = 24 // names in a list
)

func (r *run) spent(n *xml.Tree) *Error {
	return &Error{Line: n.Line, Element: n.Name, Msg: "the document is too intricate to be checked"}
}

// strayElement explains why n may not come where p is expected.
func (r *run) strayElement(p *pattern, n *xml.Tree, f *frame) *Error {
	if f.parent == nil {
		return &Error{
			Line: n.Line, Element: clip(n.Name),
			Msg: "not allowed as the root element, expected " + either(quoteNames(namesOf(p, element))),
		}
	}
	// The element at fault is the child, but people look for it by its own line.
	e := &Error{Line: n.Line, Element: clip(f.parent.Name)}
	what := "element " + showName(nameOf(n))
	switch {
	case r.openMemo(f.initial, nameOf(n)).kind == notAllowed:
		e.Msg = what + " is not allowed here" + allowed(namesOf(f.initial, element))
	case f.earlier[nameOf(n)]:
		e.Msg = what + " may be given only once here"
	default:
		e.Msg = what + " cannot be combined with the elements before it"
	}
	return e
}

// strayAttr explains why attribute i does not fit q, which is what earlier
// attributes have left of p.
func (r *run) strayAttr(p, q *pattern, n *xml.Tree, i int) *Error {
	a := n.Attrs[i]
	attrName := name{a.Space, a.Name}
	e := &Error{Line: n.Line, Element: clip(n.Name)}
	what := "attribute " + showName(attrName)
	contents := attributeContents(q, attrName)
	switch {
	case len(contents) > 0:
		e.Msg = fmt.Sprintf("%s: %s is not allowed%s", what, quote(a.Value), expected(contents...))
	case len(attributeContents(p, attrName)) > 0:
		e.Msg = what + " cannot be combined with the attributes before it"
	default:
		e.Msg = what + " is not allowed here" + allowed(namesOf(p, attribute))
	}
	return e
}

func (r *run) missingAttr(q *pattern, n *xml.Tree) *Error {
	lacks := missing(q, attribute, func(p *pattern) bool { return r.close(p).kind != notAllowed })
	return &Error{
		Line: n.Line, Element: clip(n.Name),
		Msg: "attribute " + either(quoteNames(lacks)) + " is missing",
	}
}

func (r *run) strayText(p *pattern, n *xml.Tree, s string) *Error {
	msg := "text " + quote(strings.TrimSpace(s)) + " is not allowed here" + expected(p)
	if blank(s) && s != "" {
		msg = "it is empty" + expected(p)
	}
	return &Error{Line: n.Line, Element: clip(n.Name), Msg: msg}
}

// incomplete explains why n may not end where p is expected.
func (r *run) incomplete(p *pattern, n *xml.Tree) *Error {
	e := &Error{Line: n.Line, Element: clip(n.Name)}
	if lacks := missing(p, element, func(p *pattern) bool { return p.nullable }); len(lacks) > 0 {
		e.Msg = "element " + either(quoteNames(lacks)) + " is missing"
	} else {
		e.Msg = "it is empty" + expected(p)
	}
	return e
}

// visit calls f for the attribute, element, data and text patterns that the
// innermost open element may still use.
func visit(p *pattern, f func(*pattern)) {
	switch p.kind {
	case choice, group, interleave:
		visit(p.left, f)
		visit(p.right, f)
	case after, oneOrMore, list:
		visit(p.left, f)
	case attribute, element, data, text:
		f(p)
	case notAllowed, empty:
	}
}

// namesOf returns names of the elements, or the attributes, that p has room for.
func namesOf(p *pattern, k kind) []name {
	var names []name
	visit(p, func(x *pattern) {
		if x.kind == k {
			names = append(names, examples(x.names)...)
		}
	})
	return names
}

// attributeContents returns what the attribute n may hold.
func attributeContents(p *pattern, n name) []*pattern {
	var contents []*pattern
	visit(p, func(x *pattern) {
		if x.kind == attribute && x.names.has(n) {
			contents = append(contents, x.content)
		}
	})
	return contents
}

// missing returns names of the kind k of which p needs one before done is true
// of it. For parts that are needed side by side the first one stands.
func missing(p *pattern, k kind, done func(*pattern) bool) []name {
	switch {
	case p.kind == after:
		return missing(p.left, k, done)
	case done(p):
		return nil
	case p.kind == k:
		return examples(p.names)
	case p.kind == choice:
		return append(missing(p.left, k, done), missing(p.right, k, done)...)
	case p.kind == group, p.kind == interleave:
		if names := missing(p.left, k, done); len(names) > 0 {
			return names
		}
		return missing(p.right, k, done)
	case p.kind == oneOrMore:
		return missing(p.left, k, done)
	}
	return nil
}

// expected returns ", expected ..." for the values that the patterns allow.
func expected(ps ...*pattern) string {
	var values []string
	for _, p := range ps {
		visit(p, func(x *pattern) {
			if x.kind == data && !slices.Contains(values, x.datum.String()) {
				values = append(values, x.datum.String())
			}
		})
	}
	if len(values) == 0 {
		return ""
	}
	return ", expected " + either(values)
}

func allowed(names []name) string {
	list := quoteNames(names)
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return " (allowed: " + strings.Join(shorten(list), ", ") + ")"
}

func either(words []string) string {
	words = shorten(words)
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func shorten(list []string) []string {
	if len(list) > maxListed {
		return append(list[:maxListed:maxListed], "...")
	}
	return list
}

// quoteNames returns the names quoted and without doubles.
func quoteNames(names []name) []string {
	var list []string
	for _, n := range names {
		if q := showName(n); !slices.Contains(list, q) {
			list = append(list, q)
		}
	}
	return list
}

func showName(n name) string {
	if n.space == "" {
		return quote(n.local)
	}
	return quote(n.local) + " of " + quote(n.space)
}

func quote(s string) string { return strconv.Quote(clip(s)) }

// clip cuts a string after maxQuoted characters.
func clip(s string) string {
	if utf8.RuneCountInString(s) <= maxQuoted {
		return s
	}
	return string([]rune(s)[:maxQuoted]) + "..."
}
