package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/step"
)

// checkPath refuses what is not the plain absolute path of a file.
func checkPath(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" || strings.ContainsRune(path, 0) {
		return fmt.Errorf("checking the path %q: %w", path, syscall.EINVAL)
	}
	return nil
}

// writeFile replaces a file whole, or not at all: readers and crashes see the
// old or the new one. The directory is made where it is missing. Such files are
// dnsmasq's, and each start of a network writes them.
func writeFile(op step.WriteFile) error {
	const doing = "writing"
	err := checkPath(op.Path)
	if err == nil && op.Mode&^0o777 != 0 {
		err = fmt.Errorf("checking the mode %04o: %w", op.Mode, syscall.EINVAL)
	}
	if err != nil {
		return opError(doing, op.Path, err)
	}
	if err := disk.MkdirAll(filepath.Dir(op.Path), 0o755); err != nil {
		return opError(doing, op.Path, err)
	}
	return opError(doing, op.Path, disk.WriteAtomic(op.Path, []byte(op.Data), os.FileMode(op.Mode)))
}
