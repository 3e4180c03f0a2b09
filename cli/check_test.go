package cli

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/xml"
)

func TestComplaints(t *testing.T) {
	t.Parallel()
	at := func(line int, msg string) error { return &xml.Error{Kind: xml.KindDetail, Line: line, Msg: msg} }
	schema := &xml.Error{Kind: xml.KindSchema, Line: 4, Msg: "Unable to validate doc against /x.rng\nline 4: element \"ip\": no"}
	tests := []struct {
		name string
		errs []error
		want []*problem
	}{
		{"nothing", []error{nil, errors.Join(nil, nil)}, nil},
		{"in the order of lines", []error{at(7, "b"), at(3, "a")}, []*problem{{"f", 3, "a"}, {"f", 7, "b"}}},
		{"one for each line", []error{at(3, "schema"), at(3, "rule")}, []*problem{{"f", 3, "schema"}}},
		{"joined ones are taken apart", []error{errors.Join(at(1, "a"), errors.Join(at(2, "b")))}, []*problem{{"f", 1, "a"}, {"f", 2, "b"}}},
		{"the schema's file is of no interest", []error{schema}, []*problem{{"f", 4, `element "ip": no`}}},
		{"the picture of a syntax error is left out", []error{at(2, "at line 2: mismatch\n  <a></b>\n------^")}, []*problem{{"f", 2, "mismatch"}}},
		{"the whole has the line of the root", []error{errors.New("no good"), errors.New("bad")}, []*problem{{"f", 2, "no good"}, {"f", 2, "bad"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, complaints(document{name: "f", line: 2}, tt.errs...)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
