package rpc

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// SocketConfig describes a socket that the daemon makes itself.
type SocketConfig struct {
	Path    string      // required; its directory is made if it is missing
	Role    Role        //
	Mode    fs.FileMode // permissions, whatever the umask is
	Group   string      // group that owns it, by name or number; "": the daemon's
	Backlog int         // connections that may wait to be accepted; 0: as many as the kernel allows
}

// Listen makes a socket and listens on it. A socket that a dead daemon left is
// replaced; one that somebody listens on is an error that wraps
// syscall.EADDRINUSE. Nobody can connect before the permissions are right.
// Closing the listener removes the socket, unless it is another one by then.
func Listen(cfg SocketConfig) (Listener, error) {
	l, err := listen(cfg)
	if err != nil {
		return Listener{}, fmt.Errorf("listening on %q: %w", cfg.Path, err)
	}
	return Listener{Listener: l, Role: cfg.Role}, nil
}

func listen(cfg SocketConfig) (net.Listener, error) {
	gid, err := lookupGroup(cfg.Group)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o755); err != nil {
		return nil, err
	}
	if err := removeStale(cfg.Path); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), cfg.Path)
	defer f.Close() //nolint:errcheck // net.FileListener has a copy of it
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: cfg.Path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	l, err := publish(cfg, f, gid)
	if err != nil {
		return nil, errors.Join(err, os.Remove(cfg.Path))
	}
	return l, nil
}

// publish gives a bound socket its permissions, and only then lets people
// connect to it.
func publish(cfg SocketConfig, f *os.File, gid int) (net.Listener, error) {
	if gid >= 0 {
		if err := os.Lchown(cfg.Path, -1, gid); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(cfg.Path, cfg.Mode.Perm()); err != nil {
		return nil, err
	}
	own, err := os.Lstat(cfg.Path)
	if err != nil {
		return nil, err
	}
	backlog := cfg.Backlog
	if backlog <= 0 {
		backlog = unix.SOMAXCONN
	}
	if err := unix.Listen(int(f.Fd()), backlog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return &ownSocket{Listener: l, path: cfg.Path, own: own}, nil
}

// ownSocket is a listener that removes its socket.
type ownSocket struct {
	net.Listener
	path string
	own  fs.FileInfo
	once sync.Once
	err  error
}

// Close stops listening and removes the socket.
func (s *ownSocket) Close() error {
	s.once.Do(func() {
		// First the name, so that nobody who finds it is turned away.
		var err error
		if now, statErr := os.Lstat(s.path); statErr == nil && os.SameFile(now, s.own) {
			err = os.Remove(s.path)
		}
		s.err = errors.Join(err, s.Listener.Close())
	})
	return s.err
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is something that is not a socket")
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("another daemon serves it: %w", unix.EADDRINUSE), conn.Close())
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, unix.EAGAIN): // its backlog is full
		return fmt.Errorf("another daemon serves it: %w", unix.EADDRINUSE)
	}
	return err
}

// lookupGroup returns a group's number; -1: leave it as it is.
func lookupGroup(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	group, err := user.LookupGroup(name)
	if err == nil {
		name = group.Gid
	}
	gid, numErr := strconv.ParseUint(name, 10, 31)
	if numErr != nil {
		return -1, errors.Join(fmt.Errorf("looking up group %q", name), err)
	}
	return int(gid), nil
}
