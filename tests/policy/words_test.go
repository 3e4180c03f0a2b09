package policy

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// banned are words of our own where the field has some: what people search for is what
// they find. Names in code spans may be such: they are the program's.
var banned = []struct {
	words *regexp.Regexp
	use   string
}{
	{regexp.MustCompile(`(?i)\blead(s|ing)?\s+(to|the|ports|nowhere|elsewhere)\b|\bled\s+to\b`), "forward ports to; a forward targets a guest"},
	{regexp.MustCompile(`(?i)\bthe\s+world\b|\b(the|from|to)\s+outside\b`), "external hosts, the network, clients"},
	{regexp.MustCompile(`(?i)\bin\s+the\s+way\b`), "what blocks traffic, connectivity problems, conflicts"},
	{regexp.MustCompile(`(?i)\bsomebody\b`), "another program, someone"},
	{regexp.MustCompile(`(?i)\b(take|takes|taken|taking)\s+back\b`), "undo, roll back"},
	{regexp.MustCompile(`(?i)\bwhole\s+again\b|\bare\s+in\s+again\b|\b(put|puts|putting)\s+(it\s+)?back\b`), "restored, repaired"},
	{regexp.MustCompile(`(?i)\bcame\s+of\s+it\b`), "result, status"},
	{regexp.MustCompile(`(?i)\b(graft(s|ed|ing)?|errands?|nurses?|farewell|sightings?|happenings?)\b`), "see the glossary"},
}

// code are the parts of a page that programs read, and so do links.
var code = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`|\\]\\([^)]*\\)")

// TestWords: README, pages, and all that the commands print speak the language of the field.
func TestWords(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	manuals, err := filepath.Glob(filepath.Join(root, "packaging", "man", "*"))
	if err != nil || len(manuals) == 0 {
		t.Fatalf("manual pages: %v, %v", manuals, err)
	}
	for _, page := range append(append(pages, manuals...), filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blank := func(s string) string { return strings.Repeat("\n", strings.Count(s, "\n")) + "-" }
		complain(t, strings.TrimPrefix(page, root+"/"), code.ReplaceAllStringFunc(string(text), blank))
	}
	for _, f := range sources(t) {
		if f.test || f.pkg != "cli" && f.pkg != "doctor" && !strings.HasPrefix(f.pkg, "cmd/") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if _, imports := n.(*ast.ImportSpec); imports {
				return false
			}
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				complain(t, f.at(l), l.Value)
			}
			return true
		})
	}
}

func complain(t *testing.T, where, text string) {
	t.Helper()
	for _, b := range banned {
		for _, at := range b.words.FindAllStringIndex(text, -1) {
			t.Errorf("%s, line %d of it: %q; better: %s", where, 1+strings.Count(text[:at[0]], "\n"), text[at[0]:at[1]], b.use)
		}
	}
}
