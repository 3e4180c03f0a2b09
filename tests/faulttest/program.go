package faulttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Fault is what happens to one call. The zero value lets it go on.
type Fault struct {
	// At is the number of the call, from 1 on, counted since the fault was set.
	// Zero: none.
	At int
	// Errno is what the call returns, without being done. Zero: the program is
	// killed in the call's place, as by kill -9.
	Errno unix.Errno
	// Times is how many calls in a row fail, from At on. Zero: one.
	Times int
	// Only says which calls are counted. nil: all that are watched.
	Only func(Call) bool
}

// Call is one system call that was counted.
type Call struct {
	Number int    // of the system call, see [Call.Name]
	Path   string // or what the descriptor is open on: "/run/x", "socket:[123]", "pipe:[45]"

	From   string    // the path that a rename or link is from
	Thread int       // who calls
	Args   [6]uint64 // as in struct seccomp_data
}

// Program is a running program.
type Program struct {
	Cmd *exec.Cmd

	listener int
	process  int

	mu    sync.Mutex // guards what follows
	watch func(c Call, child bool)
	fault Fault
	calls []Call
	hit   bool
}

// Start starts a program whose calls that change something are counted (see
// [Watched]), with a first fault. The test ends it; what it left of children
// lives on while the test does, no longer. TestMain must call [Launched].
func Start(t *testing.T, cmd *exec.Cmd, f Fault) *Program {
	t.Helper()
	p := &Program{Cmd: cmd, fault: f}
	if err := p.start(); err != nil {
		t.Fatalf("starting %s with its system calls counted: %v", cmd.Path, err)
	}
	return p
}

// start runs the launcher, which becomes the program, and takes the listener
// out of it.
func (p *Program) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	told, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer told.Close() //nolint:errcheck // nothing was written
	wait, release, err := os.Pipe()
	if err != nil {
		return errors.Join(err, tell.Close())
	}
	defer release.Close() //nolint:errcheck // nothing was written
	p.Cmd.Args = append([]string{self, p.Cmd.Path}, p.Cmd.Args[1:]...)
	p.Cmd.Path = self
	p.Cmd.Env = append(p.Cmd.Environ(), launchEnv+"=1")
	p.Cmd.ExtraFiles = []*os.File{tell, wait} // descriptors 3 and 4
	err = p.Cmd.Start()
	_, _ = tell.Close(), wait.Close()
	if err != nil {
		return err
	}
	var theirs int
	if _, err := fmt.Fscan(told, &theirs); err != nil {
		return errors.Join(fmt.Errorf("hearing from the launcher: %w", err), p.Cmd.Wait())
	}
	p.process = p.Cmd.Process.Pid
	if p.listener, err = steal(p.process, theirs); err != nil {
		return errors.Join(err, p.Cmd.Process.Kill())
	}
	go p.serve()
	return nil // the launcher goes on when release is closed
}

// Set says what happens to one of the calls from now on, and begins to count
// anew.
func (p *Program) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.calls, p.hit = f, nil, false
}

// Watch has every call told to a function before it is done, those of the program's
// children too. nil: no more.
func (p *Program) Watch(tell func(c Call, child bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = tell
}

// Hit reports whether the call of the fault was made.
func (p *Program) Hit() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hit
}

// Calls returns what was counted since the fault was set.
func (p *Program) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call(nil), p.calls...)
}

// serve answers calls until nobody who has the filter is left.
func (p *Program) serve() {
	defer unix.Close(p.listener) //nolint:errcheck // nothing was written
	for {
		n, err := receive(p.listener)
		switch err {
		case nil:
		case unix.EINTR, unix.ENOENT: // ENOENT: killed while it waited
			if p.gone() {
				return
			}
			continue
		default:
			return
		}
		errno, kill := p.decide(n)
		if kill { // the call that waits has no answer, and is not done
			_ = syscall.Kill(p.process, syscall.SIGKILL)
			continue
		}
		_ = respond(p.listener, n.id, errno) // fails where the caller is dead
	}
}

// gone reports whether the last holder of the filter has ended.
func (p *Program) gone() bool {
	fds := []unix.PollFd{{Fd: int32(p.listener), Events: unix.POLLIN}}
	_, err := unix.Poll(fds, 0)
	return err == nil && fds[0].Revents&unix.POLLHUP != 0
}

// decide counts a call and says what becomes of it.
func (p *Program) decide(n notification) (errno unix.Errno, kill bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	child := !threadOf(p.process, n.pid)
	if child && p.watch == nil {
		return 0, false
	}
	c := n.what()
	if p.watch != nil {
		p.watch(c, child)
	}
	if child {
		return 0, false
	}
	if p.fault.Only != nil && !p.fault.Only(c) {
		return 0, false
	}
	p.calls = append(p.calls, c)
	at, times := p.fault.At, max(p.fault.Times, 1)
	if at == 0 || len(p.calls) < at || len(p.calls) >= at+times {
		return 0, false
	}
	p.hit = true
	return p.fault.Errno, p.fault.Errno == 0
}

// threadOf reports whether a thread is one of a process.
func threadOf(process, thread int) bool {
	_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(process), "task", strconv.Itoa(thread)))
	return err == nil
}
