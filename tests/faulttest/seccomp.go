package faulttest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watch is one system call that is handed over.
type watch struct {
	name string
	call int
	arg  int    // the argument that counts; with mask
	mask uint32 // only where arg has one of these bits; 0: always
	path int    // the argument that is a path; -1: none, onFile: the first is a descriptor
	from bool   // argument 1 is a path, too
}

// onFile is the path of a watch whose first argument is a descriptor.
const onFile = -2

// Watched returns the system calls that are counted, by number: those by which
// Go programs change files, the network and other processes.
func Watched() map[int]string {
	out := make(map[int]string)
	for _, w := range watches() {
		out[w.call] = w.name
	}
	return out
}

func watches() []watch {
	const vfork = unix.CLONE_VFORK // Go's way to start a program; threads come without
	return []watch{
		{name: "sendto", call: unix.SYS_SENDTO, path: onFile},
		{name: "sendmsg", call: unix.SYS_SENDMSG, path: onFile},
		{name: "write", call: unix.SYS_WRITE, path: onFile},
		{name: "writev", call: unix.SYS_WRITEV, path: onFile},
		{name: "pwrite64", call: unix.SYS_PWRITE64, path: onFile},
		{name: "openat", call: unix.SYS_OPENAT, arg: 2, mask: unix.O_CREAT | unix.O_WRONLY | unix.O_RDWR, path: 1},
		{name: "fsync", call: unix.SYS_FSYNC, path: onFile},
		{name: "fdatasync", call: unix.SYS_FDATASYNC, path: onFile},
		{name: "renameat", call: unix.SYS_RENAMEAT, path: 3, from: true},
		{name: "renameat2", call: unix.SYS_RENAMEAT2, path: 3, from: true},
		{name: "unlinkat", call: unix.SYS_UNLINKAT, path: 1},
		{name: "mkdirat", call: unix.SYS_MKDIRAT, path: 1},
		{name: "symlinkat", call: unix.SYS_SYMLINKAT, path: 2},
		{name: "linkat", call: unix.SYS_LINKAT, path: 3, from: true},
		{name: "ftruncate", call: unix.SYS_FTRUNCATE, path: onFile},
		{name: "fchmod", call: unix.SYS_FCHMOD, path: onFile},
		{name: "ioctl", call: unix.SYS_IOCTL, path: -1},
		{name: "clone", call: unix.SYS_CLONE, arg: 0, mask: vfork, path: -1},
		{name: "pidfd_open", call: unix.SYS_PIDFD_OPEN, path: -1},
		{name: "pidfd_send_signal", call: unix.SYS_PIDFD_SEND_SIGNAL, path: -1},
		{name: "socket", call: unix.SYS_SOCKET, path: -1},
	}
}

// Name returns the system call's name.
func (c Call) Name() string { return Watched()[c.Number] }

// String returns the call for a message: "unlinkat /run/x".
func (c Call) String() string {
	if c.Path == "" {
		return c.Name()
	}
	return c.Name() + " " + c.Path
}

// Offsets in struct seccomp_data: the number, and the low halves of arguments on
// a little-endian machine.
const (
	offsetCall = 0
	offsetArgs = 16
)

// install gives the calling thread the filter and returns its listener.
func install(watched map[int]string) (int, error) {
	const load, equal, bits, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
		unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	const allow, notify = 0x7fff0000, 0x7fc00000 // SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF
	var program []unix.SockFilter
	for _, w := range watches() {
		if _, ok := watched[w.call]; !ok {
			continue
		}
		program = append(program, unix.SockFilter{Code: load, K: offsetCall})
		if w.mask == 0 {
			program = append(program,
				unix.SockFilter{Code: equal, K: uint32(w.call), Jf: 1},
				unix.SockFilter{Code: ret, K: notify})
			continue
		}
		program = append(program,
			unix.SockFilter{Code: equal, K: uint32(w.call), Jf: 4},
			unix.SockFilter{Code: load, K: offsetArgs + 8*uint32(w.arg)},
			unix.SockFilter{Code: bits, K: w.mask, Jt: 1},
			unix.SockFilter{Code: ret, K: allow},
			unix.SockFilter{Code: ret, K: notify})
	}
	program = append(program, unix.SockFilter{Code: ret, K: allow})
	const setModeFilter, newListener = 1, 1 << 3
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, newListener, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return 0, errno
	}
	unix.CloseOnExec(int(fd))
	return int(fd), nil
}

// notification is a call that waits (struct seccomp_notif).
type notification struct {
	id   uint64
	pid  int // of the thread
	call int
	args [6]uint64
}

// The requests of a listener, and the flag by which a call goes on.
const (
	ioctlReceive = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	ioctlSend    = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	flagContinue = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

func receive(fd int) (notification, error) {
	var raw struct {
		id          uint64
		pid, flags  uint32
		call        int32
		arch        uint32
		instruction uint64
		args        [6]uint64
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ioctlReceive, uintptr(unsafe.Pointer(&raw))); errno != 0 {
		return notification{}, errno
	}
	return notification{id: raw.id, pid: int(raw.pid), call: int(raw.call), args: raw.args}, nil
}

// respond lets a call go on, or fail with errno.
func respond(fd int, id uint64, errno unix.Errno) error {
	raw := struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}{id: id, errno: -int32(errno)}
	if errno == 0 {
		raw.flags = flagContinue
	}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ioctlSend, uintptr(unsafe.Pointer(&raw))); e != 0 {
		return e
	}
	return nil
}

// what says what call it is.
func (n notification) what() Call {
	c := Call{Number: n.call, Thread: n.pid, Args: n.args}
	for _, w := range watches() {
		switch {
		case w.call != n.call || w.path == -1:
			continue
		case w.path == onFile:
			c.Path = n.open(int32(n.args[0]))
		default:
			c.Path = n.path(w.path)
		}
		if w.from {
			c.From = n.path(1)
		}
		break
	}
	return c
}

// open returns what a descriptor is open on.
func (n notification) open(fd int32) string {
	target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, fd))
	return target
}

// path reads an argument that is a path. The one before it is the directory that it
// may start from.
func (n notification) path(arg int) string {
	buffer := make([]byte, 4096)
	local := []unix.Iovec{{Base: &buffer[0], Len: uint64(len(buffer))}}
	remote := []unix.RemoteIovec{{Base: uintptr(n.args[arg]), Len: len(buffer)}}
	size, err := unix.ProcessVMReadv(n.pid, local, remote, 0)
	if err != nil { // it may lie at the end of a page
		remote[0].Len = 4096 - int(n.args[arg])%4096
		if size, err = unix.ProcessVMReadv(n.pid, local, remote, 0); err != nil {
			return fmt.Sprintf("(%v)", err)
		}
	}
	text, _, _ := bytes.Cut(buffer[:size], []byte{0})
	if dir := int32(n.args[arg-1]); !strings.HasPrefix(string(text), "/") && dir != unix.AT_FDCWD {
		return filepath.Join(n.open(dir), string(text))
	}
	return string(text)
}
