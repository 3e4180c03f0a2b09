package relaxng

import (
	"errors"
	"strings"

	"github.com/virbr/virbr/xml"
)

// Compile reads the schema in file and what it includes, which read returns by
// the name in the href, and makes it ready for use.
//
// The data types are string, token, anyURI, NCName, integer,
// nonNegativeInteger, positiveInteger, unsignedLong, unsignedInt, unsignedShort
// and unsignedByte of XML Schema, and RELAX NG's own string and token. Params
// are pattern, length, minLength, maxLength, and, for the integers,
// minInclusive and maxInclusive. The error is a *SchemaError.
func Compile(file string, read func(file string) ([]byte, error)) (*Schema, error) {
	g := &grammar{read: read, defs: map[string]*definition{}}
	if err := g.load(file, nil); err != nil {
		return nil, err
	}
	c := &compiler{grammar: g, builder: newBuilder(), refs: map[string]*pattern{}, busy: map[string]bool{}}
	start, err := c.ref(scope{file: file}, &xml.Tree{}, "")
	if err != nil {
		return nil, err
	}
	// Contents wait until now, so that elements may hold each other.
	for len(c.waiting) > 0 {
		w := c.waiting[0]
		c.waiting = c.waiting[1:]
		if w.element.content, err = c.group(w.scope, w.tree, w.skip); err != nil {
			return nil, err
		}
	}
	if c.exhausted() {
		return nil, scope{file: file}.fail(&xml.Tree{}, "the schema is larger than %d patterns", MaxPatterns)
	}
	return &Schema{start: start, base: c.builder}, nil
}

type compiler struct {
	*grammar
	*builder
	refs    map[string]*pattern
	busy    map[string]bool // refs being compiled
	waiting []content
}

// content is the content of an element that is still to be compiled; skip is 1
// if the tree's first child is its name class.
type content struct {
	element *pattern
	scope   scope
	tree    *xml.Tree
	skip    int
}

// ref returns the pattern of a definition.
func (c *compiler) ref(s scope, at *xml.Tree, id string) (*pattern, *SchemaError) {
	if p, ok := c.refs[id]; ok {
		return p, nil
	}
	d := c.defs[id]
	switch {
	case d == nil:
		return nil, s.fail(at, "%q is not defined", id)
	case c.busy[id]:
		return nil, s.fail(at, "%q is defined by itself", id)
	}
	c.busy[id] = true
	defer delete(c.busy, id)
	var whole *pattern
	for _, part := range d.parts {
		p, err := c.group(part.scope, part.tree, 0)
		switch {
		case err != nil:
			return nil, err
		case whole == nil:
			whole = p
		case d.combine == "choice":
			whole = c.choice(whole, p)
		default:
			whole = c.interleave(whole, p)
		}
		if is, ok := attrOf(part.tree, Hints, "is"); ok {
			whole = c.hint(whole, is)
		}
	}
	c.refs[id] = whole
	return whole, nil
}

// hint describes a pattern that is nothing but data as a whole.
func (c *compiler) hint(p *pattern, is string) *pattern {
	var all hinted
	for _, one := range alternatives(p) {
		if one.kind != data {
			return p
		}
		all.any = append(all.any, one.datum)
	}
	all.is = is
	return c.leaf(&pattern{kind: data, datum: all})
}

// patterns returns the RELAX NG children of t after the first skip ones.
func patterns(t *xml.Tree, skip int) []*xml.Tree {
	var list []*xml.Tree
	for _, child := range t.Children {
		if child.Space == rngSpace && !isText(child) {
			list = append(list, child)
		}
	}
	return list[min(skip, len(list)):]
}

// group compiles the children of t as a group.
func (c *compiler) group(s scope, t *xml.Tree, skip int) (*pattern, *SchemaError) {
	return c.fold(s, t, skip, c.builder.group)
}

func (c *compiler) fold(s scope, t *xml.Tree, skip int, join func(p, q *pattern) *pattern) (*pattern, *SchemaError) {
	var whole *pattern
	for _, child := range patterns(t, skip) {
		p, err := c.pattern(s.enter(child), child)
		if err != nil {
			return nil, err
		}
		if whole == nil {
			whole = p
		} else {
			whole = join(whole, p)
		}
	}
	if whole == nil {
		return nil, s.fail(t, "element %s is empty", t.Name)
	}
	return whole, nil
}

func (c *compiler) pattern(s scope, t *xml.Tree) (*pattern, *SchemaError) {
	switch t.Name {
	case "empty":
		return c.empty, nil
	case "text":
		return c.text, nil
	case "notAllowed":
		return c.notAllowed, nil
	case "element":
		return c.element(s, t)
	case "attribute":
		return c.attribute(s, t)
	case "ref":
		id, ok := attrOf(t, "", "name")
		if !ok || id == "" {
			return nil, s.fail(t, "a ref needs a name")
		}
		return c.ref(s, t, id)
	case "value":
		return c.value(s, t)
	case "data":
		return c.data(s, t)
	case "choice":
		p, err := c.fold(s, t, 0, c.builder.choice)
		if is, ok := attrOf(t, Hints, "is"); ok && err == nil {
			p = c.hint(p, is)
		}
		return p, err
	case "interleave":
		return c.fold(s, t, 0, c.builder.interleave)
	}
	return c.repeated(s, t)
}

