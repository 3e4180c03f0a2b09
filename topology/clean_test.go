package topology_test

import (
	"strings"
	"testing"

	"github.com/virbr/virbr/topology"
)

// TestPrintable: names that guests choose neither move a cursor nor turn text around.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"web1":                     "web1",
		"größe":                    "größe",
		"\x1b[31mred\x07":          "?[31mred?",
		"a\nb\tc":                  "a?b?c",
		"\u202egnp.exe\u2066":      "?gnp.exe?",
		"\u200b\u2028\u0085\ufeff": "????",
		"\xff":                     "\ufffd",
	} {
		if got := topology.Printable(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if strings.ContainsRune(topology.Printable(strings.Repeat("\u0007", 3)), 7) {
		t.Error("a bell rings")
	}
}
