package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/virbr/virbr/schemas"
	"github.com/virbr/virbr/xml"
)

// block is a block of code in a page.
var block = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// blocks returns the blocks of a language in a page of docs.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		if m[1] == language {
			found = append(found, m[2])
		}
	}
	return found
}

// TestExamples: whole documents in the pages are documents that virbrd takes.
func TestExamples(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	validator := schemas.New()
	documents := 0
	for _, page := range pages {
		for _, doc := range blocks(t, page, "xml") {
			if err := example(validator, doc); err != nil {
				t.Errorf("%s: %v\n%s", page, err, doc)
			}
			documents++
		}
	}
	if documents < 8 {
		t.Errorf("%d documents were found", documents)
	}
}

func example(validator *schemas.Validator, doc string) error {
	switch {
	case strings.HasPrefix(doc, "<network>"), strings.HasPrefix(doc, "<network "):
		if err := validator.ValidateNetwork([]byte(doc)); err != nil {
			return err
		}
		n, err := xml.ParseNetwork([]byte(doc))
		if err != nil {
			return err
		}
		if n, err = n.Extended(); err != nil {
			return err
		}
		return n.Validate()
	case strings.HasPrefix(doc, "<virbr:network "):
		if err := validator.ValidateExtension([]byte(doc)); err != nil {
			return err
		}
		_, err := xml.ParseExtensions([]byte(doc))
		return err
	}
	return nil // a piece of one
}
