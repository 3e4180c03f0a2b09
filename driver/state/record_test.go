package state_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
)

// TestRecordOfAnOlderVersion: records had nothing but undo ops once, in the order in which
// they are to run. They are still read, and written as they are now.
func TestRecordOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	const older = `{"network":"net","undo":[{"op":"set-down","args":{"Link":"virbr0"}},{"op":"del-rules","args":{"Bridge":"virbr0"}},{"op":"del-link","args":{"Name":"virbr0"}}],` +
		`"change":{"status":{"before":"a","after":"b"}}}`
	var r, again state.Record
	if err := json.Unmarshal([]byte(older), &r); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(text, &again)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := []step.Op{step.SetDown{Link: "virbr0"}, step.DelRules{Bridge: "virbr0"}, step.DelLink{Name: "virbr0"}}
	for _, got := range []state.Record{r, again} {
		if diff := cmp.Diff(want, step.Undos(got.Steps)); diff != "" || got.Network != "net" || got.Bridge != "virbr0" {
			t.Errorf("record %+v (-want +got)\n%s", got, diff)
		}
	}
	if err := json.Unmarshal([]byte(`{"network":"net","undo":[{"op":"of-the-future"}]}`), &r); err == nil {
		t.Error("an op that this version does not know was left out")
	}
}
