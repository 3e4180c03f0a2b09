package xml

import (
	"net/netip"
	"strconv"
)

// printer writes libvirt's canonical form: two spaces a level, attributes in
// single quotes, one element a line.
type printer struct {
	b     []byte
	level int
}

// attrs is a list of attributes that is being printed, or kept for a node.
type attrs struct {
	b    []byte
	keep bool
	list []attribute
}

// put adds an attribute whatever its value.
func (a *attrs) put(name, value string) *attrs {
	if a.keep {
		a.list = append(a.list, attribute{name: name, value: value})
		return a
	}
	a.b = append(append(append(a.b, ' '), name...), "='"...)
	a.b = append(escape(a.b, value, true), '\'')
	return a
}

// text adds an attribute if its value is not empty.
func (a *attrs) text(name, value string) *attrs {
	if value == "" {
		return a
	}
	return a.put(name, value)
}

// number adds an attribute if its value is not zero.
func (a *attrs) number(name string, value uint64) *attrs {
	if value == 0 {
		return a
	}
	return a.put(name, strconv.FormatUint(value, 10))
}

// addr adds an attribute if the address is valid.
func (a *attrs) addr(name string, value netip.Addr) *attrs {
	if !value.IsValid() {
		return a
	}
	return a.put(name, formatAddr(value))
}

// state adds a yes/no attribute if it is set.
func (a *attrs) state(name string, value Tristate) *attrs {
	return a.text(name, value.String())
}

// yes adds an attribute if it is set.
func (a *attrs) yes(name string, value bool) *attrs {
	if !value {
		return a
	}
	return a.put(name, "yes")
}

func (a *attrs) String() string { return string(a.b) }

func (p *printer) indent() {
	for range p.level {
		p.b = append(p.b, "  "...)
	}
}

func (p *printer) line(parts ...string) {
	p.indent()
	for _, s := range parts {
		p.b = append(p.b, s...)
	}
	p.b = append(p.b, '\n')
}

// open prints a start tag and goes one level deeper.
func (p *printer) open(name string, a *attrs) {
	p.line("<", name, a.String(), ">")
	p.level++
}

// end goes one level up and prints an end tag.
func (p *printer) end(name string) {
	p.level--
	p.line("</", name, ">")
}

// empty prints an element without content.
func (p *printer) empty(name string, a *attrs) { p.line("<", name, a.String(), "/>") }

// element prints an element with what body prints inside, or as an empty one
// if body prints nothing.
func (p *printer) element(name string, a *attrs, body func()) {
	outer := len(p.b)
	p.open(name, a)
	inner := len(p.b)
	body()
	if len(p.b) > inner {
		p.end(name)
		return
	}
	p.b = p.b[:outer]
	p.level--
	p.empty(name, a)
}

// tree prints an element that has no text in it.
func (p *printer) tree(n *node) {
	a := new(attrs)
	for _, d := range n.decls {
		a.put("xmlns:"+d.prefix, d.uri)
	}
	for _, at := range n.attrs {
		a.put(at.name, at.value)
	}
	p.element(n.qname(), a, func() {
		for _, c := range n.children {
			p.tree(c)
		}
	})
}

// leaf prints an element with text, if there is any.
func (p *printer) leaf(name, text string) {
	if text == "" {
		return
	}
	p.indent()
	p.b = append(p.b, "<"+name+">"...)
	p.b = append(escape(p.b, text, false), "</"+name+">\n"...)
}

// escape appends text with libvirt's five entities. Control characters that XML
// has no way to write are dropped. What the next parser would not read back as
// it is, is written as a character reference: carriage returns, and in
// attributes line feeds and tabs too.
func escape(b []byte, text string, attr bool) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case c == '<':
			b = append(b, "&lt;"...)
		case c == '>':
			b = append(b, "&gt;"...)
		case c == '&':
			b = append(b, "&amp;"...)
		case c == '"':
			b = append(b, "&quot;"...)
		case c == '\'':
			b = append(b, "&apos;"...)
		case c == '\r':
			b = append(b, "&#13;"...)
		case attr && c == '\n':
			b = append(b, "&#10;"...)
		case attr && c == '\t':
			b = append(b, "&#9;"...)
		case c >= ' ' || c == '\n' || c == '\t':
			b = append(b, c)
		}
	}
	return b
}
