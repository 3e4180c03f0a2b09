package policy

import (
	"cmp"
	"encoding/xml"
	"io/fs"
	"slices"
	"testing"

	"github.com/virbr/virbr/schemas"
)

// rng is an element of a grammar.
type rng struct {
	XMLName xml.Name
	Name    string `xml:"name,attr"`
	NS      string `xml:"ns,attr"`
	Href    string `xml:"href,attr"`
	Kids    []*rng `xml:",any"`
}

// grammar is a grammar with all that it includes.
type grammar struct {
	start   []*rng
	defines map[string][]*rng
}

func readGrammar(t *testing.T, file string) *grammar {
	t.Helper()
	g := &grammar{defines: map[string][]*rng{}}
	g.include(t, file)
	return g
}

func (g *grammar) include(t *testing.T, file string) {
	t.Helper()
	text, err := fs.ReadFile(schemas.FS(), file)
	if err != nil {
		t.Fatal(err)
	}
	var root rng
	if err := xml.Unmarshal(text, &root); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	g.add(t, root.Kids)
}

// add takes components in. Those inside of an include come after what is
// included, and take its place.
func (g *grammar) add(t *testing.T, kids []*rng) {
	t.Helper()
	for _, kid := range kids {
		switch kid.XMLName.Local {
		case "include":
			g.include(t, kid.Href)
			for _, over := range kid.Kids {
				if over.XMLName.Local == "start" {
					g.start = nil
				}
				delete(g.defines, over.Name)
			}
			g.add(t, kid.Kids)
		case "start":
			g.start = append(g.start, kid.Kids...)
		case "define":
			g.defines[kid.Name] = append(g.defines[kid.Name], kid.Kids...)
		}
	}
}

// paths returns all elements and attributes of documents, below the root: as
// "ip/dhcp/host" and "ip/dhcp/host@mac". Elements of our own namespace are left
// out.
func (g *grammar) paths() []string {
	found := map[string]bool{}
	var walk func(at, ns string, list []*rng, depth int)
	walk = func(at, ns string, list []*rng, depth int) {
		if depth > 60 {
			return // a pattern that contains itself
		}
		for _, p := range list {
			switch p.XMLName.Local {
			case "element":
				name, ok := prefixed(cmp.Or(p.NS, ns), p.Name)
				if !ok {
					continue
				}
				next := join(at, name)
				found[next] = true
				walk(next, cmp.Or(p.NS, ns), p.Kids, depth+1)
			case "attribute":
				if p.NS == "" && p.Name != "" {
					found[at+"@"+p.Name] = true
				}
			case "ref":
				walk(at, "", g.defines[p.Name], depth+1)
			default:
				walk(at, ns, p.Kids, depth+1)
			}
		}
	}
	for _, p := range g.start {
		root := p
		for root.XMLName.Local == "ref" {
			root = g.defines[root.Name][0]
		}
		walk("", "", root.Kids, 0)
	}
	list := make([]string, 0, len(found))
	for path := range found {
		list = append(list, path)
	}
	slices.Sort(list)
	return list
}

// dnsmasqOptions is the namespace of raw options for dnsmasq.
const dnsmasqOptions = "http://libvirt.org/schemas/network/dnsmasq/1.0"

// prefixed is an element's name as the page has it. It is false for elements
// that are no part of libvirt's documents.
func prefixed(namespace, name string) (string, bool) {
	switch {
	case namespace == dnsmasqOptions:
		return "dnsmasq:" + name, true
	case namespace != "" || name == "":
		return "", false
	}
	return name, true
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "/" + name
}
