package binaries

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sources are the programs by the names under which they are installed.
var sources = map[string]string{"virbrd": "virbrd", "virbr": "virbr", "virbr_leaseshelper": "virbr-leaseshelper"}

// Build makes the programs, static as the Makefile makes them, in a directory.
// Flags are more flags of go build.
func Build(dir string, flags ...string) error {
	for name, source := range sources {
		args := append([]string{"build", "-o", filepath.Join(dir, name)}, flags...)
		cmd := exec.Command("go", append(args, "github.com/virbr/virbr/cmd/"+source)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", source, err, out)
		}
	}
	return nil
}

// Module makes libvirtd's network module in a directory, with more flags of the
// compiler.
func Module(dir string, flags ...string) error {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("asking Go where the project is: %w", err)
	}
	source := filepath.Join(filepath.Dir(string(mod)), "libvirtmod")
	files, err := filepath.Glob(filepath.Join(source, "*"))
	for _, f := range files { // looked at, so that go test knows what its result rests on
		_, statErr := os.Stat(f)
		err = errors.Join(err, statErr)
	}
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(source, "build"), dir)
	cmd.Env = append(os.Environ(), "CFLAGS="+strings.Join(flags, " "))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building libvirtd's module: %w\n%s", err, out)
	}
	return nil
}

// Main is for a package's TestMain: it makes what is to be tested in a directory,
// which is gone when the tests have run, and leaves its path in a variable of the
// environment. Where the variable is set already, by a person, or because this
// process is one that a test runs in namespaces, nothing is made.
func Main(m *testing.M, env string, build func(dir string) error) {
	if os.Getenv(env) != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "virbr-binaries-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // the lease helper is run by a user without privileges
	}
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "making what is to be tested:", err)
		os.Exit(1)
	}
	_ = os.Setenv(env, dir)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
