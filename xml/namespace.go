package xml

import (
	"encoding/xml"
	"slices"
)

// Namespaces as libxml2 sees them (https://www.w3.org/TR/xml-names/), which
// encoding/xml's raw tokens leave open.

const xmlNamespace = "http://www.w3.org/XML/1998/namespace"

// attributes sorts declarations from attributes, then resolves the prefixes of
// the element and of its attributes. A prefix that nobody declared stays part
// of the name, as in libxml2.
func (b *builder) attributes(n *node, attrs []xml.Attr) error {
	for _, a := range attrs {
		prefix, ok := declares(a.Name)
		if !ok {
			n.attrs = append(n.attrs, attribute{prefix: a.Name.Space, name: a.Name.Local, value: a.Value})
			continue
		}
		if slices.ContainsFunc(n.decls, func(d declaration) bool { return d.prefix == prefix }) {
			return b.redefined(a.Name)
		}
		n.decls = append(n.decls, declaration{prefix: prefix, uri: a.Value})
		b.bound[prefix] = append(b.bound[prefix], a.Value)
	}
	n.prefix, n.name, n.space = b.resolve(n.prefix, n.name, true)
	for i := range n.attrs {
		a := &n.attrs[i]
		raw := xml.Name{Space: a.prefix, Local: a.name}
		a.prefix, a.name, a.space = b.resolve(a.prefix, a.name, false)
		for j := range i {
			if n.attrs[j].name == a.name && n.attrs[j].space == a.space {
				return b.redefined(raw)
			}
		}
	}
	return nil
}

// declares reports whether an attribute is a namespace declaration, and of
// which prefix.
func declares(name xml.Name) (prefix string, ok bool) {
	switch {
	case name.Space == "xmlns":
		return name.Local, true
	case name.Space == "" && name.Local == "xmlns":
		return "", true
	}
	return "", false
}

// resolve looks a prefix up in the open elements. Attributes without a prefix
// are in no namespace.
func (b *builder) resolve(prefix, name string, element bool) (string, string, string) {
	if prefix == "xml" {
		return prefix, name, xmlNamespace
	}
	if prefix == "" && !element {
		return "", name, ""
	}
	if uris := b.bound[prefix]; len(uris) > 0 {
		return prefix, name, uris[len(uris)-1]
	}
	if prefix == "" {
		return "", name, ""
	}
	return "", prefix + ":" + name, ""
}

func (b *builder) redefined(name xml.Name) error {
	q := name.Local
	if name.Space != "" {
		q = name.Space + ":" + q
	}
	at := int(b.dec.InputOffset()) - 1
	if b.src[at-1] == '/' {
		at--
	}
	return syntaxError(b.src, at, "Attribute %s redefined", q)
}

func (n *node) qname() string {
	if n.prefix == "" {
		return n.name
	}
	return n.prefix + ":" + n.name
}
