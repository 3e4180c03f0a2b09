package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// deaths knows the processes of networks whose end nobody has asked for yet. The
// kernel tells at once when one of them ends, by a descriptor of the process that
// is one of an epoll set: one goroutine waits for all of them. What ends while
// nobody waits is told to the next who does.
type deaths struct {
	mu      sync.Mutex // guards what follows
	epoll   *os.File   // nil: not open
	number  int32      // of the last entry; a descriptor's number may be another's by now
	entries map[int32]*watchedProcess
	byFile  map[string]int32 // pid file to entry
}

// watchedProcess is a process that should live.
type watchedProcess struct {
	process *process
	pidFile string
}

func (d *deaths) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("making an epoll set: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that Go waits for it without a thread
		_ = unix.Close(fd)
		return fmt.Errorf("making an epoll set: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoll = os.NewFile(uintptr(fd), "epoll")
	d.entries, d.byFile = make(map[int32]*watchedProcess), make(map[string]int32)
	return nil
}

func (d *deaths) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for file := range d.byFile {
		d.forgetLocked(file)
	}
	if d.epoll != nil {
		_ = d.epoll.Close()
		d.epoll = nil
	}
}

// watch follows the process of a pid file, in place of an earlier one. It takes
// the process, and closes it in the end.
func (d *deaths) watch(pidFile string, p *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoll == nil {
		p.close()
		return
	}
	if old, ok := d.byFile[pidFile]; ok && d.entries[old].process.pid == p.pid && d.entries[old].process.running() {
		p.close()
		return
	}
	d.forgetLocked(pidFile)
	d.number++
	err := control(p.file, func(fd int) error {
		return d.control(unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: d.number})
	})
	if err != nil { // out of memory, or of /proc/sys/fs/epoll/max_user_watches
		p.close()
		return
	}
	d.entries[d.number] = &watchedProcess{process: p, pidFile: pidFile}
	d.byFile[pidFile] = d.number
}

// forget no longer follows the process of a pid file: it is about to end.
func (d *deaths) forget(pidFile string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetLocked(pidFile)
}

func (d *deaths) forgetLocked(pidFile string) {
	number, ok := d.byFile[pidFile]
	if !ok {
		return
	}
	p := d.entries[number].process
	delete(d.entries, number)
	delete(d.byFile, pidFile)
	_ = control(p.file, func(fd int) error { return d.control(unix.EPOLL_CTL_DEL, fd, nil) })
	p.close()
}

// control changes the set.
func (d *deaths) control(op, fd int, event *unix.EpollEvent) error {
	return control(d.epoll, func(epoll int) error { return unix.EpollCtl(epoll, op, fd, event) })
}

// run calls ended with the pid file of each process that ends, until ctx ends.
// Two at a time share what there is.
func (d *deaths) run(ctx context.Context, ended func(pidFile string)) error {
	d.mu.Lock()
	epoll := d.epoll
	d.mu.Unlock()
	if epoll == nil {
		return os.ErrClosed
	}
	if err := epoll.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("waiting for processes: %w", err)
	}
	raw, err := epoll.SyscallConn()
	if err != nil {
		return fmt.Errorf("waiting for processes: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = epoll.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	events := make([]unix.EpollEvent, 64)
	for {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, failed = unix.EpollWait(int(fd), events, 0)
			return n > 0 || failed != nil && !errors.Is(failed, syscall.EINTR)
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) { // an earlier call's end
			err = epoll.SetReadDeadline(time.Time{})
		}
		if err := errors.Join(err, failed); err != nil {
			return fmt.Errorf("waiting for processes: %w", err)
		}
		for _, e := range events[:n] {
			if file, ok := d.take(e.Fd); ok {
				ended(file)
			}
		}
	}
}

// take removes a process that has ended, and reports whether its end is news.
func (d *deaths) take(number int32) (pidFile string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry := d.entries[number]
	if entry == nil {
		return "", false
	}
	d.forgetLocked(entry.pidFile)
	return entry.pidFile, true
}

// plainName undoes xmlName.
var plainName = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'")

// networkOf names the network of a pid file.
func networkOf(pidFile string) string {
	return plainName.Replace(strings.TrimSuffix(filepath.Base(pidFile), ".pid"))
}
