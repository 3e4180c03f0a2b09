package xml

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// maxMetadata bounds what <metadata> may grow to, in bytes: it has room for
// 10,000 forwards, and with the rest of a definition (maxDefinition) and what
// stands around it in a status file it stays below the limit of documents.
const maxMetadata = maxDocument / 2

// Metadata is the <metadata> element: one child element a namespace. It is kept
// as it was written. A nil Metadata is an absent one. It never changes: copies of
// a network share it.
type Metadata struct {
	root *node
	ext  atomic.Pointer[Extensions] // those in root, once they were read; never changed
	tags int                        // how many there are
	size int                        // of its text, in bytes
	ours bool                       // ext is there, and root holds what it was drawn as
}

// parseMetadata keeps a copy of <metadata> with what libvirt keeps: children
// that have a namespace, the first one of each.
func (n *Network) parseMetadata(root *node) error {
	el := root.first("metadata")
	if el == nil || !slices.ContainsFunc(el.children, func(c *node) bool { return c.kind == elementNode }) {
		return nil
	}
	kept := el.clone()
	redeclare(kept)
	seen := make(map[string]bool)
	kept.children = slices.DeleteFunc(kept.children, func(c *node) bool {
		drop := c.kind != elementNode || c.space == "" || seen[c.space]
		seen[c.space] = true
		return drop
	})
	n.Metadata = &Metadata{root: kept}
	return n.measureMetadata(el)
}

// measureMetadata refuses what is too large; el is where messages say it is.
func (n *Network) measureMetadata(el *node) error {
	text := n.Metadata.String()
	if len(text) > maxMetadata {
		return tooLarge(el, n.Name)
	}
	if n.Metadata != nil {
		n.Metadata.tags, n.Metadata.size = strings.Count(text, "<"), len(text)
	}
	return nil
}

// Tags is how many tags the element has, its own among them.
func (m *Metadata) Tags() int {
	if m == nil {
		return 0
	}
	return m.tags
}

func tooLarge(el *node, network string) error {
	return el.fail(KindInvalidArg, OriginNetwork, "metadata of network '%s' is larger than %d bytes", network, maxMetadata)
}

// redeclare declares on the root what the tree uses and only elements outside
// of it declared.
func redeclare(root *node) { root.bind(root, make(map[string][]string)) }

// bind walks over a tree with what is declared: prefix to URIs, the innermost
// last.
func (n *node) bind(root *node, bound map[string][]string) {
	if n.kind != elementNode {
		return
	}
	own := n.decls
	for _, d := range own {
		bound[d.prefix] = append(bound[d.prefix], d.uri)
	}
	need := func(prefix, uri string) {
		uris := bound[prefix]
		if uri == "" || uri == xmlNamespace || len(uris) > 0 {
			return
		}
		bound[prefix] = append(uris, uri)
		root.decls = append(root.decls, declaration{prefix: prefix, uri: uri})
	}
	need(n.prefix, n.space)
	for _, a := range n.attrs {
		need(a.prefix, a.space)
	}
	for _, c := range n.children {
		c.bind(root, bound)
	}
	for _, d := range own {
		bound[d.prefix] = bound[d.prefix][:len(bound[d.prefix])-1]
	}
}

// format prints the element; m may be nil.
func (m *Metadata) format(p *printer) {
	if m == nil {
		return
	}
	p.indent()
	const indented = 4 // more for each tag
	p.b = slices.Grow(p.b, m.size+indented*m.tags*p.level)
	p.b = m.root.dump(p.b, p.level, true)
	p.b = append(p.b, '\n')
}

// String returns the element as it would stand in a document of its own.
func (m *Metadata) String() string {
	if m == nil {
		return ""
	}
	return string(m.root.dump(make([]byte, 0, m.size), 0, true))
}

// Equal reports whether both are written the same way.
func (m *Metadata) Equal(o *Metadata) bool { return m.String() == o.String() }

// Get returns the element of a namespace as libvirt's virNetworkGetMetadata
// does: as text, with the namespace taken away. ok is false if there is none.
func (m *Metadata) Get(uri string) (text string, ok bool) {
	if m == nil {
		return "", false
	}
	i := m.index(uri)
	if i < 0 {
		return "", false
	}
	el := m.root.children[i].clone()
	redeclare(el)
	if !el.strip(uri) {
		el.decls = slices.DeleteFunc(el.decls, func(d declaration) bool { return d.uri == uri })
	}
	return string(el.dump(nil, 0, true)), true
}

func (m *Metadata) index(uri string) int {
	return slices.IndexFunc(m.root.children, func(c *node) bool { return c.kind == elementNode && c.space == uri })
}

// strip takes the elements of a tree out of a namespace, and reports whether
// attributes remain in it.
func (n *node) strip(uri string) (used bool) {
	if n.kind == elementNode && n.space == uri {
		n.prefix, n.space = "", ""
	}
	for _, a := range n.attrs {
		used = used || a.space == uri
	}
	for _, c := range n.children {
		used = c.strip(uri) || used
	}
	return used
}

// SetMetadata replaces the element of a namespace as libvirt's
// virNetworkSetMetadata does. What has no namespace in the text gets uri, with
// key as its prefix. An empty text removes the element. An error leaves the
// network as it was.
func (n *Network) SetMetadata(uri, key, text string) error {
	var el *node
	if text != "" {
		var err error
		if el, err = newElement(uri, key, text); err != nil {
			return err
		}
	}
	return n.putMetadata(uri, el)
}

