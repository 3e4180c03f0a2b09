package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/virbr/virbr/config"
	"github.com/virbr/virbr/rpc"
)

// listeners returns the sockets that systemd handed over, or makes our own
// where there are none.
func listeners(cfg *config.Daemon) ([]rpc.Listener, error) {
	handed, err := rpc.Activated()
	if err != nil {
		return nil, err
	}
	if len(handed) == 0 {
		return bind(cfg)
	}
	if err := guarded(cfg, handed); err != nil {
		return nil, errors.Join(err, closeAll(handed))
	}
	return handed, nil
}

// guarded refuses a read-write socket of systemd's making that everybody may
// connect to and nobody is asked about, unless the configuration says so in
// words. libvirt's own units have such a mode (0666), because they count on
// polkit; without it every local user would be root.
func guarded(cfg *config.Daemon, list []rpc.Listener) error {
	if cfg.ReadWrite.Auth != config.AuthNone || cfg.ReadWrite.Chosen {
		return nil
	}
	for _, l := range list {
		if l.Role != rpc.RoleReadWrite {
			continue
		}
		path := l.Addr().String()
		info, err := os.Stat(path)
		if err != nil { // one that is in no directory is open to everybody
			return fmt.Errorf("refusing systemd's socket %q, as there is no polkit to ask and nobody can tell who may connect: %w; "+
				`give it a path with SocketMode=0600, or set auth_unix_rw = "none" in virtnetworkd.conf`, path, err)
		}
		if info.Mode().Perm()&0o002 != 0 {
			return fmt.Errorf("refusing systemd's socket %q: mode %04o lets every local user change networks, and there is no polkit to ask; "+
				`set SocketMode=0600 in the socket unit, or auth_unix_rw = "none" in virtnetworkd.conf`, path, info.Mode().Perm())
		}
	}
	return nil
}

// bind makes the daemon's sockets in its socket directory.
func bind(cfg *config.Daemon) ([]rpc.Listener, error) {
	var list []rpc.Listener
	for _, s := range []struct {
		name string
		role rpc.Role
		mode fs.FileMode
	}{
		{"virtnetworkd-sock", rpc.RoleReadWrite, cfg.ReadWrite.Perms},
		{"virtnetworkd-sock-ro", rpc.RoleReadOnly, cfg.ReadOnly.Perms},
		{"virtnetworkd-admin-sock", rpc.RoleAdmin, 0o700},
	} {
		l, err := rpc.Listen(rpc.SocketConfig{
			Path: filepath.Join(cfg.SocketDir, s.name), Role: s.role, Mode: s.mode, Group: cfg.Group, Backlog: cfg.Backlog,
		})
		if err != nil {
			return nil, errors.Join(err, closeAll(list))
		}
		list = append(list, l)
	}
	return list, nil
}

func closeAll(list []rpc.Listener) error {
	var errs []error
	for _, l := range list {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}
