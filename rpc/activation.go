package rpc

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
)

// activatedRoles says what systemd's sockets are for. It goes by their names,
// never by their places.
var activatedRoles = map[string]Role{
	"virtnetworkd.socket":       RoleReadWrite,
	"virtnetworkd-ro.socket":    RoleReadOnly,
	"virtnetworkd-admin.socket": RoleAdmin,
}

// ErrUnclaimed says that systemd passed a socket of an unknown name. libvirt's
// daemons exit with status 6 then.
var ErrUnclaimed = errors.New("some activation file descriptors are unclaimed")

// Activated returns the sockets that systemd passed (sd_listen_fds(3)). If
// there is any, the daemon makes none of its own. Without LISTEN_FDNAMES there
// is nothing to tell them apart by, and none is used. They stay where they are
// when they are closed: systemd removes them.
func Activated() ([]Listener, error) {
	named := os.Getenv("LISTEN_FDNAMES") != ""
	files := activation.Files(true)
	defer func() {
		for _, f := range files {
			_ = f.Close() // a listener has a copy of its own
		}
	}()
	if !named {
		return nil, nil
	}
	var listeners []Listener
	for _, f := range files {
		l, err := activated(f)
		if err != nil {
			for _, other := range listeners {
				_ = other.Close()
			}
			return nil, fmt.Errorf("taking %q from systemd: %w", f.Name(), err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func activated(f *os.File) (Listener, error) {
	role, ok := activatedRoles[f.Name()]
	if !ok {
		return Listener{}, ErrUnclaimed
	}
	l, err := net.FileListener(f)
	if err != nil {
		return Listener{}, err
	}
	unixListener, ok := l.(*net.UnixListener)
	if !ok {
		return Listener{}, errors.Join(fmt.Errorf("a socket of network %q", l.Addr().Network()), l.Close())
	}
	unixListener.SetUnlinkOnClose(false)
	return Listener{Listener: unixListener, Role: role}, nil
}
