package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/virbr/virbr/cli"
	"github.com/virbr/virbr/schemas"
	"github.com/virbr/virbr/tests/daemontest"
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

// metadata is what an example has virsh set.
var metadata = regexp.MustCompile(`^virsh net-metadata .*--set '(.*)'$`)

// TestForwardingCommands runs the commands of docs/forwarding.md, in their order,
// against the network that its first document defines. What virsh is told to set is
// looked at, because not every virsh can.
func TestForwardingCommands(t *testing.T) {
	t.Parallel()
	const page = "../docs/forwarding.md"
	d := daemontest.New(t)
	d.Define(t, blocks(t, page, "xml")[0], true)
	if _, err := virbr(t, d, "virbr forward remove default 1"); err != nil { // what the first command adds
		t.Fatal(err)
	}
	ran := 0
	for _, lines := range blocks(t, page, "sh") {
		for line := range strings.Lines(lines) {
			line = strings.TrimSpace(line)
			if m := metadata.FindStringSubmatch(line); m != nil {
				if e, err := xml.ParseExtensions([]byte(m[1])); err != nil || e.IsZero() {
					t.Errorf("%s: %v, %v", line, e, err)
				}
				ran++
			}
			if !strings.HasPrefix(line, "virbr ") {
				continue
			}
			ran++
			if out, err := virbr(t, d, line); err != nil {
				t.Errorf("%s: %v%s", line, err, out)
			}
		}
	}
	if ran < 15 {
		t.Errorf("%d commands were found", ran)
	}
}

// virbr runs a command line against a daemon and returns what it says.
func virbr(t *testing.T, d *daemontest.Daemon, line string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	args := append(strings.Fields(line)[1:], "--socket", d.Socket)
	if status := cli.Run(t.Context(), "test", args, cli.IO{In: strings.NewReader(""), Out: &out, Err: &out}); status != 0 {
		return out.String(), os.ErrInvalid
	}
	return out.String(), nil
}