// repeated compiles the elements that stand for a group of their children.
func (c *compiler) repeated(s scope, t *xml.Tree) (*pattern, *SchemaError) {
	p, err := c.group(s, t, 0)
	if err != nil {
		return nil, err
	}
	switch t.Name {
	case "group":
		return p, nil
	case "optional":
		return c.choice(p, c.empty), nil
	case "zeroOrMore":
		return c.choice(c.oneOrMore(p), c.empty), nil
	case "oneOrMore":
		return c.oneOrMore(p), nil
	case "mixed":
		return c.interleave(c.text, p), nil
	case "list":
		return c.list(p), nil
	}
	return nil, s.fail(t, "element %s is not served", t.Name)
}

func (c *compiler) element(s scope, t *xml.Tree) (*pattern, *SchemaError) {
	names, skip, err := nameClassOf(s, t, s.ns)
	if err != nil {
		return nil, err
	}
	p := c.leaf(&pattern{kind: element, names: names})
	c.waiting = append(c.waiting, content{p, s, t, skip})
	return p, nil
}

func (c *compiler) attribute(s scope, t *xml.Tree) (*pattern, *SchemaError) {
	// The name attribute of an attribute is in no namespace but its own ns.
	ns, _ := attrOf(t, "", "ns")
	names, skip, err := nameClassOf(s, t, ns)
	if err != nil {
		return nil, err
	}
	p := &pattern{kind: attribute, attrs: true, names: names, content: c.text}
	if len(patterns(t, skip)) > 0 {
		if p.content, err = c.group(s, t, skip); err != nil {
			return nil, err
		}
	}
	return c.leaf(p), nil
}

// nameClassOf returns the name class of an element or attribute, and how many
// of its children it takes.
func nameClassOf(s scope, t *xml.Tree, ns string) (nameClass, int, *SchemaError) {
	if local, ok := attrOf(t, "", "name"); ok {
		if local = strings.TrimSpace(local); local == "" || strings.Contains(local, ":") {
			return nil, 0, s.fail(t, "name %q is not served (use ns in place of a prefix)", local)
		}
		return exactName{ns, local}, 0, nil
	}
	list := patterns(t, 0)
	if len(list) == 0 {
		return nil, 0, s.fail(t, "element %s needs a name", t.Name)
	}
	class, err := nameClassFrom(s.enter(list[0]), list[0])
	return class, 1, err
}

func nameClassFrom(s scope, t *xml.Tree) (nameClass, *SchemaError) {
	switch t.Name {
	case "name":
		local := strings.TrimSpace(textOf(t))
		if local == "" || strings.Contains(local, ":") {
			return nil, s.fail(t, "name %q is not served (use ns in place of a prefix)", local)
		}
		return exactName{s.ns, local}, nil
	case "anyName", "nsName", "choice", "except":
	default:
		return nil, s.fail(t, "element %s is no name class", t.Name)
	}
	var inner nameChoice
	for _, child := range patterns(t, 0) {
		class, err := nameClassFrom(s.enter(child), child)
		if err != nil {
			return nil, err
		}
		inner = append(inner, class)
	}
	switch t.Name {
	case "anyName":
		return anyName{inner}, nil
	case "nsName":
		return nsName{s.ns, inner}, nil
	}
	return inner, nil
}

func (c *compiler) value(s scope, t *xml.Tree) (*pattern, *SchemaError) {
	kind, ok := attrOf(t, "", "type")
	if !ok {
		kind, s.library = "token", ""
	}
	typ, err := typeOf(s, t, kind)
	if err != nil {
		return nil, err
	}
	v := valueOf{datatype: typ, want: typ.space(textOf(t))}
	if typ.integer && !decimal(v.want) {
		return nil, s.fail(t, "value %q is no %s", v.want, kind)
	}
	return c.leaf(&pattern{kind: data, datum: v}), nil
}

func (c *compiler) data(s scope, t *xml.Tree) (*pattern, *SchemaError) {
	kind, _ := attrOf(t, "", "type")
	typ, err := typeOf(s, t, kind)
	if err != nil {
		return nil, err
	}
	d, broken := newData(typ)
	if broken != nil {
		return nil, s.fail(t, "%v", broken)
	}
	d.is, _ = attrOf(t, Hints, "is")
	for _, child := range patterns(t, 0) {
		switch id, _ := attrOf(child, "", "name"); child.Name {
		case "param":
			broken = d.param(id, textOf(child))
		case "except":
			if err := c.exceptions(d, s, child); err != nil {
				return nil, err
			}
		default:
			broken = errors.New("element " + child.Name + " is not served in data")
		}
		if broken != nil {
			return nil, s.fail(child, "%v", broken)
		}
	}
	return c.leaf(&pattern{kind: data, datum: d}), nil
}

func (c *compiler) exceptions(d *dataOf, s scope, t *xml.Tree) *SchemaError {
	p, err := c.fold(s.enter(t), t, 0, c.builder.choice)
	if err != nil {
		return err
	}
	for _, one := range alternatives(p) {
		if one.kind != data {
			return s.fail(t, "except may hold data and values only")
		}
		d.except = append(d.except, one.datum)
	}
	return nil
}

func typeOf(s scope, t *xml.Tree, kind string) (datatype, *SchemaError) {
	table := builtinTypes
	switch s.library {
	case "":
	case xsdLibrary:
		table = xsdTypes
	default:
		return datatype{}, s.fail(t, "data type library %q is not served", s.library)
	}
	typ, ok := table[kind]
	if !ok {
		return datatype{}, s.fail(t, "data type %q is not served", kind)
	}
	return typ, nil
}
