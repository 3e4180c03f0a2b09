package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/config"
	"github.com/virbr/virbr/rpc"
)

// roles maps the names of systemd's socket units to what the sockets are for.
// The name decides, not the order or the path, as in libvirt.
var roles = map[string]rpc.Role{
	"virtnetworkd.socket":       rpc.RoleReadWrite,
	"virtnetworkd-ro.socket":    rpc.RoleReadOnly,
	"virtnetworkd-admin.socket": rpc.RoleAdmin,
	"virbrd.socket":             rpc.RoleReadWrite,
	"virbrd-ro.socket":          rpc.RoleReadOnly,
	"virbrd-admin.socket":       rpc.RoleAdmin,
}

// listeners returns the sockets that systemd handed over, or makes our own
// where there are none.
func listeners(cfg *config.Daemon, log *slog.Logger) ([]rpc.Listener, error) {
	named := os.Getenv("LISTEN_FDNAMES") != ""
	handed, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("taking systemd's sockets: %w", err)
	}
	switch {
	case len(handed) == 0:
		return bind(cfg)
	case !named:
		log.Warn("systemd's sockets have no names, making our own")
		closeAll(flatten(handed))
		return bind(cfg)
	}
	var list []rpc.Listener
	for name, ls := range handed {
		role, ok := roles[name]
		if !ok {
			closeAll(flatten(handed))
			return nil, fmt.Errorf("systemd's socket %q is none of ours", name)
		}
		for _, l := range ls {
			list = append(list, rpc.Listener{Listener: l, Role: role})
		}
	}
	if err := guarded(cfg, list); err != nil {
		closeAll(flatten(handed))
		return nil, err
	}
	return list, nil
}

func flatten(handed map[string][]net.Listener) []net.Listener {
	var list []net.Listener
	for _, ls := range handed {
		list = append(list, ls...)
	}
	return list
}

func closeAll(list []net.Listener) {
	for _, l := range list {
		_ = l.Close() // we give up anyway
	}
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
		path := l.Addr().String()
		info, err := os.Stat(path)
		if err != nil || l.Role != rpc.RoleReadWrite {
			continue
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
	gid := -1
	if cfg.Group != "" {
		var err error
		if gid, err = groupID(cfg.Group); err != nil {
			return nil, fmt.Errorf("unix_sock_group: %w", err)
		}
	}
	if err := os.MkdirAll(cfg.SocketDir, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of the sockets: %w", err)
	}
	var list []rpc.Listener
	for _, s := range []struct {
		name  string
		role  rpc.Role
		perms fs.FileMode
	}{
		{"virtnetworkd-sock", rpc.RoleReadWrite, cfg.ReadWrite.Perms},
		{"virtnetworkd-sock-ro", rpc.RoleReadOnly, cfg.ReadOnly.Perms},
		{"virtnetworkd-admin-sock", rpc.RoleAdmin, 0o700},
	} {
		l, err := bindOne(filepath.Join(cfg.SocketDir, s.name), s.perms, gid, cfg.Backlog)
		if err != nil {
			for _, l := range list {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		list = append(list, rpc.Listener{Listener: l, Role: s.role})
	}
	return list, nil
}

func groupID(name string) (int, error) {
	if gid, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(gid), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

// bindOne makes one socket. Nobody can connect before its owner and its
// permissions are as they should be.
func bindOne(path string, perms fs.FileMode, gid, backlog int) (*net.UnixListener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("making socket %q: there is something else", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing the old socket: %w", err)
	}
	old := unix.Umask(0o777)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("making socket %q: %w", path, err)
	}
	if err := open(l, path, perms, gid, backlog); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// open gives a socket its owner, permissions and backlog.
func open(l *net.UnixListener, path string, perms fs.FileMode, gid, backlog int) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return fmt.Errorf("setting the backlog of %q: %w", path, err)
	}
	var listenErr error
	if err := raw.Control(func(fd uintptr) { listenErr = unix.Listen(int(fd), backlog) }); err != nil {
		return fmt.Errorf("setting the backlog of %q: %w", path, err)
	}
	if listenErr != nil {
		return fmt.Errorf("setting the backlog of %q: %w", path, listenErr)
	}
	if gid >= 0 {
		if err := os.Chown(path, -1, gid); err != nil {
			return fmt.Errorf("setting the group of a socket: %w", err)
		}
	}
	if err := os.Chmod(path, perms); err != nil {
		return fmt.Errorf("setting the permissions of a socket: %w", err)
	}
	return nil
}
