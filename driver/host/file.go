package host

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/virbr/virbr/driver/plan"
)

// checkPath refuses what is not the plain absolute path of a file.
func checkPath(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" || strings.ContainsRune(path, 0) {
		return fmt.Errorf("checking the path %q: %w", path, syscall.EINVAL)
	}
	return nil
}

// writeFile replaces a file whole, or not at all: readers and crashes see the
// old or the new one. The directory is made where it is missing.
func writeFile(op plan.WriteFile) error {
	const doing = "writing"
	err := checkPath(op.Path)
	if err == nil && op.Mode&^0o777 != 0 {
		err = fmt.Errorf("checking the mode %04o: %w", op.Mode, syscall.EINVAL)
	}
	if err != nil {
		return opError(doing, op.Path, err)
	}
	dir, base := filepath.Dir(op.Path), filepath.Base(op.Path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return opError(doing, op.Path, err)
	}
	// The random part keeps two writers apart, and what a crash left behind
	// out of the way. Names of networks may be long, so the base is cut.
	temp := filepath.Join(dir, "."+base[:min(len(base), 200)]+"."+rand.Text()+".new")
	if err := writeTemp(temp, op); err != nil {
		return opError(doing, op.Path, err)
	}
	if err := os.Rename(temp, op.Path); err != nil {
		_ = os.Remove(temp)
		return opError(doing, op.Path, err)
	}
	return nil
}

// writeTemp writes the new file; on an error there is none.
func writeTemp(temp string, op plan.WriteFile) error {
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(op.Data)
	if err == nil {
		err = f.Chmod(os.FileMode(op.Mode)) // the umask has no say
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(temp)
	}
	return err
}
