package relaxng_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/virbr/virbr/schemas/relaxng"
	"github.com/virbr/virbr/xml"
)

// grammar wraps definitions into a schema.
func grammar(definitions string) string {
	return `<grammar xmlns="http://relaxng.org/ns/structure/1.0" xmlns:h="urn:virbr:schema-hints:1"
  datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">` + definitions + `</grammar>`
}

func root(pattern string) string {
	return grammar(`<start><element name="r">` + pattern + `</element></start>`)
}

// reader serves files out of a map.
func reader(files map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if doc, ok := files[name]; ok {
			return []byte(doc), nil
		}
		return nil, os.ErrNotExist
	}
}

func compile(t testing.TB, schema string) *relaxng.Schema {
	t.Helper()
	s, err := relaxng.Compile("s.rng", reader(map[string]string{"s.rng": schema}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(t testing.TB, doc string) *xml.Tree {
	t.Helper()
	tree, err := xml.ParseTree([]byte(doc))
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return tree
}

const (
	a = `<element name="a"><empty/></element>`
	b = `<element name="b"><empty/></element>`
	c = `<element name="c"><empty/></element>`
)

// TestPatterns goes through the language; xmllint must agree.
func TestPatterns(t *testing.T) {
	t.Parallel()
	_, lookErr := exec.LookPath("xmllint")
	if lookErr != nil && os.Getenv("REQUIRE_NETNS") == "1" {
		t.Fatal("xmllint is missing; install libxml2-utils")
	}
	for _, tt := range []struct {
		name, schema string
		fit, unfit   []string
	}{
		{"empty", root(`<empty/>`), []string{"<r/>", "<r> </r>", "<r><!-- c --></r>"}, []string{"<r>x</r>", "<r><a/></r>", "<r x=''/>"}},
		{"notAllowed", root(`<choice><notAllowed/>` + a + `</choice>`), []string{"<r><a/></r>"}, []string{"<r/>"}},
		{"text", root(`<text/>`), []string{"<r/>", "<r>x<![CDATA[<y/>]]></r>", "<r>x<!-- c -->y</r>"}, []string{"<r><a/></r>"}},
		{"group", root(a + b), []string{"<r><a/><b/></r>", "<r> <a/> <b/> </r>"}, []string{"<r><b/><a/></r>", "<r><a/></r>", "<r><a/><b/><b/></r>", "<r><a/>x<b/></r>"}},
		{"interleave", root(`<interleave>` + a + `<optional>` + b + `</optional><zeroOrMore>` + c + `</zeroOrMore></interleave>`),
			[]string{"<r><a/></r>", "<r><c/><a/><c/><b/><c/></r>"}, []string{"<r><b/></r>", "<r><a/><a/></r>", "<r><b/><a/><b/></r>"}},
		{"interleave of groups", root(`<interleave><group>` + a + b + `</group>` + c + `</interleave>`),
			[]string{"<r><a/><c/><b/></r>", "<r><c/><a/><b/></r>"}, []string{"<r><b/><c/><a/></r>", "<r><a/><c/></r>"}},
		{"choice", root(`<choice>` + a + b + `<group>` + c + c + `</group></choice>`), []string{"<r><a/></r>", "<r><c/><c/></r>"}, []string{"<r/>", "<r><c/></r>", "<r><a/><b/></r>"}},
		{"oneOrMore of a group", root(`<oneOrMore>` + a + b + `</oneOrMore>`), []string{"<r><a/><b/><a/><b/></r>"}, []string{"<r/>", "<r><a/><b/><a/></r>"}},
		{"mixed", root(`<mixed>` + a + b + `</mixed>`), []string{"<r>x<a/>y<b/>z</r>", "<r><a/><b/></r>"}, []string{"<r>x<b/><a/></r>"}},
		{"list", root(`<list><oneOrMore><data type="integer"/></oneOrMore><value>end</value></list>`), []string{"<r>1 -2\n3 end</r>"}, []string{"<r>end</r>", "<r>1 2</r>", "<r>1 x end</r>"}},
		{"attribute", root(`<attribute name="x"><value>1</value></attribute><optional><attribute name="y"/></optional>`),
			[]string{"<r x='1'/>", "<r y='any' x=' 1 '/>"}, []string{"<r/>", "<r x='2'/>", "<r x='1' z=''/>", "<r x='1' xmlns:n='urn:n' n:y=''/>"}},
		{"attributes choose content", root(`<choice><group><attribute name="x"><value>a</value></attribute>` + a + `</group><group><attribute name="x"><value>b</value></attribute>` + b + `</group></choice>`),
			[]string{"<r x='a'><a/></r>", "<r x='b'><b/></r>"}, []string{"<r x='a'><b/></r>", "<r x='b'/>"}},
		{"attribute or element", root(`<choice><attribute name="x"/><element name="x"><text/></element></choice>`), []string{"<r x=''/>", "<r><x>y</x></r>"}, []string{"<r/>", "<r x=''><x/></r>"}},
		{"namespaces", grammar(`<start><element name="r" ns="urn:r"><attribute name="x"/><attribute name="y" ns="urn:y"/><element name="a"><empty/></element><element name="b" ns=""><empty/></element></element></start>`),
			[]string{"<r xmlns='urn:r' x='' xmlns:y='urn:y' y:y=''><a/><b xmlns=''/></r>", "<p:r xmlns:p='urn:r' x='' xmlns:y='urn:y' y:y=''><p:a/><b/></p:r>"},
			[]string{"<r x='' xmlns:y='urn:y' y:y=''><a/><b/></r>", "<r xmlns='urn:r' x='' y=''><a/><b xmlns=''/></r>"}},
		{"name classes", root(`<zeroOrMore><element><anyName><except><name>a</name><nsName ns="urn:n"/></except></anyName><text/></element></zeroOrMore><zeroOrMore><element><nsName ns="urn:n"><except><name ns="urn:n">b</name></except></nsName><empty/></element></zeroOrMore><optional><element><choice><name>a</name><name>z</name></choice><empty/></element></optional>`),
			[]string{"<r><x/><b/><n:a xmlns:n='urn:n'/><a/></r>", "<r><z/></r>"}, []string{"<r><a/><a/></r>", "<r><n:b xmlns:n='urn:n'/></r>", "<r><a/><x/></r>"}},
		{"recursion", grammar(`<start><ref name="n"/></start><define name="n"><element name="n"><zeroOrMore><ref name="n"/></zeroOrMore></element></define>`),
			[]string{"<n><n/><n><n/></n></n>"}, []string{"<n><m/></n>"}},
		{"combine and div", grammar(`<start combine="choice"><element name="r"><ref name="x"/></element></start><div><start combine="choice"><element name="s"><empty/></element></start><define name="x" combine="interleave">` + a + `</define></div><define name="x" combine="interleave">` + b + `</define>`),
			[]string{"<r><b/><a/></r>", "<r><a/><b/></r>", "<s/>"}, []string{"<r><a/></r>", "<t/>"}},
		{"anything", grammar(`<start><element name="r"><ref name="any"/></element></start><define name="any"><zeroOrMore><choice><attribute><anyName/></attribute><text/><element><anyName/><ref name="any"/></element></choice></zeroOrMore></define>`),
			[]string{"<r/>", "<r a='1' b='2'>x<y xmlns='urn:y' z='3'><r/></y>w</r>"}, nil},
		{"integers", root(`<data type="integer"><param name="minInclusive">-5</param><param name="maxInclusive">100000000000000000000</param></data>`),
			[]string{"<r>-5</r>", "<r> 007 </r>", "<r>100000000000000000000</r>", "<r>-0</r>", "<r>+1</r>"}, []string{"<r>-6</r>", "<r>100000000000000000001</r>", "<r>1.0</r>", "<r/>", "<r>0x1</r>", "<r>1 2</r>"}},
		{"unsigned", root(`<data type="unsignedLong"/>`), []string{"<r>18446744073709551615</r>", "<r>0</r>"}, []string{"<r>18446744073709551616</r>", "<r>-1</r>"}},
		{"value of an integer", root(`<value type="integer">10</value>`), []string{"<r>010</r>", "<r>10</r>"}, []string{"<r>100</r>", "<r>x</r>"}},
		{"value of a string", root(`<value type="string"> x </value>`), []string{"<r> x </r>"}, []string{"<r>x</r>"}},
		{"value of a token", root(`<value>x y</value>`), []string{"<r> x \n y</r>"}, []string{"<r>xy</r>"}},
		{"length", root(`<data type="token"><param name="minLength">2</param><param name="maxLength">3</param></data>`), []string{"<r> äö </r>", "<r>abc</r>"}, []string{"<r>a</r>", "<r>abcd</r>"}},
		{"patterns", root(`<data type="string"><param name="pattern">[a-c.\-]{2,}|x\?</param><param name="pattern">[^b]*</param></data>`), []string{"<r>a.-c</r>", "<r>x?</r>"}, []string{"<r>ab</r>", "<r>a</r>", "<r>xx?</r>", "<r>aa\n</r>"}},
		{"except", root(`<data type="NCName"><except><value>no</value><data type="string"><param name="maxLength">1</param></data></except></data>`), []string{"<r>yes</r>", "<r>a.b-c</r>"}, []string{"<r>no</r>", "<r>y</r>", "<r>a:b</r>", "<r>1a</r>"}},
		{"empty string", root(`<data type="string"/>`), []string{"<r/>", "<r></r>", "<r> </r>"}, []string{"<r><a/></r>"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := compile(t, tt.schema)
			for _, doc := range tt.fit {
				if err := s.Validate(parse(t, doc)); err != nil {
					t.Errorf("%s: %v, want no error", doc, err)
				}
			}
			for _, doc := range tt.unfit {
				bad := (*relaxng.Error)(nil)
				if err := s.Validate(parse(t, doc)); !errors.As(err, &bad) {
					t.Errorf("%s: %v, want an *Error", doc, err)
				} else if bad.Line != 1 || bad.Msg == "" {
					t.Errorf("%s: %#v, want line 1 and a message", doc, bad)
				}
			}
			if lookErr == nil {
				againstXMLLint(t, tt.schema, tt.fit, tt.unfit)
			}
		})
	}
}

func againstXMLLint(t *testing.T, schema string, fit, unfit []string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "s.rng")
	write(t, file, schema)
	args := []string{"--noout", "--nonet", "--relaxng", file}
	for i, doc := range append(fit[:len(fit):len(fit)], unfit...) {
		f := filepath.Join(dir, fmt.Sprintf("%d.xml", i))
		write(t, f, doc)
		args = append(args, f)
	}
	out, err := exec.CommandContext(t.Context(), "xmllint", args...).CombinedOutput()
	if (err != nil) != (len(unfit) > 0) {
		t.Fatalf("xmllint: %v\n%s", err, out)
	}
	for i, f := range args[4:] {
		if fits := strings.Contains(string(out), f+" validates\n"); fits != (i < len(fit)) {
			t.Errorf("%s: xmllint says fits=%v\n%s", append(fit[:len(fit):len(fit)], unfit...)[i], fits, out)
		}
	}
}

func write(t *testing.T, file, doc string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	hinted := `<attribute name="x"><choice h:is="a thing"><value>1</value><value>2</value></choice></attribute>`
	for _, tt := range []struct{ name, schema, doc, want string }{
		{"root", root(`<empty/>`), "\n<x/>", `line 2: element "x": not allowed as the root element, expected "r"`},
		{"wildcards are not listed", root(`<zeroOrMore><element><nsName ns="urn:n"/><empty/></element></zeroOrMore>`), "<r><x/></r>", `line 1: element "r": element "x" is not allowed here`},
		{"list of elements", root(a + `<optional>` + b + `</optional>`), "<r>\n<a/>\n<c/></r>", `line 3: element "r": element "c" is not allowed here (allowed: "a", "b")`},
		{"twice", root(`<optional>` + a + `</optional>`), "<r><a/>\n<a/></r>", `line 2: element "r": element "a" may be given only once here`},
		{"order", root(`<interleave><choice>` + a + b + `</choice>` + c + `</interleave>`), "<r><a/><b/></r>", `line 1: element "r": element "b" cannot be combined with the elements before it`},
		{"missing one of two", root(`<choice>` + a + b + `</choice>`), "<r/>", `line 1: element "r": element "a" or "b" is missing`},
		{"hint", root(hinted), "<r x='3'/>", `line 1: element "r": attribute "x": "3" is not allowed, expected a thing`},
		{"text", root(a), "<r>\n some text </r>", `line 1: element "r": text "some text" is not allowed here`},
		{"no value", root(`<data type="unsignedByte"/>`), "<r/>", `line 1: element "r": it is empty, expected a number from 0 to 255`},
		{"a long value is cut", root(`<attribute name="x"><value>1</value></attribute>`), "<r x='" + strings.Repeat("é", 99) + "'/>", `line 1: element "r": attribute "x": "` + strings.Repeat("é", 60) + `..." is not allowed, expected "1"`},
		{"control characters are escaped", root(`<attribute name="x"><value>1</value></attribute>`), "<r x='&#10;&#x202e;'/>", `line 1: element "r": attribute "x": "\n\u202e" is not allowed, expected "1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := compile(t, tt.schema).Validate(parse(t, tt.doc))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestIntricate has documents that are cheap to write and would be dear to
// check without memory of what was derived, and without a budget.
func TestIntricate(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(`<optional><element name="a"><empty/></element></optional>`, 24)
	var names strings.Builder
	for i := range 60 {
		fmt.Fprintf(&names, `<optional><element name="e%d"><text/></element></optional>`, i)
	}
	deep := func(n int) string { return strings.Repeat("<r>", n) + strings.Repeat("</r>", n) }
	nested := grammar(`<start><ref name="r"/></start><define name="r"><element name="r"><optional><ref name="r"/></optional></element></define>`)
	for _, tt := range []struct{ name, schema, doc, want string }{
		{"an interleave that is as ambiguous as can be", root(`<interleave>` + many + `</interleave>`), "<r>" + strings.Repeat("<a/>", 12) + "</r>", "too intricate"},
		{"a group of optionals with one name", root(many), "<r>" + strings.Repeat("<a/>", 24) + "</r>", ""},
		{"one more than there are", root(many), "<r>" + strings.Repeat("<a/>", 25) + "</r>", "only once"},
		{"an interleave of many optionals", root(`<interleave>` + names.String() + `</interleave>`), "<r><e59/><e0/><e31/><e1/><e58/></r>", ""},
		{"repetition in repetition", root(`<zeroOrMore><zeroOrMore><oneOrMore>` + a + `</oneOrMore></zeroOrMore><optional>` + b + `</optional></zeroOrMore>`), "<r>" + strings.Repeat("<a/><b/><a/>", 5000) + "</r>", ""},
		{"text in all places", root(`<mixed><zeroOrMore>` + a + `</zeroOrMore></mixed>`), "<r>" + strings.Repeat("x<a/>", 20000) + "</r>", ""},
		{"as deep as can be", nested, deep(relaxng.MaxDepth), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := compile(t, tt.schema).Validate(parse(t, tt.doc))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("%v, want no error", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestDepth(t *testing.T) {
	t.Parallel()
	s := compile(t, grammar(`<start><ref name="r"/></start><define name="r"><element name="r"><optional><ref name="r"/></optional></element></define>`))
	doc := &xml.Tree{Name: "r"}
	for range relaxng.MaxDepth {
		doc = &xml.Tree{Name: "r", Children: []*xml.Tree{doc}}
	}
	if err := s.Validate(doc); err == nil || !strings.Contains(err.Error(), "nested too deeply") {
		t.Errorf("%v, want an error about the depth", err)
	}
}

// TestTogether uses one schema from several goroutines; the race detector
// looks on.
func TestTogether(t *testing.T) {
	t.Parallel()
	s := compile(t, root(`<interleave><zeroOrMore>`+a+`</zeroOrMore><optional>`+b+`</optional></interleave>`))
	good, bad := parse(t, "<r><a/><b/><a/></r>"), parse(t, "<r><b/><a/><b/></r>")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				if err := s.Validate(good); err != nil {
					t.Error(err)
				}
				if err := s.Validate(bad); err == nil {
					t.Error("no error for a second b")
				}
			}
		})
	}
	group.Wait()
}
