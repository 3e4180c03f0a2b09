package packages

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/debiantest"
)

// root is a Debian with the packages in /dist.
type root struct{ debiantest.Root }

func newRoot(t *testing.T, debian string) root {
	t.Helper()
	r := root{debiantest.New(t, debian)}
	r.Bind(t, os.Getenv(distEnv), "/dist")
	return r
}

// noise are files that package managers keep for themselves, that mounts bring,
// and the group and the user that stay (docs/packages.md says so).
var noise = regexp.MustCompile(`^/(proc|sys|dev|dist|tmp)/|^/var/(lib/(dpkg|rpm|systemd)|log|cache)\b|^/etc/(group|gshadow|passwd|shadow|ld\.so\.cache)-?$|^/root\b`)

// files lists all files of the root, without noise.
func (r root) files(t *testing.T) []string {
	t.Helper()
	var list []string
	dir := r.Path("/")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		switch {
		case err != nil:
			return err
		case d.IsDir() && noise.MatchString(name+"/"):
			return filepath.SkipDir
		case !noise.MatchString(name):
			list = append(list, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
