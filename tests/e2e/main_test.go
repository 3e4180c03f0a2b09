package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/tests/binaries"
)

// binEnv names the directory of the binaries under test. Set it to test
// binaries that are already there; else they are built once.
const binEnv = "VIRBR_E2E_BIN"

func TestMain(m *testing.M) {
	binaries.Main(m, binEnv, func(dir string) error { return errors.Join(binaries.Build(dir), binaries.Module(dir)) })
}

// bin returns the path of a binary under test.
func bin(name string) string { return filepath.Join(os.Getenv(binEnv), name) }
