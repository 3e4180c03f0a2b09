package relaxng_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/virbr/virbr/schemas/relaxng"
)

func TestInclude(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"main.rng": grammar(`<include href="part.rng">
			<start><element name="r"><ref name="x"/><ref name="y"/></element></start>
			<div><define name="x">` + a + `</define></div>
		</include>`),
		"part.rng": grammar(`<include href="deep.rng"/><start><notAllowed/></start><define name="y">` + b + `</define>`),
		"deep.rng": grammar(`<define name="x">` + c + `</define>`),
	}
	s, err := relaxng.Compile("main.rng", reader(files))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(parse(t, "<r><a/><b/></r>")); err != nil {
		t.Error(err)
	}
	if err := s.Validate(parse(t, "<r><c/><b/></r>")); err == nil {
		t.Error("the definition that was overridden is still in force")
	}
}

// TestCompileRefuses has schemas that are wrong, or that use what is not
// served: they must not compile into something else than they say.
func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, schema, want string }{
		{"no XML", "<grammar", "s.rng:0: "},
		{"no grammar", "<element xmlns='http://relaxng.org/ns/structure/1.0' name='r'/>", "not RELAX NG's grammar"},
		{"grammar of another namespace", "<grammar/>", "not RELAX NG's grammar"},
		{"no start", grammar(""), `"" is not defined`},
		{"no file", grammar(`<include href="none.rng"/>`), "none.rng:0: file does not exist"},
		{"includes itself", grammar(`<include href="s.rng"/>`), "more than 32 files"},
		{"include without href", grammar(`<include/>`), "needs a href"},
		{"two defines", grammar(`<define name="x"><empty/></define><define name="x"><empty/></define>`), `"x" is defined twice`},
		{"two ways to combine", grammar(`<define name="x" combine="choice"><empty/></define><define name="x" combine="interleave"><empty/></define>`), `combine="interleave" does not fit`},
		{"define without name", grammar(`<define><empty/></define>`), "a define needs a name"},
		{"undefined", root("\n<ref name='x'/>"), `s.rng:3: "x" is not defined`},
		{"ref without name", root(`<ref/>`), "a ref needs a name"},
		{"defined by itself", grammar(`<start><ref name="x"/></start><define name="x"><optional><ref name="x"/></optional></define>`), `"x" is defined by itself`},
		{"element without content", root(``), "element element is empty"},
		{"element without name", grammar(`<start><element/></start>`), "needs a name"},
		{"prefix", grammar(`<start><element name="p:r"><empty/></element></start>`), `name "p:r" is not served`},
		{"externalRef", root(`<externalRef href="s.rng"/>`), "externalRef"},
		{"nested grammar", root(`<grammar/>`), "grammar"},
		{"unknown pattern", root(`<oneOrmore>` + a + `</oneOrmore>`), "oneOrmore"},
		{"unknown in grammar", grammar(`<element name="r"><empty/></element>`), "not served in a grammar"},
		{"unknown type", root(`<data type="dateTime"/>`), `data type "dateTime" is not served`},
		{"unknown library", root(`<data type="string" datatypeLibrary="urn:x"/>`), `data type library "urn:x" is not served`},
		{"type of no library", root(`<data type="integer" datatypeLibrary=""/>`), `data type "integer" is not served`},
		{"value that is none", root(`<value type="integer">x</value>`), `value "x" is no integer`},
		{"unknown param", root(`<data type="string"><param name="totalDigits">3</param></data>`), `param "totalDigits" is not served`},
		{"bounds of a string", root(`<data type="string"><param name="minInclusive">3</param></data>`), "a type that is no integer"},
		{"length that is no number", root(`<data type="string"><param name="length">x</param></data>`), "invalid syntax"},
		{"pattern with a class escape", root(`<data type="string"><param name="pattern">\i+</param></data>`), `escape \i is not served`},
		{"pattern with an anchor", root(`<data type="string"><param name="pattern">^a</param></data>`), "is not served"},
		{"pattern with subtraction", root(`<data type="string"><param name="pattern">[a-z-[x]]</param></data>`), "subtraction"},
		{"pattern with a Go group", root(`<data type="string"><param name="pattern">(?i:a)</param></data>`), "is not served"},
		{"pattern that is none", root(`<data type="string"><param name="pattern">(a</param></data>`), "missing closing"},
		{"except of elements", root(`<data type="string"><except>` + a + `</except></data>`), "data and values only"},
		{"name class that is none", grammar(`<start><element><anyName><except><text/></except></anyName><empty/></element></start>`), "no name class"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := relaxng.Compile("s.rng", reader(map[string]string{"s.rng": tt.schema}))
			bad := (*relaxng.SchemaError)(nil)
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Compile = %v, %v, want a *SchemaError with %q", s, err, tt.want)
			}
		})
	}
}

// TestLargeSchema has more definitions than stack, and a reference chain.
func TestLargeSchema(t *testing.T) {
	t.Parallel()
	var defs strings.Builder
	const n = 2000
	for i := range n {
		fmt.Fprintf(&defs, `<define name="d%d"><element name="e%d"><ref name="d%d"/></element></define>`, i, i, i+1)
	}
	s := compile(t, grammar(`<start><ref name="d0"/></start>`+defs.String()+fmt.Sprintf(`<define name="d%d"><empty/></define>`, n)))
	if err := s.Validate(parse(t, "<e0><e1/></e0>")); err == nil || !strings.Contains(err.Error(), `line 1: element "e1": element "e2" is missing`) {
		t.Errorf("%v, want e2 to be missing", err)
	}
}
