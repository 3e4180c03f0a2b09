package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link is a link of a Markdown page to a file of the repository.
var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

// TestLinks: pages lead to pages that exist, and every page of docs can be found
// from its index.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	index := map[string]bool{}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target := filepath.Join(filepath.Dir(page), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s leads to %s: %v", strings.TrimPrefix(page, root+"/"), m[1], err)
			}
			if strings.HasSuffix(page, "docs/README.md") {
				index[target] = true
			}
		}
	}
	for _, page := range pages {
		if !index[page] && filepath.Base(page) != "README.md" {
			t.Errorf("docs/README.md does not lead to %s", filepath.Base(page))
		}
	}
}

// indented is a block of code without a fence; fenceLine begins or ends one with.
var (
	indented  = regexp.MustCompile(`(?m)^\n    \S.*$`)
	fenceLine = regexp.MustCompile("(?m)^```(\\w*)$")
	command   = regexp.MustCompile(`^(\$ |sudo |virbr |virbrd |virsh )`)
)

// TestFences: code in pages says what it is, so that what is a command is run by
// tests/e2e/TestCommands.
func TestFences(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		parts := fenceLine.Split(string(text), -1)
		words := fenceLine.FindAllStringSubmatch(string(text), -1)
		for i, part := range parts {
			if i%2 == 0 {
				if m := indented.FindString(part); m != "" {
					t.Errorf("%s: code without a fence: %s", page, strings.TrimSpace(m))
				}
				continue
			}
			if word := words[i-1][1]; word != "sh" && word != "console" && command.MatchString(strings.TrimSpace(part)) {
				t.Errorf("%s: a block of %q begins like commands: %s", page, word, strings.TrimSpace(part))
			}
		}
	}
}
