package script

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite what the scripts compare with")

// binEnv is where TestMain leaves the place of the binaries for the tests.
const binEnv = "VIRBR_SCRIPT_BIN"

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "virbr-script-")
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building what is to be tested:", err)
		os.Exit(1)
	}
	_ = os.Setenv(binEnv, dir)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build makes static binaries of a known version, as the Makefile does.
func build(dir string) error {
	for _, name := range []string{"virbrd", "virbr"} {
		cmd := exec.Command("go", "build", "-ldflags", "-X main.version=v1.2.3-test", "-o", filepath.Join(dir, name), "../../cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", name, err, out)
		}
	}
	return nil
}

func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", os.Getenv(binEnv)+string(filepath.ListSeparator)+os.Getenv("PATH"))
			return nil
		},
	})
}
