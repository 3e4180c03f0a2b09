package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/wording"
)

// wordingEnv asks a process in namespaces which daemon to question.
const wordingEnv = "VIRBR_E2E_WORDING"

// TestWording puts the same session to Debian's libvirtd, to virbrd, and to a
// libvirtd that has our module, each in namespaces of its own, and wants the same
// output, errors and exit statuses. Package wording has the sessions.
func TestWording(t *testing.T) {
	t.Parallel()
	sessions, err := wording.Sessions()
	if err != nil {
		t.Fatal(err)
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

// session runs a file of virsh commands and returns what was said.
func session(t *testing.T, d *daemon, path string) string {
	t.Helper()
	dir := t.TempDir()
	out, err := wording.Session(path, dir, dir, func(script string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Env = append(os.Environ(), "URI="+d.uri, "LC_ALL=C")
		return cmd.CombinedOutput()
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
