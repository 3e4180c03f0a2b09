package xml_test

import (
	"strings"
	"testing"

	"github.com/virbr/virbr/xml"
)

// TestSalvage: what makes no sense is told apart from what does.
func TestSalvage(t *testing.T) {
	t.Parallel()
	const web = "<portForward proto='tcp' guest='web'><range start='8080'/></portForward>"
	doc := "<network xmlns='urn:virbr:network:1'>" + web +
		"<nosuch/>" + web + "<portForward proto='tcp' guest='web'><range start='1' end='2'/><range start='8080'/></portForward>" +
		"<portForward proto='tcp' guest='db'><range start='1' end='2'/></portForward><address public='203.0.113.7'/>" +
		"<address public='203.0.113.8' guest='web'/></network>"
	e, broken, err := xml.SalvageExtensions([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Forwards) != 2 || e.Forwards[1].Guest != "db" || len(e.Publics) != 1 {
		t.Errorf("%s", e)
	}
	var lines []string
	for _, b := range broken {
		lines = append(lines, b.Text+" "+b.Err.Error())
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"<nosuch", "never matches", "'guest'"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if _, err := xml.ParseExtensions([]byte(e.String())); err != nil {
		t.Errorf("what is left: %v", err)
	}
	for _, doc := range []string{"<network>", "<other/>", ""} {
		if _, _, err := xml.SalvageExtensions([]byte(doc)); err == nil {
			t.Errorf("%q is taken", doc)
		}
	}
}
