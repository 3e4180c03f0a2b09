package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/driver/state"
)

// TestReplaceAll: files are replaced together, whatever goes wrong, and wherever it is cut
// short.
func TestReplaceAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when, want string) {
		t.Helper()
		a, _ := os.ReadFile(one)
		b, _ := os.ReadFile(two)
		if got := string(a) + " " + string(b); got != want {
			t.Errorf("%s: the files hold %q, want %q", when, got, want)
		}
		if left, err := os.ReadDir(dir); len(left) != 2 || err != nil {
			t.Errorf("%s: left %v, %v", when, left, err)
		}
	}
	files := []state.File{{Path: one, Text: "new"}, {Path: two, Text: "new"}}
	write(one, "old")
	write(two, "old")
	stop := errors.New("stop")
	var staged []state.Staged
	err := state.ReplaceAll(files, func(s []state.Staged) error { staged = s; return stop })
	if !errors.Is(err, stop) {
		t.Error(err)
	}
	check("after a commit that failed", "old old")
	for done := range 3 { // a process that died after its commit, before each rename and after both
		write(one, "old")
		write(two, "old")
		for i, s := range staged {
			write(s.Temp, "new")
			if i < done {
				if err := os.Rename(s.Temp, s.Path); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := state.FinishReplace(staged); err != nil {
			t.Error(err)
		}
		check("finished", "new new")
	}
	write(one, "old")
	write(two, "old")
	write(staged[0].Temp, "new") // given up, and cut short at that
	if err := state.FinishReplace(staged); err != nil {
		t.Error(err)
	}
	check("given up", "old old")
	if err := errors.Join(os.Remove(two), os.MkdirAll(filepath.Join(two, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := state.ReplaceAll(files, func([]state.Staged) error { return nil }); err == nil || !strings.Contains(err.Error(), "two") {
		t.Errorf("over a directory: %v", err)
	}
	check("after a rename that failed", "old ")
}
