package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/leases"
)

// installHelper makes the path that dnsmasq calls for each lease: a symbolic
// link to the program, since dnsmasq passes no arguments of ours, and beside
// it one to the directory where leases are kept.
func installHelper(dirs driver.Dirs) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding our own program: %w", err)
	}
	if err := os.MkdirAll(dirs.Own, 0o755); err != nil {
		return "", fmt.Errorf("making the run directory: %w", err)
	}
	helper := filepath.Join(dirs.Own, leases.Name)
	for link, target := range map[string]string{helper: leases.Installed(exe), filepath.Join(dirs.Own, leases.Link): dirs.Dnsmasq} {
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
