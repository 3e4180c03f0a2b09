package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPromises: each promise of docs/reliability.md names a test that there is,
// in the directory that stands before it.
func TestPromises(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs/reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile("`([a-z0-9/-]+)`|\\b(Test[A-Za-z0-9]+)\\b")
	count := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 4 {
			continue
		}
		dir := ""
		for _, m := range word.FindAllStringSubmatch(cells[2], -1) {
			if m[1] != "" {
				dir = m[1]
				continue
			}
			count++
			if !declares(t, dir, m[2]) {
				t.Errorf("docs/reliability.md: there is no %s in %q", m[2], dir)
			}
		}
	}
	if count < 15 {
		t.Errorf("only %d tests are named", count)
	}
}

// declares reports whether a directory has a test.
func declares(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}
