package xml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// What a document may cost us. libvirt's RPC caps strings at 4 MiB and libxml2
// caps the depth at 256; the other two keep a document of empty elements from
// taking hundreds of megabytes.
const (
	maxDocument = 4 << 20
	maxDepth    = 256
	maxNodes    = 200_000
	maxAttrs    = 64 // of one element
)

// parseDocument reads a document and checks the name of its root element.
// Errors are worded as libvirt words libxml2's.
func parseDocument(doc []byte, root string) (*node, error) {
	n, err := parseAny(doc)
	if err != nil {
		return nil, err
	}
	if n.name != root {
		return nil, n.fail(KindXML, OriginXML, "expecting root element of '%s', not '%s'", root, n.name)
	}
	return n, nil
}

// parseAny reads a document with whatever root element.
func parseAny(doc []byte) (*node, error) {
	if len(doc) > maxDocument {
		return nil, &Error{Kind: KindDetail, Origin: OriginNetwork,
			Msg: "document is larger than 4194304 bytes"}
	}
	text, err := decodeText(doc)
	if err != nil {
		return nil, err
	}
	b := &builder{src: text, line: 1, bound: make(map[string][]string)}
	b.dec = xml.NewDecoder(bytes.NewReader(text))
	b.dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	return b.run()
}

// builder makes the tree out of encoding/xml's raw tokens, and checks what
// RawToken leaves open: nesting, one root, namespaces, unique attributes.
type builder struct {
	src    []byte
	dec    *xml.Decoder
	offset int // where the current token begins
	line   int // line of offset
	nodes  int
	root   *node
	stack  []*node
	bound  map[string][]string // prefix to URIs, the innermost last
}

func (b *builder) run() (*node, error) {
	for {
		start := int(b.dec.InputOffset())
		b.line += bytes.Count(b.src[b.offset:start], []byte("\n"))
		b.offset = start
		tok, err := b.dec.RawToken()
		if errors.Is(err, io.EOF) {
			return b.finish()
		}
		if err != nil {
			return nil, b.diagnose(err)
		}
		if err := b.token(tok); err != nil {
			return nil, err
		}
	}
}

func (b *builder) finish() (*node, error) {
	switch {
	case len(b.stack) > 0:
		open := b.stack[len(b.stack)-1]
		return nil, syntaxError(b.src, len(b.src), "Premature end of data in tag %s line %d", open.qname(), open.line)
	case b.root != nil:
		return b.root, nil
	case len(b.src) == 0:
		return nil, syntaxError(b.src, 0, "Document is empty")
	}
	return nil, syntaxError(b.src, len(b.src), "Start tag expected, '<' not found")
}

func (b *builder) token(tok xml.Token) error {
	if b.nodes++; b.nodes > maxNodes {
		return syntaxError(b.src, b.offset, "document has more than %d nodes", maxNodes)
	}
	switch t := tok.(type) {
	case xml.StartElement:
		return b.start(t)
	case xml.EndElement:
		return b.end(t)
	case xml.CharData:
		return b.chars(string(t))
	case xml.Comment:
		b.add(&node{kind: commentNode, text: string(t), line: b.line})
	case xml.ProcInst:
		return b.instruction(t)
	case xml.Directive:
		return b.directive(t)
	}
	return nil
}

func (b *builder) add(n *node) {
	if len(b.stack) > 0 {
		top := b.stack[len(b.stack)-1]
		top.children = append(top.children, n)
	}
}

func (b *builder) start(t xml.StartElement) error {
	if len(b.stack) == 0 && b.root != nil {
		return b.extra()
	}
	if len(b.stack) >= maxDepth {
		return syntaxError(b.src, b.offset, "Excessive depth in document: %d use XML_PARSE_HUGE option", maxDepth)
	}
	if len(t.Attr) > maxAttrs {
		return syntaxError(b.src, b.offset, "element %s has more than %d attributes", t.Name.Local, maxAttrs)
	}
	if err := b.checkRefs(); err != nil {
		return err
	}
	n := &node{kind: elementNode, prefix: t.Name.Space, name: t.Name.Local, line: b.line}
	list, err := b.tidy(t)
	if err != nil {
		return err
	}
	if err := b.attributes(n, list); err != nil {
		return err
	}
	n.preserve = b.preserves(n)
	b.add(n)
	if b.root == nil {
		b.root = n
	}
	b.stack = append(b.stack, n)
	return nil
}

// preserves reports whether blank text in an element counts (XML 1.0 section
// 2.10).
func (b *builder) preserves(n *node) bool {
	for _, a := range n.attrs {
		if a.space == xmlNamespace && a.name == "space" {
			return a.value == "preserve"
		}
	}
	return len(b.stack) > 0 && b.stack[len(b.stack)-1].preserve
}

func (b *builder) end(t xml.EndElement) error {
	if len(b.stack) == 0 {
		if b.root == nil {
			return syntaxError(b.src, b.offset+1, "StartTag: invalid element name")
		}
		return b.extra()
	}
	top := b.stack[len(b.stack)-1]
	q := t.Name.Local
	if t.Name.Space != "" {
		q = t.Name.Space + ":" + q
	}
	if q != top.qname() {
		return syntaxError(b.src, int(b.dec.InputOffset()),
			"Opening and ending tag mismatch: %s line %d and %s", top.qname(), top.line, q)
	}
	b.stack = b.stack[:len(b.stack)-1]
	for _, d := range top.decls {
		b.bound[d.prefix] = b.bound[d.prefix][:len(b.bound[d.prefix])-1]
	}
	return nil
}