// putMetadata replaces the element of a namespace; nil removes it.
func (n *Network) putMetadata(uri string, el *node) error {
	m := &Metadata{root: &node{kind: elementNode, name: "metadata"}}
	if n.Metadata != nil {
		*m.root = *n.Metadata.root
	}
	m.root.children = slices.DeleteFunc(slices.Clone(m.root.children), func(c *node) bool { return c.space == uri })
	if el != nil {
		m.root.children = append(m.root.children, el)
	}
	if len(m.root.children) == 0 {
		m = nil
	}
	before := n.Metadata
	n.Metadata = m
	err := n.measureMetadata(el)
	if err != nil {
		n.Metadata = before
	}
	return err
}

func newElement(uri, key, text string) (*node, error) {
	el, err := parseAny([]byte(text))
	if err != nil {
		return nil, err
	}
	if uri == "" || !isNCName(key) {
		return nil, el.fail(KindInternal, OriginXML, "failed to validate prefix for a new XML namespace")
	}
	if slices.ContainsFunc([]rune(uri), func(r rune) bool { return !isChar(r) || unicode.IsControl(r) }) {
		return nil, el.fail(KindInvalidArg, OriginXML, "metadata namespace holds a control character")
	}
	if el.declares(key) || key == "xml" || key == "xmlns" {
		return nil, el.fail(KindInternal, OriginXML, "failed to create a new XML namespace")
	}
	el.decls = append(el.decls, declaration{prefix: key, uri: uri})
	el.adopt(key, uri)
	return el, nil
}

// declares reports whether an element of the tree declares a prefix: what is
// put into a namespace by that prefix would end up in another.
func (n *node) declares(prefix string) bool {
	return slices.ContainsFunc(n.decls, func(d declaration) bool { return d.prefix == prefix }) ||
		slices.ContainsFunc(n.children, func(c *node) bool { return c.declares(prefix) })
}

// adopt puts the elements that are in no namespace into one.
func (n *node) adopt(prefix, uri string) {
	if n.kind != elementNode {
		return
	}
	if n.space == "" && !strings.Contains(n.name, ":") {
		n.prefix, n.space = prefix, uri
	}
	for _, c := range n.children {
		c.adopt(prefix, uri)
	}
}

// isNCName reports whether the reader takes s for the name of an element, and
// for nothing more.
func isNCName(s string) bool {
	el, err := parseAny([]byte("<" + s + "/>"))
	return err == nil && el.name == s && !strings.Contains(s, ":")
}

// maxIndent is libxml2's: deeper levels are not indented further.
const maxIndent = 30

// dump writes a tree as libxml2's xmlNodeDump with format=1 does: elements
// indented, unless they have text beside them.
func (n *node) dump(b []byte, level int, pretty bool) []byte {
	switch n.kind {
	case textNode:
		return dumpText(b, n.text)
	case cdataNode:
		return append(append(append(b, "<![CDATA["...), n.text...), "]]>"...)
	case commentNode:
		return append(append(append(b, "<!--"...), n.text...), "-->"...)
	case instructionNode:
		b = append(append(b, "<?"...), n.name...)
		if n.text != "" {
			b = append(append(b, ' '), n.text...)
		}
		return append(b, "?>"...)
	case elementNode:
	}
	b = append(append(b, '<'), n.qname()...)
	b = n.dumpAttrs(b)
	if len(n.children) == 0 {
		return append(b, "/>"...)
	}
	pretty = pretty && !slices.ContainsFunc(n.children, (*node).isText)
	b = append(b, '>')
	for _, c := range n.children {
		b = newLine(b, level+1, pretty)
		b = c.dump(b, level+1, pretty)
	}
	b = newLine(b, level, pretty)
	return append(append(append(b, "</"...), n.qname()...), '>')
}

func newLine(b []byte, level int, pretty bool) []byte {
	if !pretty {
		return b
	}
	b = append(b, '\n')
	for range min(level, maxIndent) {
		b = append(b, "  "...)
	}
	return b
}

func (n *node) dumpAttrs(b []byte) []byte {
	for _, d := range n.decls {
		b = append(b, " xmlns"...)
		if d.prefix != "" {
			b = append(append(b, ':'), d.prefix...)
		}
		b = append(dumpValue(append(b, `="`...), d.uri), '"')
	}
	for _, a := range n.attrs {
		b = append(b, ' ')
		if a.prefix != "" {
			b = append(append(b, a.prefix...), ':')
		}
		b = append(append(b, a.name...), `="`...)
		b = append(dumpValue(b, a.value), '"')
	}
	return b
}

func dumpText(b []byte, s string) []byte {
	for i := range len(s) {
		switch s[i] {
		case '<':
			b = append(b, "&lt;"...)
		case '>':
			b = append(b, "&gt;"...)
		case '&':
			b = append(b, "&amp;"...)
		case '\r':
			b = append(b, "&#13;"...)
		default:
			b = append(b, s[i])
		}
	}
	return b
}

// dumpValue writes an attribute value; what is not ASCII becomes a character
// reference, because the copied tree has no document that knows an encoding.
func dumpValue(b []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		c := s[i]
		plain = plain && c >= ' ' && c < utf8.RuneSelf && c != '<' && c != '>' && c != '&' && c != '"'
	}
	if plain {
		return append(b, s...)
	}
	for _, r := range s {
		switch {
		case r == '"':
			b = append(b, "&quot;"...)
		case r == '\n', r == '\r', r == '\t':
			b = fmt.Appendf(b, "&#%d;", r)
		case r >= utf8.RuneSelf:
			b = fmt.Appendf(b, "&#x%X;", r)
		default:
			b = dumpText(b, string(r))
		}
	}
	return b
}
