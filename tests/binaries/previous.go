package binaries

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Previous makes the packages of the release before this one, from its sources and by its
// own scripts, under another version. False if there was none.
func Previous(dir, version string) (bool, error) {
	tag, err := exec.Command("git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^").Output()
	if err != nil {
		return false, nil // no tag
	}
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return false, fmt.Errorf("looking for the top of the sources: %w", err)
	}
	old, err := os.MkdirTemp("", "virbr-previous-")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(old) }()
	archive := exec.Command("git", "archive", strings.TrimSpace(string(tag)))
	archive.Dir = strings.TrimSpace(string(root))
	files, err := archive.Output()
	if err != nil {
		return false, fmt.Errorf("reading the sources of %s: %w", tag, err)
	}
	unpack := exec.Command("tar", "-x", "-C", old)
	unpack.Stdin = bytes.NewReader(files)
	build := exec.Command("make", "-C", old, "build", "VERSION="+version)
	packages := exec.Command(filepath.Join(old, "packaging", "build"), dir)
	packages.Env = append(os.Environ(), "PACKAGE_VERSION="+version)
	for _, cmd := range []*exec.Cmd{unpack, build, packages} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return false, fmt.Errorf("making the packages of %s: %w\n%s", tag, err, out)
		}
	}
	return true, nil
}
