package e2e

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/virbr/virbr/tests/binaries"
)

// binEnv names the directory of the binaries under test. Set it to test
// binaries that are already there; else they are built once.
const binEnv = "VIRBR_E2E_BIN"

// besides is how many tests run side by side on each processor: most of their time
// they wait, for DHCP clients, for bridges that learn, for what does not come.
const besides = 3

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(strconv.Itoa(besides * runtime.GOMAXPROCS(0)))
	}
	binaries.Main(m, binEnv, func(dir string) error { return errors.Join(binaries.Build(dir), binaries.Module(dir)) })
}

// bin returns the path of a binary under test.
func bin(name string) string { return filepath.Join(os.Getenv(binEnv), name) }
