package relaxng

import (
	"strings"

	"github.com/virbr/virbr/xml"
)

// name is an expanded XML name.
type name struct{ space, local string }

func nameOf(t *xml.Tree) name { return name{t.Space, t.Name} }

func isText(t *xml.Tree) bool { return t.Name == "" }

// attrOf returns the value of an attribute in a namespace, "" for none.
func attrOf(t *xml.Tree, space, local string) (string, bool) {
	for _, a := range t.Attrs {
		if a.Space == space && a.Name == local {
			return a.Value, true
		}
	}
	return "", false
}

// textOf returns the text that t holds directly.
func textOf(t *xml.Tree) string {
	var b strings.Builder
	for _, c := range t.Children {
		b.WriteString(c.Text)
	}
	return b.String()
}

// blank reports whether s is white space in the sense of XML.
func blank(s string) bool { return strings.Trim(s, " \t\r\n") == "" }

// words splits a string at XML's white space.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' })
}
