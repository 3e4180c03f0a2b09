package packages

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/tests/binaries"
)

// distEnv names the directory of the packages under test, which holds those of
// oldVersion and newVersion, and the programs in bin.
const distEnv = "VIRBR_TEST_PACKAGES"

// Two versions of the same sources.
const (
	oldVersion = "1.0"
	newVersion = "1.1"
)

// TestMain makes the packages once; the processes that tests run in namespaces
// inherit the place.
func TestMain(m *testing.M) {
	binaries.Main(m, distEnv, func(dir string) error { return binaries.Packages(dir, oldVersion, newVersion) })
}

// dist returns the path of a file among the packages.
func dist(name string) string { return filepath.Join(os.Getenv(distEnv), name) }
