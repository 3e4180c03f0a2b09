package systems

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/binaries"
)

// distEnv names the directory of the packages under test.
const distEnv = "VIRBR_TEST_PACKAGES"

// The release before this one, or the same sources again where there is none; and the
// sources at hand.
const (
	oldVersion = "1.0"
	newVersion = "1.1"
)

// suites are Debian 12 and 13.
var suites = []string{"bookworm", "trixie"}

// TestMain makes the packages once.
func TestMain(m *testing.M) {
	binaries.Main(m, distEnv, func(dir string) error {
		if err := binaries.Packages(dir, newVersion); err != nil {
			return err
		}
		if made, err := binaries.Previous(dir, oldVersion); made || err != nil {
			return err
		}
		return binaries.Packages(dir, oldVersion)
	})
}

// full says that everything is to be tried, not only what fits into each run of the
// tests.
func full() bool { return os.Getenv("VIRBR_STRESS") == "full" }

// payload returns the packages, and a guest, for use in a machine.
func payload(t *testing.T) map[string]string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(os.Getenv(distEnv), "*.deb"))
	if len(found) == 0 {
		t.Fatal("no packages were made")
	}
	files := map[string]string{}
	for _, path := range found {
		files[filepath.Base(path)] = path
	}
	files["virbrd"] = filepath.Join(os.Getenv(distEnv), "bin", "virbrd")
	units, _ := filepath.Glob("../../packaging/systemd/*.*")
	dropIns, _ := filepath.Glob("../../packaging/systemd/*/*")
	for _, path := range append(units, dropIns...) {
		files[strings.TrimPrefix(path, "../../")] = path
	}
	return withGuest(t, files)
}