// chars adds text. Blank text between elements is dropped by the rules of
// libxml2's XML_PARSE_NOBLANKS, so that metadata can be indented anew.
func (b *builder) chars(text string) error {
	if len(b.stack) == 0 {
		return b.outside(text)
	}
	top := b.stack[len(b.stack)-1]
	kind := textNode
	if bytes.HasPrefix(b.src[b.offset:], []byte("<![CDATA[")) {
		kind = cdataNode
	} else if err := b.checkRefs(); err != nil {
		return err
	}
	var last *node
	if len(top.children) > 0 {
		last = top.children[len(top.children)-1]
	}
	if kind == textNode && last != nil && last.kind == textNode {
		last.text += text
		return nil
	}
	if kind == textNode && b.ignorable(top, last) {
		return nil
	}
	if kind == textNode && text == "" {
		return nil
	}
	b.add(&node{kind: kind, text: text, line: b.line})
	return nil
}

// ignorable reports whether the current text token is layout only. It looks at
// the source: a blank that was written as a character reference counts.
func (b *builder) ignorable(top, last *node) bool {
	raw := b.src[b.offset:b.dec.InputOffset()]
	if top.preserve || len(bytes.Trim(raw, " \t\r\n")) > 0 {
		return false
	}
	next := b.src[b.dec.InputOffset():]
	if len(next) == 0 || len(top.children) == 0 && bytes.HasPrefix(next, []byte("</")) {
		return false
	}
	return last == nil || last.kind != textNode && top.children[0].kind != textNode
}

func (n *node) isText() bool { return n.kind == textNode || n.kind == cdataNode }

func (b *builder) outside(text string) error {
	raw := b.src[b.offset:b.dec.InputOffset()]
	if len(bytes.Trim(raw, " \t\r\n")) == 0 && !bytes.HasPrefix(raw, []byte("<!")) {
		return nil
	}
	if b.root != nil {
		return b.extra()
	}
	blank := len(text) - len(strings.TrimLeft(text, " \t\r\n"))
	return syntaxError(b.src, b.offset+blank, "Start tag expected, '<' not found")
}

func (b *builder) extra() error {
	raw := b.src[b.offset:]
	blank := len(raw) - len(bytes.TrimLeft(raw, " \t\r\n"))
	return syntaxError(b.src, b.offset+blank, "Extra content at the end of the document")
}

func (b *builder) instruction(t xml.ProcInst) error {
	if t.Target == "xml" {
		if b.offset > 0 {
			return syntaxError(b.src, b.offset+len("<?xml"), "XML declaration allowed only at the start of the document")
		}
		return nil
	}
	b.add(&node{kind: instructionNode, name: t.Target, text: string(t.Inst), line: b.line})
	return nil
}

// directive accepts a <!DOCTYPE> without declarations of its own before the
// root, which means nothing here, and nothing else.
func (b *builder) directive(t xml.Directive) error {
	if len(b.stack) > 0 || b.root != nil || !bytes.HasPrefix(t, []byte("DOCTYPE")) {
		return syntaxError(b.src, b.offset+1, "StartTag: invalid element name")
	}
	if bytes.ContainsAny(t, "[]") {
		return syntaxError(b.src, b.offset, "declarations in a DOCTYPE are not supported")
	}
	return nil
}

// tidy looks at the source of a start tag for what encoding/xml leaves undone:
// attributes need a blank between them, and line breaks and tabs in values are
// spaces (XML 1.0 section 3.3.3) unless they were written as references.
func (b *builder) tidy(t xml.StartElement) ([]xml.Attr, error) {
	raw := b.src[b.offset:b.dec.InputOffset()]
	var flat []byte
	var quote byte
	for i, c := range raw {
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
			if next := raw[i+1]; next != '/' && next != '>' && skipBlanks(raw, i+1) == i+1 {
				return nil, syntaxError(b.src, b.offset+i+1, "attributes construct error")
			}
		case quote != 0 && (c == '\t' || c == '\n'):
			if flat == nil {
				flat = bytes.Clone(raw)
			}
			flat[i] = ' '
		}
	}
	if flat == nil {
		return t.Attr, nil
	}
	tok, err := xml.NewDecoder(bytes.NewReader(flat)).RawToken()
	again, ok := tok.(xml.StartElement)
	if !ok || err != nil {
		return nil, syntaxError(b.src, b.offset, "attributes construct error")
	}
	return again.Attr, nil
}

// checkRefs refuses references to characters that XML does not have, which
// encoding/xml replaces.
func (b *builder) checkRefs() error {
	end := int(b.dec.InputOffset())
	for i := b.offset; i < end; {
		next := bytes.Index(b.src[i:end], []byte("&#"))
		if next < 0 {
			return nil
		}
		i += next
		if err := b.diagnoseCharRef(i, b.src[i:end]); err != nil {
			return err
		}
		i += len("&#")
	}
	return nil
}
