package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver"
)

const (
	// leaseHelper is the name under which virbrd is dnsmasq's lease helper.
	leaseHelper = "virbr_leaseshelper"
	// leaseLink is the link beside it to the directory of lease files.
	leaseLink = "dnsmasq"
)

// installHelper makes the path that dnsmasq calls for each lease: a symbolic
// link to this program, since dnsmasq passes no arguments of ours, and beside
// it one to the directory where leases are kept.
func installHelper(dirs driver.Dirs) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding our own program: %w", err)
	}
	if err := os.MkdirAll(dirs.Own, 0o755); err != nil {
		return "", fmt.Errorf("making the run directory: %w", err)
	}
	helper := filepath.Join(dirs.Own, leaseHelper)
	for link, target := range map[string]string{helper: exe, filepath.Join(dirs.Own, leaseLink): dirs.Dnsmasq} {
		if err := relink(target, link); err != nil {
			return "", err
		}
	}
	return helper, nil
}

// relink makes or replaces a symbolic link, without a moment when there is none.
func relink(target, link string) error {
	if now, err := os.Readlink(link); err == nil && now == target {
		return nil
	}
	temporary := link + ".new"
	_ = os.Remove(temporary) // of a daemon that died half way; a true obstacle shows in the next line
	if err := os.Symlink(target, temporary); err != nil {
		return fmt.Errorf("making a link: %w", err)
	}
	if err := os.Rename(temporary, link); err != nil {
		return fmt.Errorf("making a link: %w", err)
	}
	return nil
}

// atExecFn is AT_EXECFN of getauxval(3): where the path is that the program
// was executed by.
const atExecFn = 31

// startedFrom returns the directory of the path that this program was executed
// by, links and all. That is not what argv[0] or os.Executable say: dnsmasq
// gives its helper the bare name as argv[0], and the executable is what the link
// leads to. It keeps daemons with directories of their own apart, as dnsmasq
// lets the helper have neither arguments nor environment of ours.
func startedFrom() (string, error) {
	auxv, err := unix.Auxv()
	if err != nil {
		return "", fmt.Errorf("reading the auxiliary vector: %w", err)
	}
	for _, entry := range auxv {
		if entry[0] != atExecFn {
			continue
		}
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			return "", fmt.Errorf("reading the path of the program: %w", err)
		}
		defer mem.Close() //nolint:errcheck // nothing was written
		var path [unix.PathMax]byte
		// The path is the last thing on the stack: the read ends early there.
		n, err := mem.ReadAt(path[:], int64(entry[1]))
		end := bytes.IndexByte(path[:n], 0)
		if end < 0 {
			return "", fmt.Errorf("reading the path of the program: %w", err)
		}
		return filepath.Dir(string(path[:end])), nil
	}
	return "", errors.New("the kernel gave no path of the program")
}
