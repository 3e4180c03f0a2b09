package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/leases"
)

// installHelper makes the path that dnsmasq calls for each lease: a symbolic
// link to the program, since dnsmasq passes no arguments of ours, and beside
// it one to the directory where leases are kept. In there it makes the one that
// the helper may write to. The helper runs as root where no other user can: in
// directories that somebody chose.
func installHelper(dirs state.Dirs, log *slog.Logger) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding our own program: %w", err)
	}
	if err := os.MkdirAll(dirs.Own, 0o755); err != nil {
		return "", fmt.Errorf("making the run directory: %w", err)
	}
	files := dnsmasq.Dirs{Dnsmasq: dirs.Dnsmasq}
	if err := leases.Give(files); err != nil {
		return "", err
	}
	owner, err := leases.Prepare(files)
	if err != nil {
		return "", err
	}
	if err := relink(dirs.Dnsmasq, filepath.Join(dirs.Own, leases.Link)); err != nil {
		return "", err
	}
	helper, program := filepath.Join(dirs.Own, leases.Name), leases.Installed(exe)
	if err := relink(program, helper); err != nil {
		return "", err
	}
	err = host.Runnable(owner.UID, owner.GID, helper, leases.Check)
	if errors.Is(err, fs.ErrPermission) { // in somebody's home directory, perhaps
		duplicate := filepath.Join(dirs.Dnsmasq, leases.Name)
		if err := errors.Join(copyProgram(program, duplicate), relink(duplicate, helper)); err != nil {
			return "", err
		}
		err = host.Runnable(owner.UID, owner.GID, helper, leases.Check)
	}
	if err != nil {
		log.Warn("dnsmasq's lease helper runs as root; let its user reach the directories", "user", owner.Name, "err", err)
		return helper, leases.Keep(files)
	}
	return helper, nil
}

// copyProgram copies a program to a place where all may run it.
func copyProgram(from, to string) error {
	const limit = 256 << 20 // bytes
	data, err := disk.Read(from, limit)
	if err != nil {
		return fmt.Errorf("copying the lease helper: %w", err)
	}
	return disk.Write(to, data, 0o755)
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
