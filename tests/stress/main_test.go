//go:build libvirt_dlopen

package stress

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/tests/binaries"
)

// binEnv names the directory of the binaries under test. Set it to test
// binaries that are already there; else they are built once.
const binEnv = "VIRBR_STRESS_BIN"

// fullEnv has the tests run in full when it is "full"; `make stress` sets it.
const fullEnv = "VIRBR_STRESS"

func TestMain(m *testing.M) {
	binaries.Main(m, binEnv, func(dir string) error { return binaries.Build(dir) })
}

// bin returns the path of a binary under test.
func bin(name string) string { return filepath.Join(os.Getenv(binEnv), name) }

// size returns how much of something a test does: small in every run of the
// tests, full in `make stress`.
func size(small, full int) int {
	if os.Getenv(fullEnv) == "full" {
		return full
	}
	return small
}
