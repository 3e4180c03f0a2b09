package binaries

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Packages builds the programs and libvirtd's module, in bin below a directory, and
// makes packages of them in the directory itself, once for each version.
func Packages(dir string, versions ...string) error {
	bin := filepath.Join(dir, "bin")
	if err := errors.Join(Build(bin), Module(bin)); err != nil {
		return err
	}
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return fmt.Errorf("looking for the top of the sources: %w", err)
	}
	for _, version := range versions {
		cmd := exec.Command(filepath.Join(strings.TrimSpace(string(root)), "packaging", "build"), dir)
		cmd.Env = append(os.Environ(), "BIN="+bin, "PACKAGE_VERSION="+version)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("making packages of version %s: %w\n%s", version, err, out)
		}
	}
	return nil
}
