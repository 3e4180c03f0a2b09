package step_test

import (
	"strings"
	"testing"

	"github.com/virbr/virbr/driver/step"
)

// FuzzUnmarshalOps: what is accepted of an undo record prints as one line an op,
// and survives being written and read.
func FuzzUnmarshalOps(f *testing.F) {
	for _, op := range samples(f) {
		data, err := step.MarshalOps([]step.Op{op})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`[{"op":"del-link","args":{"Name":"a\nb"}},{"op":"add-rules"},{"op":"restore-rules","args":{"Rules":[null]}}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ops, err := step.UnmarshalOps(data)
		if err != nil {
			return
		}
		for _, op := range ops {
			if text := op.String(); text == "" || strings.ContainsAny(text, "\n\r\x00\x1b") {
				t.Fatalf("%#v prints as %q", op, text)
			}
		}
		once, err := step.MarshalOps(ops)
		if err != nil {
			t.Fatal(err)
		}
		again, err := step.UnmarshalOps(once)
		if err != nil {
			t.Fatalf("%v\n%s", err, once)
		}
		twice, err := step.MarshalOps(again)
		if err != nil || string(twice) != string(once) {
			t.Fatalf("%v\n%s\nis read as\n%s", err, once, twice)
		}
	})
}
