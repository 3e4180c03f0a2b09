package xml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// The JSON form of extensions has the words of the XML: an attribute is a string, or a
// number where it is one; an element is an object, and those that may be repeated are
// an array of them in their order. schemas/json/extensions.json describes it.
var (
	repeated = []string{"guard", "allow", "uplink", "portForward", "range", "address", "deprecated"}
	numbers  = []string{"start", "end", "to", "lifetime"}
)

// ExtensionsJSON returns the JSON form of a document with a <virbr:network> element,
// whether it makes sense or not.
func ExtensionsJSON(doc []byte) ([]byte, error) {
	tree, err := ParseTree(doc)
	if err != nil {
		return nil, err
	}
	return json.Marshal(tree.object())
}

func (t *Tree) object() map[string]any {
	o := map[string]any{}
	for _, a := range t.Attrs {
		o[a.Name] = a.Value
		if n, err := strconv.ParseUint(a.Value, 10, 32); err == nil && slices.Contains(numbers, a.Name) {
			o[a.Name] = n
		}
	}
	for _, c := range t.Children {
		if c.Name == "" {
			continue // text, of which the vocabulary has none
		}
		before, ok := o[c.Name].([]any)
		if one := o[c.Name]; !ok && one != nil {
			before, ok = []any{one}, true
		}
		if ok || slices.Contains(repeated, c.Name) {
			o[c.Name] = append(before, c.object())
		} else {
			o[c.Name] = c.object()
		}
	}
	return o
}

// MarshalJSON returns the JSON form.
func (e *Extensions) MarshalJSON() ([]byte, error) { return ExtensionsJSON([]byte(e.String())) }

// UnmarshalJSON reads the JSON form, with the checks of [ParseExtensions].
func (e *Extensions) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		return fmt.Errorf("reading extensions: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("reading extensions: there is more than one object")
	}
	root, err := elementOf("network", o)
	if err != nil {
		return fmt.Errorf("reading extensions: %w", err)
	}
	read, err := parseExtensions(root, "virbr:network")
	if err != nil {
		return err
	}
	*e = *read
	return nil
}

// elementOf is the element that an object stands for.
func elementOf(name string, o map[string]any) (*node, error) {
	el := &node{kind: elementNode, space: Namespace, name: name}
	keys := make([]string, 0, len(o))
	for key := range o {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	add := func(key string, v any) error {
		child, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%q in %q is not an object", key, name)
		}
		c, err := elementOf(key, child)
		if err == nil {
			el.children = append(el.children, c)
		}
		return err
	}
	for _, key := range keys {
		var err error
		switch v := o[key].(type) {
		case string:
			el.attrs = append(el.attrs, attribute{name: key, value: v})
		case json.Number:
			el.attrs = append(el.attrs, attribute{name: key, value: v.String()})
		case []any:
			for _, one := range v {
				err = errors.Join(err, add(key, one))
			}
		default:
			err = add(key, v)
		}
		if err != nil {
			return nil, err
		}
	}
	return el, nil
}
