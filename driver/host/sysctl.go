package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/virbr/virbr/driver/step"
)

const sysctlRoot = "/proc/sys"

// sysctlPath returns the file of a sysctl, which is named by a path below
// /proc/sys, so that interfaces with dots in their names are no trouble.
func sysctlPath(key string) (string, error) {
	if key == "" || path.IsAbs(key) || path.Clean(key) != key || key == ".." ||
		strings.HasPrefix(key, "../") || strings.ContainsRune(key, 0) {
		return "", fmt.Errorf("checking the sysctl %q: %w", key, syscall.EINVAL)
	}
	return path.Join(sysctlRoot, key), nil
}

func setSysctl(op step.SetSysctl) error {
	const doing = "writing sysctl"
	name, err := sysctlPath(op.Key)
	if err != nil {
		return opError(doing, op.Key, err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if op.IfExists && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return opError(doing, op.Key, err)
	}
	_, err = f.WriteString(op.Value)
	return opError(doing, op.Key, errors.Join(err, f.Close()))
}

// readSysctl reads a number.
func readSysctl(key string) (int, error) {
	name, err := sysctlPath(key)
	if err != nil {
		return 0, opError("reading sysctl", key, err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, opError("reading sysctl", key, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	return n, opError("reading sysctl", key, err)
}
