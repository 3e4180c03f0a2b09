package relaxng

import (
	"fmt"

	"github.com/virbr/virbr/xml"
)

// rngSpace is RELAX NG's own namespace, xsdLibrary that of the data types of
// XML Schema.
const (
	rngSpace   = "http://relaxng.org/ns/structure/1.0"
	xsdLibrary = "http://www.w3.org/2001/XMLSchema-datatypes"
)

// Hints is the namespace of the "is" attribute that describes values to people.
const Hints = "urn:virbr:schema-hints:1"

// maxFiles bounds how many files make up one schema.
const maxFiles = 32

// scope is what an element of a schema inherits from those around it.
type scope struct {
	file    string
	ns      string
	library string
}

// enter returns the scope inside of t.
func (s scope) enter(t *xml.Tree) scope {
	if ns, ok := attrOf(t, "", "ns"); ok {
		s.ns = ns
	}
	if lib, ok := attrOf(t, "", "datatypeLibrary"); ok {
		s.library = lib
	}
	return s
}

func (s scope) fail(t *xml.Tree, format string, args ...any) *SchemaError {
	return &SchemaError{File: s.file, Line: t.Line, Msg: fmt.Sprintf(format, args...)}
}

// definition is a define or start element with those that are combined with it.
type definition struct {
	parts   []part
	combine string // "", "choice" or "interleave"
	whole   bool   // a part without a combine attribute was seen
}

type part struct {
	scope scope
	tree  *xml.Tree
}

// grammar holds the definitions of all files of a schema. The start is the one
// named "", which no define can have.
type grammar struct {
	read  func(file string) ([]byte, error)
	files int
	defs  map[string]*definition
}

// load reads a file and adds its definitions, but for those in skip, which the
// including file gives anew.
func (g *grammar) load(file string, skip map[string]bool) *SchemaError {
	s := scope{file: file}
	if g.files++; g.files > maxFiles {
		return s.fail(&xml.Tree{}, "more than %d files", maxFiles)
	}
	doc, err := g.read(file)
	if err != nil {
		return s.fail(&xml.Tree{}, "%v", err)
	}
	root, err := xml.ParseTree(doc)
	if err != nil {
		return s.fail(&xml.Tree{}, "%v", err)
	}
	if root.Space != rngSpace || root.Name != "grammar" {
		return s.fail(root, "the root element is not RELAX NG's grammar")
	}
	return g.components(s.enter(root), root, skip)
}

func (g *grammar) components(s scope, parent *xml.Tree, skip map[string]bool) *SchemaError {
	for _, t := range parent.Children {
		if t.Space != rngSpace || isText(t) {
			continue
		}
		in := s.enter(t)
		var err *SchemaError
		switch t.Name {
		case "start", "define":
			err = g.define(in, t, skip)
		case "div":
			err = g.components(in, t, skip)
		case "include":
			err = g.include(in, t, skip)
		default:
			err = in.fail(t, "element %s is not served in a grammar", t.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *grammar) define(s scope, t *xml.Tree, skip map[string]bool) *SchemaError {
	id, _ := attrOf(t, "", "name")
	if (t.Name == "start") != (id == "") {
		return s.fail(t, "a define needs a name, a start has none")
	}
	if skip[id] {
		return nil
	}
	d := g.defs[id]
	if d == nil {
		d = &definition{}
		g.defs[id] = d
	}
	switch combine, ok := attrOf(t, "", "combine"); {
	case !ok && d.whole:
		return s.fail(t, "%q is defined twice without combine", id)
	case !ok:
		d.whole = true
	case combine != "choice" && combine != "interleave", d.combine != "" && d.combine != combine:
		return s.fail(t, "combine=%q does not fit", combine)
	default:
		d.combine = combine
	}
	d.parts = append(d.parts, part{s, t})
	return nil
}

// include adds the definitions of another file; those inside of the include
// element take the place of the file's own.
func (g *grammar) include(s scope, t *xml.Tree, skip map[string]bool) *SchemaError {
	href, ok := attrOf(t, "", "href")
	if !ok || s.ns != "" {
		return s.fail(t, "an include needs a href and no ns around it")
	}
	inner := map[string]bool{}
	for id := range skip {
		inner[id] = true
	}
	overrides(t, inner)
	if err := g.load(href, inner); err != nil {
		return err
	}
	return g.components(s, t, skip)
}

func overrides(t *xml.Tree, ids map[string]bool) {
	for _, c := range t.Children {
		if c.Space != rngSpace {
			continue
		}
		switch c.Name {
		case "start", "define":
			id, _ := attrOf(c, "", "name")
			ids[id] = true
		case "div":
			overrides(c, ids)
		}
	}
}
