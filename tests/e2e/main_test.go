package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binEnv names the directory of the binaries under test. Set it to test
// binaries that are already there; else they are built once.
const binEnv = "VIRBR_E2E_BIN"

// TestMain builds the binaries once; the processes that tests run in
// namespaces inherit the place.
func TestMain(m *testing.M) {
	if os.Getenv(binEnv) != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "virbr-e2e-")
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

func build(dir string) error {
	for name, source := range map[string]string{"virbrd": "virbrd", "virbr": "virbr", "virbr_leaseshelper": "virbr-leaseshelper"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), "../../cmd/"+source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", name, err, out)
		}
	}
	return nil
}

// bin returns the path of a binary under test.
func bin(name string) string { return filepath.Join(os.Getenv(binEnv), name) }
