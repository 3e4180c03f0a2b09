package cockpit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/tests/binaries"
)

// binEnv names the directory of the programs under test.
const binEnv = "VIRBR_COCKPIT_BIN"

func TestMain(m *testing.M) {
	binaries.Main(m, binEnv, func(dir string) error { return binaries.Build(dir) })
}

// bin returns the path of a program under test.
func bin(name string) string { return filepath.Join(os.Getenv(binEnv), name) }
