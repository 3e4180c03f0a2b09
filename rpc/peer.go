package rpc

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Peer is the process that connected.
type Peer struct {
	PID      int32 // 0: of another pid namespace
	UID, GID uint32

	// StartTime is when the process started, in clock ticks since boot. The
	// server reads it when it accepts the connection, so that a process that
	// gets the same id later is not taken for it. 0: nobody needs it, or the
	// process is gone.
	StartTime uint64
}

// socketPeer reads SO_PEERCRED (unix(7)).
func socketPeer(conn net.Conn) (Peer, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return Peer{}, fmt.Errorf("reading the peer of a %T: not a socket", conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("reading a socket's peer: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Peer{}, fmt.Errorf("reading a socket's peer: %w", err)
	}
	if credErr != nil {
		return Peer{}, fmt.Errorf("reading a socket's peer: %w", os.NewSyscallError("getsockopt", credErr))
	}
	return Peer{PID: cred.Pid, UID: cred.Uid, GID: cred.Gid}, nil
}

// member reports whether the process is in a group. Other groups than that of its
// credentials are looked up now: it may be gone.
func (p *Peer) member(group uint32) bool {
	if p.GID == group {
		return true
	}
	if p.PID <= 0 {
		return false
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(int(p.PID)) + "/status")
	if err != nil {
		return false
	}
	for line := range bytes.Lines(status) {
		if list, ok := bytes.CutPrefix(line, []byte("Groups:")); ok {
			return slices.ContainsFunc(bytes.Fields(list), func(word []byte) bool {
				return string(word) == strconv.FormatUint(uint64(group), 10)
			})
		}
	}
	return false
}

// startTime returns when a process started, in clock ticks since boot: field
// 22 of /proc/PID/stat (proc(5)).
func startTime(pid int32) (uint64, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/stat")
	if err != nil {
		return 0, err
	}
	return parseStartTime(stat)
}

func parseStartTime(stat []byte) (uint64, error) {
	// Field 2 is the command's name in parentheses, and may hold anything.
	const after = 22 - 3
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= after {
		return 0, fmt.Errorf("reading a process's start time: %d fields after its name", len(fields))
	}
	return strconv.ParseUint(string(fields[after]), 10, 64)
}
