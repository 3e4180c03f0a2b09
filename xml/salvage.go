package xml

import (
	"maps"
	"strings"
)

// BrokenElement is an element of <virbr:network> that makes no sense.
type BrokenElement struct {
	Text string // the element, in one line
	Err  error  // an [*Error] with its line
}

// SalvageExtensions reads what [ParseExtensions] refuses, as far as it can: the
// elements that make sense, and those that do not. The error is that there are no
// elements to be told apart.
func SalvageExtensions(doc []byte) (e *Extensions, broken []BrokenElement, err error) {
	root, err := parseAny(doc)
	if err != nil {
		return nil, nil, err
	}
	if root.name != "network" || root.space != Namespace && root.space != "" {
		_, err := ParseExtensions(doc)
		return nil, nil, err
	}
	e = &Extensions{}
	r := newExtensionReader(e, "virbr:network", nil)
	for _, el := range root.children {
		if el.kind != elementNode {
			continue
		}
		if err := r.take(el); err != nil {
			maps.DeleteFunc(r.holders, func(_ forwardKey, at int) bool { return at >= len(e.Forwards) })
			broken = append(broken, BrokenElement{Text: strings.Join(strings.Fields(string(el.dump(nil, 0, false))), " "), Err: lined(err)})
		}
	}
	return e, broken, nil
}
