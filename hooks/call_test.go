package hooks

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadCall(t *testing.T) {
	t.Parallel()
	const doc = "<hookData>\n  <network/>\n</hookData>"
	for _, tt := range []struct {
		name string
		args []string
		op   Op // "": refused
	}{
		{"start", []string{"default", "start", "begin", "-"}, OpStart},
		{"stopped", []string{"my net", "stopped", "end", "-"}, OpStopped},
		{"port", []string{"default", "port-created", "begin", "-"}, OpPortCreated},
		{"libvirt 5.4", []string{"default", "plugged", "begin", "-"}, OpPortCreated},
		{"libvirt 5.4, the end", []string{"default", "unplugged", "begin", "-"}, OpPortDeleted},
		{"leads out of a directory", []string{"../x", "start", "begin", "-"}, ""},
		{"is a directory", []string{"..", "start", "begin", "-"}, ""},
		{"no name", []string{"", "start", "begin", "-"}, ""},
		{"by hand", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadCall(tt.args, strings.NewReader(doc))
			if tt.op == "" {
				if err == nil {
					t.Fatalf("accepted: %+v", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&Call{Network: tt.args[0], Op: tt.op, Document: []byte(doc)}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestReadCallOfNewerLibvirt: what we do not know must not stop a network.
func TestReadCallOfNewerLibvirt(t *testing.T) {
	t.Parallel()
	_, err := ReadCall([]string{"default", "hibernated", "begin", "-"}, strings.NewReader(""))
	if e, ok := errors.AsType[*UnknownOpError](err); !ok || e.Op != "hibernated" {
		t.Errorf("error %v", err)
	}
}

// endless is a document without end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

func TestReadCallHasLimit(t *testing.T) {
	t.Parallel()
	doc := &endless{}
	_, err := ReadCall([]string{"default", "start", "begin", "-"}, io.Reader(doc))
	if err == nil || doc.read > 4*maxDocument {
		t.Errorf("read %d bytes, error %v", doc.read, err)
	}
}
