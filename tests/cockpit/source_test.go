package cockpit

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// markup is what makes elements or programs of text, which guests and other programs choose.
var markup = regexp.MustCompile(`\b(innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|srcdoc|setHTMLUnsafe|eval)\b|document\.write|new Function|javascript:|setTimeout\(["'` + "`" + `]`)

// TestNoMarkupOfText holds the page's own promise.
func TestNoMarkupOfText(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(source + "/*.js")
	if err != nil || len(files) < 8 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := markup.FindString(string(text)); found != "" {
			t.Errorf("%s: %s", file, found)
		}
	}
}

// TestStylesheet: what is kept of PatternFly is what the page uses of the version that
// package-lock.json names.
func TestStylesheet(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "node")
	needModules(t)
	made := filepath.Join(t.TempDir(), "patternfly.css")
	if out, err := exec.CommandContext(t.Context(), "node", source+"/patternfly.mjs", made).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(source + "/patternfly.css")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("cockpit/patternfly.css has %d lines, and %d when it is made again: run npm --prefix cockpit run patternfly", strings.Count(string(got), "\n"), strings.Count(string(want), "\n"))
	}
}
