package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
)

// The request for sockets and what it returns (linux/inet_diag.h).
const (
	sizeofDiagMsg = 72
	diagSkV6Only  = 11 // INET_DIAG_SKV6ONLY
	diagLocals    = 17 // INET_DIAG_LOCALS: an SCTP socket has several addresses
	sizeofLocal   = 128

	stateUnconnected = 7  // TCP_CLOSE, which is all that UDP knows beside connected
	stateListen      = 10 // TCP_LISTEN
)

// maxListeners is how many sockets are returned. There are 2^17 ports, and few
// of them are used.
const maxListeners = 1 << 17

// sctpProc is there where the kernel has SCTP in use. Asking for its sockets
// would load it, and give the host a protocol that nobody wanted.
const sctpProc = "/proc/net/sctp"

// Listeners returns who listens on ports of this network namespace: TCP and SCTP
// sockets that listen, UDP sockets that take what comes from anybody.
func (h *Host) Listeners(ctx context.Context) ([]step.Listener, error) {
	c, err := openChannel(unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("listing sockets: %w", err)
	}
	defer c.close()
	var list []step.Listener
	for _, ask := range []struct {
		name     string
		protocol uint8
		state    int
	}{
		{"tcp", unix.IPPROTO_TCP, stateListen}, {"udp", unix.IPPROTO_UDP, stateUnconnected}, {"sctp", unix.IPPROTO_SCTP, stateListen},
	} {
		if _, err := os.Stat(sctpProc); ask.name == "sctp" && err != nil {
			continue
		}
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			err := h.whole(ctx, "sockets", func() error {
				start := len(list)
				err := c.dump(ctx, unix.SOCK_DIAG_BY_FAMILY, 0, diagRequest(family, ask.protocol, ask.state), func(m []byte) {
					if found := h.parseListener(m, ask.name); len(list)+len(found) <= maxListeners {
						list = append(list, found...)
					}
				})
				if err != nil {
					list = list[:start]
				}
				return err
			})
			if err != nil && !errors.Is(err, unix.ENOENT) { // no such protocol
				return nil, fmt.Errorf("listing %s sockets: %w", ask.name, err)
			}
		}
	}
	return list, nil
}

// diagRequest is a struct inet_diag_req_v2 without a socket's own numbers.
func diagRequest(family, protocol uint8, state int) []byte {
	b := []byte{family, protocol, 0, 0}
	b = binary.NativeEndian.AppendUint32(b, 1<<state)
	return append(b, make([]byte, 48)...)
}

// parseListener reads a struct inet_diag_msg with its attributes. A socket
// without a port waits for nobody.
func (h *Host) parseListener(m []byte, proto string) []step.Listener {
	if len(m) < sizeofDiagMsg {
		return nil
	}
	l := step.Listener{
		Proto: proto,
		Port:  binary.BigEndian.Uint16(m[4:]),
		Inode: binary.NativeEndian.Uint32(m[68:]),
	}
	switch m[0] {
	case unix.AF_INET:
		l.Address, _ = netip.AddrFromSlice(m[8:12])
	case unix.AF_INET6:
		l.Address, _ = netip.AddrFromSlice(m[8:24])
	}
	if index := number(m[40:]); index != 0 {
		l.Dev = h.linkName(uint32(index))
	}
	if l.Port == 0 || !l.Address.IsValid() {
		return nil
	}
	both := m[0] == unix.AF_INET6
	var locals []netip.Addr
	for typ, value := range attributes(m[sizeofDiagMsg:]) {
		switch typ {
		case diagSkV6Only:
			both = both && len(value) > 0 && value[0] == 0
		case diagLocals:
			locals = parseLocals(value)
		}
	}
	if len(locals) == 0 {
		locals = []netip.Addr{l.Address}
	}
	var list []step.Listener
	for _, a := range locals {
		l.Address = a.Unmap() // an IPv6 socket on an IPv4 address
		l.Both = both && a.IsUnspecified() && a.Is6()
		list = append(list, l)
	}
	return list
}

// parseLocals reads addresses: struct sockaddr_storage, one after the other.
func parseLocals(b []byte) (list []netip.Addr) {
	for ; len(b) >= sizeofLocal; b = b[sizeofLocal:] {
		var a netip.Addr
		switch binary.NativeEndian.Uint16(b) {
		case unix.AF_INET:
			a, _ = netip.AddrFromSlice(b[4:8])
		case unix.AF_INET6:
			a, _ = netip.AddrFromSlice(b[8:24])
		}
		if a.IsValid() {
			list = append(list, a)
		}
	}
	return list
}

// linkName returns the name of an index by one ioctl; one that has gone is named
// by number.
func (h *Host) linkName(index uint32) string {
	ifr, err := unix.NewIfreq("")
	if err == nil {
		ifr.SetUint32(index)
		err = unix.IoctlIfreq(h.fd, unix.SIOCGIFNAME, ifr)
	}
	if err != nil {
		return fmt.Sprintf("link %d", index)
	}
	return ifr.Name()
}

// clean makes a name that a process gave itself fit for a message.
func clean(name []byte) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, bytes.TrimRight(name, "\n")))
}
