package qemutest

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// insideEnv holds, in a guest, the name of the one test that is to run there.
const insideEnv = "VIRBR_QEMUTEST_INSIDE"

// RunTest runs fn in a guest: it boots g with the test binary in it, runs t
// alone there, and calls fn. A failure of the inner test becomes t's. What Init
// holds runs before. RunTest is the last thing that a test does.
func RunTest(t *testing.T, g Guest, fn func(t *testing.T)) {
	t.Helper()
	if inside := os.Getenv(insideEnv); inside != "" {
		if inside != t.Name() {
			t.Skipf("not %s, which this guest is for", inside)
		}
		fn(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const program = "/usr/bin/inside.test"
	g.Copies = maps.Clone(g.Copies)
	if g.Copies == nil {
		g.Copies = map[string]string{}
	}
	g.Copies[program] = self
	g.Init += fmt.Sprintf("\n%s='%s' %s -test.run='^%[2]s$' -test.v\n", insideEnv, t.Name(), program)
	if out := Run(t, g); !strings.Contains(out, "--- PASS: "+t.Name()+" ") {
		t.Errorf("the inner test did not pass:\n%s", out)
	} else if testing.Verbose() {
		t.Log(out)
	}
}

// Load loads a spare module and what it depends on, in a guest.
func Load(t *testing.T, name string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "load", name).CombinedOutput(); err != nil {
		t.Fatalf("loading module %s: %v\n%s", name, err, out)
	}
}

// Unload unloads a module, in a guest.
func Unload(t *testing.T, name string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "rmmod", name).CombinedOutput(); err != nil {
		t.Fatalf("unloading module %s: %v\n%s", name, err, out)
	}
}
