package libvirttest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Prepare writes libvirtd's configuration, unless there is one, and gives its QEMU driver, which
// starts with the daemon, the accounts that it looks for (see [Accounts]). It is
// for namespaces that [netnstest.Enter] prepared: /etc/libvirt and /run are
// theirs.
//
// [netnstest.Enter]: https://pkg.go.dev/github.com/virbr/virbr/tests/netnstest#Enter
func Prepare() error {
	const conf = "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nunix_sock_rw_perms = \"0700\"\n"
	if err := os.MkdirAll("/etc/libvirt", 0o755); err != nil {
		return err
	}
	const path = "/etc/libvirt/libvirtd.conf"
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			return err
		}
	}
	return Accounts()
}

// Accounts gives libvirt's QEMU driver the accounts that it looks for, in a
// passwd and group of this mount namespace's own.
func Accounts() error {
	for path, lines := range map[string]string{
		"/etc/passwd": "libvirt-qemu:x:64055:64055::/:/bin/false\n",
		"/etc/group":  "libvirt-qemu:x:64055:\nkvm:x:64056:\n",
	} {
		if err := account(path, lines); err != nil {
			return err
		}
	}
	return nil
}

// account adds lines to a file of accounts, as this namespace sees it.
func account(path, lines string) error {
	have, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(have), "libvirt-qemu:") {
		return err
	}
	private := filepath.Join("/run", filepath.Base(path))
	if err := os.WriteFile(private, append(have, lines...), 0o644); err != nil {
		return err
	}
	if err := syscall.Mount(private, path, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting over %s: %w", path, err)
	}
	return nil
}
