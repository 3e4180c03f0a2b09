package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
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
	if os.Getenv(distEnv) != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "virbr-packages-")
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "making what is to be tested:", err)
		os.Exit(1)
	}
	_ = os.Setenv(distEnv, dir)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func build(dir string) error {
	bin := filepath.Join(dir, "bin")
	for name, source := range map[string]string{"virbrd": "virbrd", "virbr": "virbr", "virbr_leaseshelper": "virbr-leaseshelper"} {
		if err := run("CGO_ENABLED=0", "go", "build", "-o", filepath.Join(bin, name), "../../cmd/"+source); err != nil {
			return err
		}
	}
	for _, version := range []string{oldVersion, newVersion} {
		if err := run("BIN="+bin+" PACKAGE_VERSION="+version, "../../packaging/build", dir); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command with some more environment.
func run(env string, args ...string) error {
	cmd := exec.Command("env", append([]string{"-S", env}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return nil
}

// dist returns the path of a file among the packages.
func dist(name string) string { return filepath.Join(os.Getenv(distEnv), name) }
