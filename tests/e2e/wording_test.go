package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

// wordingEnv asks a process in namespaces which daemon to question.
const wordingEnv = "VIRBR_E2E_WORDING"

// TestWording puts the same session to Debian's libvirtd, to virbrd, and to a
// libvirtd that has our module, each in namespaces of its own, and wants the same
// output, errors and exit statuses. testdata/wording holds one virsh session a file.
func TestWording(t *testing.T) {
	t.Parallel()
	sessions, err := filepath.Glob("testdata/wording/*.virsh")
	if err != nil || len(sessions) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, path := range sessions {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".virsh"), func(t *testing.T) {
			t.Parallel()
			netnstest.NeedProgram(t, "virsh", "libvirtd")
			theirs := answers(t, path, "libvirtd")
			for _, which := range []string{"virbrd", "module"} {
				if diff := cmp.Diff(theirs, answers(t, path, which)); diff != "" {
					t.Errorf("libvirtd (-) and %s (+) answer differently:\n%s", which, diff)
				}
			}
		})
	}
}

// TestWordingSession is one side of TestWording: it prints the answers of the
// daemon that the environment names.
func TestWordingSession(t *testing.T) {
	which, path, ok := strings.Cut(os.Getenv(wordingEnv), " ")
	if !ok {
		return // nothing was asked
	}
	netnstest.Run(t, func(t *testing.T) {
		var d *daemon
		switch which {
		case "libvirtd":
			d = startLibvirtd(t)
		case "virbrd":
			d = startVirbrd(t)
		case "module":
			d, _ = startModule(t)
			d.uri = "network:///system?mode=legacy"
		}
		write(t, os.Getenv(wordingEnv+"_OUT"), session(t, d, path))
	})
}

// answers runs TestWordingSession for one daemon and returns what it wrote.
func answers(t *testing.T, path, which string) []string {
	t.Helper()
	out := filepath.Join(t.TempDir(), which)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWordingSession$", "-test.count=1")
	cmd.Env = append(os.Environ(), wordingEnv+"="+which+" "+path, wordingEnv+"_OUT="+out)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the session with %s: %v\n%s", which, err, msg)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

// session runs each line of a file as a virsh command and returns commands,
// output and errors, with generated values made equal. Lines "file NAME" up to
// "end" write a file beside the session; "shell" lines run in sh.
func session(t *testing.T, d *daemon, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var out strings.Builder
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		name, isFile := strings.CutPrefix(line, "file ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case isFile:
			var body []string
			for i++; i < len(lines) && lines[i] != "end"; i++ {
				body = append(body, lines[i])
			}
			write(t, filepath.Join(dir, name), strings.Join(body, "\n")+"\n")
		default:
			out.WriteString("$ " + line + "\n" + ask(t, d, dir, line))
		}
	}
	return strings.ReplaceAll(out.String(), dir+"/", "")
}

// ask runs one line, in dir.
func ask(t *testing.T, d *daemon, dir, line string) string {
	t.Helper()
	script, isShell := strings.CutPrefix(line, "shell ")
	if !isShell {
		script = `virsh -c "$URI" ` + line
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "URI="+d.uri, "LC_ALL=C")
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	status := ""
	if err := cmd.Run(); err != nil {
		status = "? " + err.Error() + "\n"
	}
	return generated(both.String()) + status
}

var (
	uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	macs  = regexp.MustCompile(`52:54:00(:[0-9a-f]{2}){3}`)
)

// generated makes random values equal.
func generated(s string) string {
	return macs.ReplaceAllString(uuids.ReplaceAllString(s, "UUID"), "MAC")
}
