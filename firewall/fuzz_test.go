package firewall_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/virbr/virbr/firewall"
)

// FuzzValidate: rules that were read from an undo record and are valid print, and
// every name in their text is their own bridge's, a device's or one of our table's.
// Words that are none, such as those that end a string or a command, do not come
// through.
func FuzzValidate(f *testing.F) {
	add := func(n *firewall.Network) {
		data, err := json.Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	add(compile(f, def(nil)))
	f.Add([]byte(`{"Bridge":"virbr0","Fast":["eth0"],"Elements":[{"Map":"leave","Name":"virbr0","Chain":"leave_virbr0"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var n firewall.Network
		if json.Unmarshal(data, &n) != nil || n.Validate() != nil {
			return
		}
		text := n.String()
		odd := func(r rune) bool {
			return r < ' ' && r != '\n' && r != '\t' || r > '~' || strings.ContainsRune("`$\\#'", r)
		}
		for line := range strings.Lines(text) {
			hook := strings.HasPrefix(line, "\t\ttype ") // the base chains' own
			if strings.ContainsFunc(line, odd) || strings.Contains(line, ";") && !hook {
				t.Fatalf("%q in\n%s", line, text)
			}
			if strings.Count(line, `"`)%2 != 0 {
				t.Fatalf("a string does not end in %q", line)
			}
		}
		if strings.Count(text, "{") != strings.Count(text, "}") {
			t.Fatalf("braces do not match in\n%s", text)
		}
	})
}
