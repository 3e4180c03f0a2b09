package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// PeerUID returns the id of the user at the other end of a connection of this
// host's: of a unix socket, or of a TCP connection from a loopback address.
func PeerUID(conn net.Conn) (uint32, error) {
	switch c := conn.(type) {
	case *net.UnixConn:
		return unixPeer(c)
	case *net.TCPConn:
		return tcpPeer(c)
	}
	return 0, fmt.Errorf("finding the user of a %T: not a socket", conn)
}

// unixPeer reads SO_PEERCRED (unix(7)).
func unixPeer(conn *net.UnixConn) (uint32, error) {
	var cred *unix.Ucred
	err := control(conn, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return os.NewSyscallError("getsockopt", err)
	})
	if err != nil {
		return 0, fmt.Errorf("finding the user of a connection: %w", err)
	}
	return cred.Uid, nil
}

const (
	stateConnected = 1 // TCP_ESTABLISHED
	// Where a struct inet_diag_msg has the state of the socket and its user.
	diagState = 1
	diagUID   = 64
)

// tcpPeer asks the kernel who has the other end's socket. One that is being closed
// belongs to nobody any more, and is shown as root's.
func tcpPeer(conn *net.TCPConn) (uint32, error) {
	local, okLocal := conn.LocalAddr().(*net.TCPAddr)
	remote, okRemote := conn.RemoteAddr().(*net.TCPAddr)
	if !okLocal || !okRemote || !remote.IP.IsLoopback() {
		return 0, errors.New("finding the user of a connection: it does not come from this host")
	}
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return 0, fmt.Errorf("opening netlink: %w", err)
	}
	defer func() { _ = c.Close() }()
	list, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request},
		Data:   diagQuestion(remote.AddrPort(), local.AddrPort()),
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("finding the user of a connection from %v: %w", remote, err)
	case len(list) != 1 || len(list[0].Data) < sizeofDiagMsg:
		return 0, fmt.Errorf("finding the user of a connection from %v: the kernel's answer is %d messages", remote, len(list))
	case list[0].Data[diagState] != stateConnected:
		return 0, fmt.Errorf("finding the user of a connection from %v: it is being closed", remote)
	}
	return binary.NativeEndian.Uint32(list[0].Data[diagUID:]), nil
}

// diagQuestion asks for the socket that is connected from one address to another.
func diagQuestion(from, to netip.AddrPort) []byte {
	family := uint8(unix.AF_INET6)
	if from.Addr().Unmap().Is4() {
		family = unix.AF_INET
	}
	b := diagRequest(family, unix.IPPROTO_TCP, stateConnected)
	id := b[8:] // struct inet_diag_sockid
	binary.BigEndian.PutUint16(id, from.Port())
	binary.BigEndian.PutUint16(id[2:], to.Port())
	copy(id[4:20], from.Addr().Unmap().AsSlice())
	copy(id[20:36], to.Addr().Unmap().AsSlice())
	binary.NativeEndian.PutUint64(id[40:], 1<<64-1) // INET_DIAG_NOCOOKIE
	return b
}
