package xml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMetadataForms holds the serialisation to what libvirt 9.0 with libxml2
// 2.9 printed for the same elements.
func TestMetadataForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"indented anew", "<a:b xmlns:a='u'><c/><!-- hi --><?pi x?><d>t</d></a:b>", "<metadata>\n    <a:b xmlns:a=\"u\">\n      <c/>\n      <!-- hi -->\n      <?pi x?>\n      <d>t</d>\n    </a:b>\n  </metadata>"},
		{"mixed content stays", "<a:b xmlns:a='u'>\n\n<c> </c> x <d><e/></d></a:b>", "<metadata>\n    <a:b xmlns:a=\"u\"><c> </c> x <d><e/></d></a:b>\n  </metadata>"},
		{"only elements with a namespace stay", "<!-- x --> text <b/><a:b xmlns:a='u'/><?pi x?>", "<metadata>\n    <a:b xmlns:a=\"u\"/>\n  </metadata>"},
		{"the first of a namespace stays", "<a:b xmlns:a='u'/><c:d xmlns:c='u'>2</c:d>", "<metadata>\n    <a:b xmlns:a=\"u\"/>\n  </metadata>"},
		{"nothing stays", "<b/>", "<metadata/>"},
		{"undeclared prefix", "<q:b/>", "<metadata/>"},
		{"escapes", "<a:b xmlns:a='u' z='é&#10;&quot;&apos;&lt;>'>é&quot;'&lt;&gt;&#13;</a:b>", "<metadata>\n    <a:b xmlns:a=\"u\" z=\"&#xE9;&#10;&quot;'&lt;&gt;\">é\"'&lt;&gt;&#13;</a:b>\n  </metadata>"},
		{"cdata", "<a:b xmlns:a='u'><c><![CDATA[<x>]]></c></a:b>", "<metadata>\n    <a:b xmlns:a=\"u\">\n      <c><![CDATA[<x>]]></c>\n    </a:b>\n  </metadata>"},
		{"preserved space", "<a:b xmlns:a='u' xml:space='preserve'> <c/> </a:b>", "<metadata>\n    <a:b xmlns:a=\"u\" xml:space=\"preserve\"> <c/> </a:b>\n  </metadata>"},
		{"default namespace", "<b xmlns='v'><c xmlns=''><d xmlns='v'/></c></b>", "<metadata>\n    <b xmlns=\"v\">\n      <c xmlns=\"\">\n        <d xmlns=\"v\"/>\n      </c>\n    </b>\n  </metadata>"},
		{"blank reference is text", "<a:b xmlns:a='u'>&#32;<c/></a:b>", "<metadata>\n    <a:b xmlns:a=\"u\"> <c/></a:b>\n  </metadata>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := mustParse(t, inside("<metadata>"+tt.in+"</metadata>"))
			want := "<network>\n  <name>n</name>\n  " + tt.want + "\n  <bridge stp='on' delay='0'/>\n</network>\n"
			if diff := cmp.Diff(want, n.Format(0)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetadataAbsent(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{"", "<metadata/>", "<metadata>text</metadata>", "<metadata><!-- x --></metadata>"} {
		if n := mustParse(t, inside(doc)); n.Metadata != nil {
			t.Errorf("%q gave metadata %v", doc, n.Metadata)
		}
	}
}

// TestMetadataOuterNamespaces wants declarations from outside to come along.
func TestMetadataOuterNamespaces(t *testing.T) {
	t.Parallel()
	n := mustParse(t, `<network xmlns:q="Q" xmlns:r="R" xmlns:s="S" xmlns:unused="U"><name>n</name>`+
		`<metadata><q:b><r:c s:x="1"/></q:b></metadata></network>`)
	want := "<metadata xmlns:q=\"Q\" xmlns:r=\"R\" xmlns:s=\"S\">\n  <q:b>\n    <r:c s:x=\"1\"/>\n  </q:b>\n</metadata>"
	if diff := cmp.Diff(want, n.Metadata.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got, ok := n.Metadata.Get("Q")
	if want := "<b xmlns:r=\"R\" xmlns:s=\"S\">\n  <r:c s:x=\"1\"/>\n</b>"; !ok || got != want {
		t.Errorf("Get = %q, %v, want %q", got, ok, want)
	}
}

func TestMetadataSetAndGet(t *testing.T) {
	t.Parallel()
	n := mustParse(t, inside(""))
	if text, ok := n.Metadata.Get("urn:a"); ok {
		t.Errorf("an absent element is %q", text)
	}
	for _, step := range []struct{ uri, key, text, want string }{
		{"urn:a", "a", "<one x='1'><two/></one>", "<metadata>\n  <a:one xmlns:a=\"urn:a\" x=\"1\">\n    <a:two/>\n  </a:one>\n</metadata>"},
		{"urn:b", "b", "<one/>", "<metadata>\n  <a:one xmlns:a=\"urn:a\" x=\"1\">\n    <a:two/>\n  </a:one>\n  <b:one xmlns:b=\"urn:b\"/>\n</metadata>"},
		{"urn:a", "z", "<new>text</new>", "<metadata>\n  <b:one xmlns:b=\"urn:b\"/>\n  <z:new xmlns:z=\"urn:a\">text</z:new>\n</metadata>"},
		{"urn:b", "b", "", "<metadata>\n  <z:new xmlns:z=\"urn:a\">text</z:new>\n</metadata>"},
		{"urn:a", "", "", ""},
		{"urn:a", "", "", ""},
	} {
		if err := n.SetMetadata(step.uri, step.key, step.text); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, n.Metadata.String()); diff != "" {
			t.Errorf("after setting %s to %q (-want +got):\n%s", step.uri, step.text, diff)
		}
		again := mustParse(t, n.Format(0))
		if !again.Metadata.Equal(n.Metadata) {
			t.Errorf("written and read again it is %v", again.Metadata)
		}
		got, ok := n.Metadata.Get(step.uri)
		if want := strings.ReplaceAll(step.text, "'", `"`); ok != (want != "") || strings.Join(strings.Fields(got), "") != strings.Join(strings.Fields(want), "") {
			t.Errorf("Get(%s) = %q, %v, want %q", step.uri, got, ok, want)
		}
	}
}

func TestMetadataSetRefuses(t *testing.T) {
	t.Parallel()
	const old = "<metadata><a:b xmlns:a='urn:a'/></metadata>"
	for _, tt := range []struct {
		uri, key string
		refusal
	}{
		{"urn:a", "a b", refusal{"<x/>", KindInternal, "failed to validate prefix for a new XML namespace"}},
		{"urn:a", "", refusal{"<x/>", KindInternal, "failed to validate prefix for a new XML namespace"}},
		{"", "a", refusal{"<x/>", KindInternal, "failed to validate prefix for a new XML namespace"}},
		{"urn:a", "a", refusal{"<a:x xmlns:a='urn:other'/>", KindInternal, "failed to create a new XML namespace"}},
		{"urn:a", "a", refusal{"<x><y xmlns:a='urn:other'><z/></y></x>", KindInternal, "failed to create a new XML namespace"}},
		{"urn:a", "xml", refusal{"<x/>", KindInternal, "failed to create a new XML namespace"}},
		{"urn:\x01", "a", refusal{"<x/>", KindInvalidArg, "metadata namespace holds a control character"}},
		{"urn:a", "a", refusal{"<x>", KindDetail, "at line 1: Premature end of data in tag x line 1\n<x>\n---^"}},
		{"urn:a", "a", refusal{"<x>" + strings.Repeat("y", maxMetadata) + "</x>", KindInvalidArg, "metadata of network 'n' is larger than 2097152 bytes"}},
	} {
		n := mustParse(t, inside(old))
		before := n.Metadata.String()
		wantRefusal(t, n.SetMetadata(tt.uri, tt.key, tt.doc), tt.kind, tt.msg)
		if after := n.Metadata.String(); after != before {
			t.Errorf("a refused change left %s", after)
		}
	}
}
