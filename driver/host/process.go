package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxPIDFile is how many bytes of a pid file are read. Numbers are shorter.
const maxPIDFile = 32

// process is a running process. Its descriptor keeps the number from being
// given to another one behind our back.
type process struct {
	pid  int
	file *os.File // a pidfd: readable when the process has ended
}

// openProcess opens a process by number; ESRCH: there is none.
func openProcess(pid int) (*process, error) {
	if pid <= 1 {
		return nil, fmt.Errorf("opening process %d: %w", pid, syscall.ESRCH)
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("opening process %d: %w", pid, err)
	}
	return &process{pid: pid, file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

func (p *process) close() { _ = p.file.Close() }

// signal sends a signal; a process that ended meanwhile is no error.
func (p *process) signal(s syscall.Signal) error {
	err := control(p.file, func(fd int) error { return unix.PidfdSendSignal(fd, s, nil, 0) })
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %v to process %d: %w", s, p.pid, err)
	}
	return nil
}

// control calls fn with the descriptor of a file or a connection.
func control(c syscall.Conn, fn func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = fn(int(fd)) })
	return errors.Join(err, inner)
}

// ended waits until the process has ended, the time is over or the context
// ends, and reports whether it has. A process of others that waits to be reaped
// has ended.
func (p *process) ended(ctx context.Context, patience time.Duration) (bool, error) {
	raw, err := p.file.SyscallConn()
	if err == nil {
		err = p.file.SetReadDeadline(time.Now().Add(patience))
	}
	if err != nil {
		return false, fmt.Errorf("waiting for process %d: %w", p.pid, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = raw.Read(func(fd uintptr) bool { return readable(int(fd)) })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("waiting for process %d: %w", p.pid, err)
	}
	return true, nil
}

// running reports whether the process has not ended; one that waits to be
// reaped has.
func (p *process) running() bool {
	over := true
	err := control(p.file, func(fd int) error { over = readable(fd); return nil })
	return err == nil && !over
}

// readable asks without waiting.
func readable(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, syscall.EINTR) {
			return err != nil || n > 0
		}
	}
}

// leave asks the process to end. One that somebody stopped (SIGSTOP) goes on for
// that: what it was stopped for is over.
func (p *process) leave() error {
	return errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT))
}

// privileged reports whether the process has any capabilities, as proc_pid_status(5)
// says. They count in its own user namespace.
func (p *process) privileged() bool {
	set, err := strconv.ParseUint(statusOf(p.pid, "CapPrm"), 16, 64)
	return err == nil && set != 0
}

// statusOf returns what /proc says of a process under a name; "": nothing.
func statusOf(pid int, name string) string {
	data, _ := readCapped(fmt.Sprintf("/proc/%d/status", pid), maxConf) // none: it has ended
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(text)
		}
	}
	return ""
}

// exiting reports whether the process is on its way out, or waits to be reaped.
func (p *process) exiting() bool {
	const (
		maxStat = 4096 // bytes
		flags   = 6    // the field of include/linux/sched.h's PF_ flags, counted behind the program's name
		pfExit  = 0x4  // PF_EXITING
	)
	data, err := readCapped(fmt.Sprintf("/proc/%d/stat", p.pid), maxStat)
	if err != nil {
		return false
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) <= flags {
		return false
	}
	set, err := strconv.ParseUint(fields[flags], 10, 64)
	return err == nil && set&pfExit != 0
}

// maxCommandLine is how many bytes of a command line are read. Ours are short.
const maxCommandLine = 64 << 10

// arguments returns the process's command line.
func (p *process) arguments() ([]string, error) {
	data, err := readCapped(fmt.Sprintf("/proc/%d/cmdline", p.pid), maxCommandLine)
	if err != nil {
		return nil, fmt.Errorf("reading the command line of process %d: %w", p.pid, err)
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00"), nil
}

// readPID reads a pid file; fs.ErrNotExist: there is none.
func readPID(path string) (int, error) {
	data, err := readCapped(path, maxPIDFile)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("reading pid file %q: %w", path, err)
	}
	return int(pid), nil
}

// readCapped reads at most limit bytes of a regular file; more is an error. The
// path may be what somebody else's process says, so it is opened only when it is
// known to be a file: opening a FIFO may wait, and opening a device may do things.
func readCapped(path string, limit int64) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("reading %q: not a regular file", path)
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %q: more than %d bytes", path, limit)
	}
	return data, nil
}
