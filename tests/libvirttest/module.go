package libvirttest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const networkModule = "libvirt_driver_network.so"

// Module puts a network module of ours in the place of libvirtd's own, which goes
// aside, as our package does: in this mount namespace, below /run. Called again it
// puts another one there.
func Module(module string) error {
	installed, err := filepath.Glob("/usr/lib/*/libvirt/connection-driver")
	if err != nil || len(installed) != 1 {
		return fmt.Errorf("libvirtd has no one directory of modules: %q, %w", installed, err)
	}
	const private = "/run/connection-driver"
	if err := os.Mkdir(private, 0o755); errors.Is(err, os.ErrExist) {
		return replace(module, filepath.Join(private, networkModule))
	} else if err != nil {
		return err
	}
	files, err := os.ReadDir(installed[0])
	if err != nil {
		return err
	}
	for _, f := range files {
		to := f.Name()
		if to == networkModule {
			to += ".distrib"
		}
		if err := replace(filepath.Join(installed[0], f.Name()), filepath.Join(private, to)); err != nil {
			return err
		}
	}
	if err := replace(module, filepath.Join(private, networkModule)); err != nil {
		return err
	}
	return syscall.Mount(private, installed[0], "", syscall.MS_BIND, "")
}

// replace copies a file to a place where another may be in use.
func replace(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}
