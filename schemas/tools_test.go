package schemas_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// oracle is another RELAX NG validator. It tells which of the files, given by
// path, do not fit the schema.
type oracle struct {
	program string
	refused func(t *testing.T, schema string, files []string) map[string]string
}

// oracles are the validators that ours is held against.
var oracles = []oracle{{"xmllint", xmllint}, {"jing", jing}}

func xmllint(t *testing.T, schema string, files []string) map[string]string {
	t.Helper()
	// Exit status 3 says that some file does not validate.
	out, err := exec.CommandContext(t.Context(), "xmllint", append([]string{"--noout", "--nonet", "--relaxng", schema}, files...)...).CombinedOutput()
	if err != nil && !exited(err, 1, 3) {
		t.Fatalf("xmllint: %v\n%s", err, out)
	}
	refused := lines(out, files)
	for _, f := range files {
		if strings.Contains(refused[f], f+" validates") {
			delete(refused, f)
		} else if refused[f] == "" {
			t.Fatalf("xmllint says nothing of %s:\n%s", f, out)
		}
	}
	return refused
}

func jing(t *testing.T, schema string, files []string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "jing", append([]string{schema}, files...)...)
	out, err := cmd.Output() // errors are on stdout, the launcher's warnings on stderr
	if err != nil && !exited(err, 1) {
		t.Fatalf("jing: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, ": fatal: ") { // jing stops there
			t.Fatalf("jing cannot read a document: %s", line)
		}
	}
	refused := lines(out, files)
	if (err != nil) != (len(refused) > 0) {
		t.Fatalf("jing: %v, but it says\n%s", err, out)
	}
	return refused
}

func exited(err error, codes ...int) bool {
	exit, ok := err.(*exec.ExitError)
	for _, code := range codes {
		if ok && exit.ExitCode() == code {
			return true
		}
	}
	return false
}

// lines sorts a tool's output by the file that each line begins with.
func lines(out []byte, files []string) map[string]string {
	known := map[string]bool{}
	for _, f := range files {
		known[f] = true
	}
	sorted := map[string]string{}
	for line := range strings.Lines(string(out)) {
		end := strings.Index(line, ".xml")
		if end < 0 {
			continue
		}
		if f := line[:end+len(".xml")]; known[f] {
			sorted[f] += line
		}
	}
	return sorted
}

// need skips the test where a program is missing, or fails it when
// REQUIRE_NETNS=1.
func need(t *testing.T, program, pack string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("REQUIRE_NETNS") == "1" {
		t.Fatalf("%s is missing; install %s", program, pack)
	}
	t.Skipf("%s is missing; install %s", program, pack)
}

// agree holds other validators against verdicts by document name: true for
// documents that fit.
func agree(t *testing.T, schema string, docs map[string]string, fits map[string]bool) {
	t.Helper()
	dir := t.TempDir()
	names := map[string]string{}
	var files []string
	for name, doc := range docs {
		f := filepath.Join(dir, strings.Map(fileRune, name)+".xml")
		if names[f] != "" {
			t.Fatalf("%q and %q make one file name", name, names[f])
		}
		names[f] = name
		files = append(files, f)
		if err := os.WriteFile(f, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range oracles {
		t.Run(o.program, func(t *testing.T) {
			t.Parallel()
			need(t, o.program, map[string]string{"xmllint": "libxml2-utils", "jing": "jing"}[o.program])
			refused := o.refused(t, schema, files)
			for _, f := range files {
				name := names[f]
				if bad, no := refused[f]; no == fits[name] {
					t.Errorf("%s: ours says fits=%v, %s says %q\n%s", name, fits[name], o.program, bad, docs[name])
				}
			}
		})
	}
}

func fileRune(r rune) rune {
	if r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9' || r == '-' {
		return r
	}
	return '_'
}
