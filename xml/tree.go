package xml

import "strings"

// Tree is one element of a document as it was read, or a piece of text if Name
// is empty. It is for readers that need every element and attribute, such as
// the schema validator; others use the typed model. Comments and processing
// instructions are left out, adjacent pieces of text are joined, and blank text
// between elements is gone.
type Tree struct {
	Space    string // namespace URI; "": none
	Name     string // local name
	Attrs    []TreeAttr
	Children []*Tree
	Text     string // text only
	Line     int    // line of the start tag, from 1
}

// TreeAttr is one attribute of a Tree. Namespace declarations are not
// attributes.
type TreeAttr struct{ Space, Name, Value string }

// ParseTree reads a document with whatever root element. The error is an
// *Error: the document is not well-formed, or larger than any that is accepted.
func ParseTree(doc []byte) (*Tree, error) {
	n, err := parseAny(doc)
	if err != nil {
		return nil, err
	}
	return n.tree(), nil
}

func (n *node) tree() *Tree {
	t := &Tree{Space: n.space, Name: n.name, Line: n.line}
	for _, a := range n.attrs {
		t.Attrs = append(t.Attrs, TreeAttr{Space: a.space, Name: a.name, Value: a.value})
	}
	for i := 0; i < len(n.children); {
		c := n.children[i]
		if c.kind == elementNode {
			t.Children = append(t.Children, c.tree())
			i++
			continue
		}
		var text strings.Builder
		for ; i < len(n.children) && n.children[i].kind != elementNode; i++ {
			text.WriteString(n.children[i].ownText())
		}
		if text.Len() > 0 {
			t.Children = append(t.Children, &Tree{Text: text.String(), Line: c.line})
		}
	}
	return t
}
