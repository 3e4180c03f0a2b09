package xml

import (
	"fmt"
	"strings"
)

// nodeKind says what a node of the document tree is.
type nodeKind uint8

const (
	elementNode nodeKind = iota
	textNode
	cdataNode
	commentNode
	instructionNode
)

// attribute is one attribute of an element. Namespace declarations are not
// attributes; they are kept in node.decls.
type attribute struct {
	prefix, name, space string
	value               string
}

// declaration is a namespace declaration; prefix "" is the default namespace.
type declaration struct{ prefix, uri string }

// node is one node of a parsed document. For elements, prefix is as written,
// name is the local name and space the namespace URI ("" for none). For
// processing instructions name is the target. Other kinds use text only.
type node struct {
	kind                nodeKind
	prefix, name, space string
	decls               []declaration
	attrs               []attribute
	children            []*node
	text                string
	line                int
	preserve            bool     // xml:space='preserve' is in force
	reading             *reading // of the document; nil: strict
}

// attr returns a "direct" attribute: the namespace is ignored and an empty
// value counts as given.
func (n *node) attr(name string) (string, bool) {
	for i := range n.attrs {
		if n.attrs[i].name == name {
			return n.attrs[i].value, true
		}
	}
	return "", false
}

// path returns an attribute as libvirt's XPath strings see it: in no
// namespace, and "" both for an empty and for a missing one. n may be nil.
func (n *node) path(name string) string {
	if n == nil {
		return ""
	}
	for i := range n.attrs {
		if n.attrs[i].name == name && n.attrs[i].space == "" {
			return n.attrs[i].value
		}
	}
	return ""
}

// first returns the first child element with that name in no namespace, or nil.
func (n *node) first(name string) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.children {
		if c.kind == elementNode && c.name == name && c.space == "" {
			return c
		}
	}
	return nil
}

// all returns the child elements with that name in no namespace.
func (n *node) all(name string) []*node {
	var found []*node
	for _, c := range n.children {
		if c.kind == elementNode && c.name == name && c.space == "" {
			found = append(found, c)
		}
	}
	return found
}

// parseAll reads the child elements of a list, up to the first that is wrong.
func parseAll[T any](n *node, name string, parse func(*node) (*T, error)) (list []T, err error) {
	for _, el := range n.all(name) {
		item, err := parse(el)
		if err != nil {
			return list, err
		}
		list = append(list, *item)
	}
	return list, nil
}

// anyNS returns the first child element with that name in whatever namespace,
// or nil: what libvirt finds where it walks over children by hand.
func (n *node) anyNS(name string) *node {
	for _, c := range n.children {
		if c.kind == elementNode && c.name == name {
			return c
		}
	}
	return nil
}

// content returns the text of the node and all its descendants, as XPath's
// string(). n may be nil.
func (n *node) content() string {
	if n == nil {
		return ""
	}
	if len(n.children) == 1 && n.children[0].kind != elementNode {
		return n.children[0].ownText()
	}
	var b strings.Builder
	n.appendText(&b)
	return b.String()
}

func (n *node) ownText() string {
	if n.kind == textNode || n.kind == cdataNode {
		return n.text
	}
	return ""
}

func (n *node) appendText(b *strings.Builder) {
	b.WriteString(n.ownText())
	for _, c := range n.children {
		c.appendText(b)
	}
}

// clone returns a deep copy.
func (n *node) clone() *node {
	c := *n
	c.decls = append([]declaration(nil), n.decls...)
	c.attrs = append([]attribute(nil), n.attrs...)
	c.children = nil
	for _, child := range n.children {
		c.children = append(c.children, child.clone())
	}
	return &c
}

// fail makes an Error at the node's line. n may be nil.
func (n *node) fail(k Kind, o Origin, format string, args ...any) error {
	e := &Error{Kind: k, Origin: o, Msg: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Line = n.line
	}
	return e
}

// bad, detail, unsupported and internal are fail for the four kinds that the
// network parser raises itself.
func (n *node) bad(format string, args ...any) error {
	return n.fail(KindXML, OriginNetwork, format, args...)
}

func (n *node) detail(format string, args ...any) error {
	return n.fail(KindDetail, OriginNetwork, format, args...)
}

func (n *node) unsupported(format string, args ...any) error {
	return n.fail(KindUnsupported, OriginNetwork, format, args...)
}

func (n *node) internal(format string, args ...any) error {
	return n.fail(KindInternal, OriginNetwork, format, args...)
}
