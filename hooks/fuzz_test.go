package hooks_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

// FuzzReadCall: what a hook is called with is refused, or names a network whose
// name can be a file's, and a document that is read or refused.
func FuzzReadCall(f *testing.F) {
	f.Add("lab", "start", []byte("<hookData><network><name>lab</name><bridge name='virbr0'/></network></hookData>"))
	f.Add("../x", "plugged", []byte("<hookData/>"))
	f.Fuzz(func(t *testing.T, name, op string, doc []byte) {
		call, err := hooks.ReadCall([]string{name, op, "begin", "-"}, bytes.NewReader(doc))
		if err != nil {
			return
		}
		if base := filepath.Base(filepath.Join("/d", call.Network+".xml")); base != call.Network+".xml" || strings.ContainsRune(call.Network, '\n') {
			t.Fatalf("network %q", call.Network)
		}
		o, err := xml.ParseOutline(call.Document)
		if err == nil && o == nil {
			t.Fatal("neither an outline nor an error")
		}
	})
}
