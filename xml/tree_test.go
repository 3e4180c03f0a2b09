package xml_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/xml"
)

func TestParseTree(t *testing.T) {
	t.Parallel()
	doc := `<a xmlns:p='urn:p' p:x='1' y='2'>
  <p:b>one<!-- c --> two<![CDATA[ & three]]></p:b>
  <?pi?>
  <c xmlns='urn:c'/>
</a>`
	got, err := xml.ParseTree([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := &xml.Tree{
		Name: "a", Line: 1,
		Attrs: []xml.TreeAttr{{Space: "urn:p", Name: "x", Value: "1"}, {Name: "y", Value: "2"}},
		Children: []*xml.Tree{
			{Space: "urn:p", Name: "b", Line: 2, Children: []*xml.Tree{{Text: "one two & three", Line: 2}}},
			{Space: "urn:c", Name: "c", Line: 4},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseTree (-want +got):\n%s", diff)
	}
}

func TestParseTreeRefuses(t *testing.T) {
	t.Parallel()
	if tree, err := xml.ParseTree([]byte("<a><b></a>")); err == nil {
		t.Errorf("ParseTree = %v, want an error", tree)
	}
}
