package script

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/virbr/virbr/tests/binaries"
)

var update = flag.Bool("update", false, "rewrite what the scripts compare with")

// binEnv is where TestMain leaves the place of the binaries for the tests.
const binEnv = "VIRBR_SCRIPT_BIN"

func TestMain(m *testing.M) {
	binaries.Main(m, binEnv, func(dir string) error { return binaries.Build(dir, "-ldflags", "-X main.version=v1.2.3-test") })
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
