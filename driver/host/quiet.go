package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Every dnsmasq follows the kernel's news of addresses and routes, and with each
// change of an address anywhere it reads all addresses of the host anew. With a
// thousand of them one more network would make a thousand processes read a
// thousand addresses. What concerns another network's bridge changes nothing for
// them: a dnsmasq serves one link. So the kernel is asked not to tell it.

// quieten has the kernel tell the dnsmasq of a pid file only of addresses of its
// own bridge. It is a matter of speed alone.
func (h *Host) quieten(pidFile, bridge string) error {
	const doing = "quietening dnsmasq of"
	p, err := h.openDnsmasq(pidFile)
	if err != nil {
		return opError(doing, bridge, err)
	}
	defer p.close()
	index, err := h.index(bridge)
	if err != nil {
		return opError(doing, bridge, err)
	}
	news, err := p.news()
	if err != nil {
		return opError(doing, bridge, err)
	}
	defer func() { _ = unix.Close(news) }()
	return opError(doing, bridge, narrow(news, uint32(index)))
}

// maxDescriptors bounds the search for a socket among a process's descriptors.
// dnsmasq opens it among the first.
const maxDescriptors = 64

// errNoNews says that a process does not follow the kernel's news.
var errNoNews = errors.New("no rtnetlink socket is open")

// news returns a duplicate of the process's rtnetlink socket.
func (p *process) news() (int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", p.pid)
	f, err := os.Open(dir)
	if err != nil {
		return -1, err
	}
	names, err := f.Readdirnames(maxDescriptors)
	_ = f.Close()
	if err != nil {
		return -1, err
	}
	for _, name := range names {
		target, err := os.Readlink(dir + "/" + name)
		if err != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		number, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		fd, err := p.duplicate(number)
		if err != nil {
			return -1, err
		}
		if isRoute(fd) {
			return fd, nil
		}
		_ = unix.Close(fd)
	}
	return -1, errNoNews
}

// duplicate returns a duplicate of a descriptor of the process.
func (p *process) duplicate(number int) (fd int, err error) {
	fd = -1
	err = control(p.file, func(pidfd int) (err error) {
		fd, err = unix.PidfdGetfd(pidfd, number, 0)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("opening descriptor %d of process %d: %w", number, p.pid, err)
	}
	return fd, nil
}

// isRoute reports whether a socket is of rtnetlink.
func isRoute(fd int) bool {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_NETLINK {
		return false
	}
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	return err == nil && protocol == unix.NETLINK_ROUTE
}

// narrow keeps news of other links' addresses from a socket, and those of
// routes: dnsmasq takes these as an occasion to send a pending query again, which
// its clients do by themselves. Answers to its own requests pass.
func narrow(fd int, index uint32) error {
	for _, group := range []int{unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, group); err != nil {
			return fmt.Errorf("leaving the group of routes: %w", err)
		}
	}
	return attachFilter(fd, addressFilter(index))
}

// attachFilter gives a socket a classic BPF program that says what it takes.
func attachFilter(fd int, code []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("attaching a filter: %w", err)
	}
	return nil
}

// addressFilter is a classic BPF program for an rtnetlink socket: of the news of
// addresses it takes those of one link, and all else. It reads struct nlmsghdr,
// whose type is at byte 4 and whose flags are at byte 6, and struct ifaddrmsg
// behind it, whose index is at byte 20.
func addressFilter(index uint32) []unix.SockFilter {
	const (
		load16 = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		load32 = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anyBit = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K
	)
	return []unix.SockFilter{
		{Code: load16, K: 6},
		{Code: anyBit, K: wire16(unix.NLM_F_MULTI), Jt: 5}, // part of a list that it asked for
		{Code: load16, K: 4},
		{Code: equal, K: wire16(unix.RTM_NEWADDR), Jt: 1},
		{Code: equal, K: wire16(unix.RTM_DELADDR), Jf: 2},
		{Code: load32, K: 20},
		{Code: equal, K: wire32(index), Jf: 1},
		{Code: answer, K: 1<<32 - 1},
		{Code: answer, K: 0},
	}
}

// wire16 and wire32 give a number of the machine's order as a BPF program loads
// it, which takes all for big-endian.
func wire16(n uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, n)))
}

func wire32(n uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, n))
}
