package schemas_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/virbr/virbr/schemas"
	"github.com/virbr/virbr/xml"
)

var update = flag.Bool("update", false, "write json/extensions.json anew")

// object is a piece of a JSON schema.
type object = map[string]any

// content is what an element may have: attributes and children by name.
type content struct {
	properties object
	required   []string
	choices    [][]content // of each, one is taken
}

// translator turns virbr.rng into a JSON schema.
type translator struct {
	t       *testing.T
	defines map[string]*xml.Tree
	defs    object // of values, as far as they were referred to
}

// load reads the definitions of a grammar and of what it includes.
func (tr *translator) load(file string) *xml.Tree {
	tr.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tr.t.Fatal(err)
	}
	tree, err := xml.ParseTree(text)
	if err != nil {
		tr.t.Fatal(err)
	}
	for _, c := range tree.Children {
		switch c.Name {
		case "include":
			tr.load(attrOf(c, "href"))
		case "define":
			tr.defines[attrOf(c, "name")] = c
		}
	}
	return tree
}

func attrOf(t *xml.Tree, name string) string {
	for _, a := range t.Attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// elements are the children that are no text.
func elements(t *xml.Tree) []*xml.Tree {
	return slices.DeleteFunc(slices.Clone(t.Children), func(c *xml.Tree) bool { return c.Name == "" })
}

func (c *content) merge(o content, required bool) {
	for _, name := range slices.Sorted(maps.Keys(o.properties)) {
		v := o.properties[name]
		if had, ok := c.properties[name]; ok && !cmp.Equal(had, v) {
			v = object{"anyOf": []any{had, v}}
		}
		c.properties[name] = v
	}
	if required {
		c.required = append(c.required, o.required...)
	}
	c.choices = append(c.choices, o.choices...)
}

// contents gathers what patterns allow.
func (tr *translator) contents(patterns []*xml.Tree) content {
	all := content{properties: object{}}
	for _, p := range patterns {
		switch p.Name {
		case "interleave", "group":
			all.merge(tr.contents(elements(p)), true)
		case "optional":
			inner := tr.contents(elements(p))
			for i := range inner.choices { // or none of them
				inner.choices[i] = append(inner.choices[i], content{properties: object{}})
			}
			all.merge(inner, false)
		case "ref":
			all.merge(tr.contents(elements(tr.defines[attrOf(p, "name")])), true)
		case "zeroOrMore":
			for name, v := range tr.contents(elements(p)).properties {
				all.properties[name] = object{"type": "array", "items": v}
			}
		case "element":
			all.properties[attrOf(p, "name")] = tr.element(p)
			all.required = append(all.required, attrOf(p, "name"))
		case "attribute":
			all.properties[attrOf(p, "name")] = tr.values(elements(p))
			all.required = append(all.required, attrOf(p, "name"))
		case "choice":
			var choice []content
			for _, one := range elements(p) {
				c := tr.contents([]*xml.Tree{one})
				all.merge(c, false)
				choice = append(choice, c)
			}
			all.choices = append(all.choices, choice)
		case "empty":
		default:
			tr.t.Fatalf("virbr.rng has a %q that is not translated", p.Name)
		}
	}
	return all
}

// element is the schema of an object.
func (tr *translator) element(p *xml.Tree) object {
	c := tr.contents(elements(p))
	o := object{"type": "object", "properties": c.properties, "additionalProperties": false}
	if len(c.required) > 0 {
		o["required"] = slices.Sorted(slices.Values(c.required))
	}
	var all []any
	for _, choice := range c.choices {
		all = append(all, object{"anyOf": alternatives(choice)})
	}
	if len(all) > 0 {
		o["allOf"] = all
	}
	return o
}

// alternatives are those of a choice: each has what it needs, and nothing of the others.
func alternatives(choice []content) []any {
	names := map[string]bool{}
	for _, c := range choice {
		for name := range c.properties {
			names[name] = true
		}
	}
	var list []any
	for _, c := range choice {
		o := object{"properties": maps.Clone(c.properties)}
		if len(c.required) > 0 {
			o["required"] = slices.Sorted(slices.Values(c.required))
		}
		for name := range names {
			if _, ok := c.properties[name]; !ok {
				o["properties"].(object)[name] = false
			}
		}
		list = append(list, o)
	}
	return list
}

// values is the schema of an attribute's value.
func (tr *translator) values(patterns []*xml.Tree) any {
	if len(patterns) != 1 {
		tr.t.Fatalf("a value of %d patterns", len(patterns))
	}
	p := patterns[0]
	switch p.Name {
	case "value":
		return object{"const": p.Children[0].Text}
	case "data":
		return tr.data(p)
	case "ref":
		name := attrOf(p, "name")
		if _, ok := tr.defs[name]; !ok {
			v := tr.values(elements(tr.defines[name])).(object)
			if is := attrOf(tr.defines[name], "is"); is != "" {
				v["description"] = is
			}
			tr.defs[name] = v
		}
		return object{"$ref": "#/$defs/" + name}
	case "choice":
		var words, others []any
		for _, one := range elements(p) {
			if one.Name == "value" {
				words = append(words, one.Children[0].Text)
			} else {
				others = append(others, tr.values([]*xml.Tree{one}))
			}
		}
		if len(others) == 0 {
			return object{"enum": words}
		}
		if len(words) > 0 {
			others = append([]any{object{"enum": words}}, others...)
		}
		return object{"anyOf": others}
	}
	tr.t.Fatalf("virbr.rng has a value of %q that is not translated", p.Name)
	return nil
}

// data is the schema of a datatype. A pattern of XML Schema is about the whole text.
func (tr *translator) data(p *xml.Tree) object {
	o := object{"type": "string"}
	highest := map[string]uint64{"unsignedByte": 1<<8 - 1, "unsignedShort": 1<<16 - 1, "unsignedInt": 1<<32 - 1}[attrOf(p, "type")]
	if highest > 0 {
		o = object{"type": "integer", "minimum": 0, "maximum": highest}
	}
	for _, param := range elements(p) {
		value := param.Children[0].Text
		number, err := strconv.Atoi(value)
		switch name := attrOf(param, "name"); {
		case name == "pattern" && highest == 0:
			o["pattern"] = "^(?:" + value + ")$"
		case name == "pattern": // digits: JSON has numbers
		case name == "minInclusive" && err == nil:
			o["minimum"] = number
		case name == "minLength" && err == nil:
			o["minLength"] = number
		default:
			tr.t.Fatalf("virbr.rng has a param %q that is not translated", name)
		}
	}
	return o
}

const jsonForm = "json/extensions.json"

// TestJSONForm: the JSON schema of extensions is the RELAX NG in other words.
func TestJSONForm(t *testing.T) {
	tr := &translator{t: t, defines: map[string]*xml.Tree{}, defs: object{}}
	tr.load("virbr.rng")
	root := tr.element(elements(tr.defines["virbrNetwork"])[0])
	root["$schema"], root["$id"] = "https://json-schema.org/draft/2020-12/schema", "urn:virbr:json:extensions:1"
	root["title"], root["$defs"] = "Extensions of a network: <virbr:network> in JSON", tr.defs
	var made bytes.Buffer
	e := json.NewEncoder(&made)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(root); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(jsonForm, made.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	had, err := os.ReadFile(jsonForm)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(had), made.String()); diff != "" {
		t.Errorf("%s is not what virbr.rng says; go test ./schemas -run TestJSONForm -update (-want +got):\n%s", jsonForm, diff)
	}
	schema, err := jsonschema.NewCompiler().Compile(jsonForm)
	if err != nil {
		t.Fatal(err)
	}
	docs := extensionDocs()
	if len(docs) < 60 {
		t.Errorf("%d documents were found", len(docs))
	}
	for _, r := range docs {
		if err := sameVerdict(schema, r.doc); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}

// inXMLOnly are rules about what JSON does not have: namespaces.
var inXMLOnly = []string{"range without namespace", "attribute with namespace", "root without namespace"}

// extensionDocs are documents that fit and that do not.
func extensionDocs() []rule {
	var docs []rule
	for _, r := range extensionRules() {
		if strings.HasPrefix(r.name, "advprefix") && !strings.Contains(r.doc, "from=") { // which stands in live XML only
			doc := strings.NewReplacer("<ipv6", "<virbr:ipv6", "<dhcp", "<virbr:dhcp", "</ipv6", "</virbr:ipv6").Replace(r.doc)
			docs = append(docs, rule{r.name, fmt.Sprintf("<virbr:network xmlns:virbr='%s'>%s</virbr:network>", xml.Namespace, doc), ""})
		}
	}
	for _, r := range elementRules() {
		if !slices.Contains(inXMLOnly, r.name) {
			docs = append(docs, r)
		}
	}
	return docs
}

// sameVerdict: the schemas agree on a document, and what both take is the same when it
// was JSON.
func sameVerdict(schema *jsonschema.Schema, doc string) error {
	refused := schemas.New().ValidateExtension([]byte(doc))
	text, err := xml.ExtensionsJSON([]byte(doc))
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	err = schema.Validate(value)
	if (err == nil) != (refused == nil) {
		return fmt.Errorf("%s\nRELAX NG: %w; JSON: %w", text, refused, err)
	}
	want, err := xml.ParseExtensions([]byte(doc))
	if refused != nil || err != nil {
		return nil //nolint:nilerr // nothing to compare
	}
	var got xml.Extensions
	if err := json.Unmarshal(text, &got); err != nil {
		return err
	}
	again, err := json.Marshal(&got)
	if diff := cmp.Diff(want.String(), got.String()); diff != "" || err != nil {
		return fmt.Errorf("by way of %s (-want +got): %w\n%s", again, err, diff)
	}
	return nil
}
