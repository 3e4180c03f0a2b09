package libvirttest

import (
	"fmt"
	"os"
	"path/filepath"
)

// Module returns what a libvirtd needs in its environment to load a network
// module of ours in the place of its own, which lies aside, as our package has it.
// It makes a directory of modules at a path.
func Module(module, dir string) (string, error) {
	const network = "libvirt_driver_network.so"
	installed, err := filepath.Glob("/usr/lib/*/libvirt/connection-driver/*.so")
	if err != nil || len(installed) == 0 {
		return "", fmt.Errorf("libvirtd has no modules: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, path := range installed {
		name := filepath.Base(path)
		if name == network {
			name += ".distrib"
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return "LIBVIRT_DRIVER_DIR=" + dir, os.Symlink(module, filepath.Join(dir, network))
}
