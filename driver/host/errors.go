package host

import (
	"errors"
	"fmt"
)

// OpError says what was being done to which object. Its cause is reachable:
// errors.As with a syscall.Errno gives what the kernel said.
type OpError struct {
	Op     string // "creating bridge"
	Object string // "virbr0"
	Err    error
}

func (e *OpError) Error() string { return fmt.Sprintf("%s %q: %v", e.Op, e.Object, e.Err) }

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// opError wraps a cause that may be nil.
func opError(op, object string, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Object: object, Err: err}
}

// ExitError is a program that did not end well, in libvirt's words
// (virProcessWait, virCommandWait).
type ExitError struct {
	Command string // environment, path and arguments, separated by blanks
	Status  int    // exit status; -1: killed by Signal
	Signal  int
	Stderr  string // capped; with its final newline, as libvirt passes it on
	Taken   string // who holds a port that the program complains about, in lines like those of Stderr; "": not known
}

func (e *ExitError) Error() string {
	if e.Status < 0 {
		return fmt.Sprintf("Child process (%s) unexpected fatal signal %d: %s%s", e.Command, e.Signal, e.Stderr, e.Taken)
	}
	return fmt.Sprintf("Child process (%s) unexpected exit status %d: %s%s", e.Command, e.Status, e.Stderr, e.Taken)
}

// ZoneError is a firewalld zone that cannot be had. Msg is libvirt's wording.
type ZoneError struct {
	Msg string
	Err error // cause; may be nil
}

func (e *ZoneError) Error() string { return e.Msg }

// Unwrap returns the cause.
func (e *ZoneError) Unwrap() error { return e.Err }

// RegisterError is a name server that systemd-resolved was not told of. Its
// text is libvirt's. Without a cause there is no systemd-resolved, which
// libvirt reports as an invalid operation.
type RegisterError struct{ Err error }

func (e *RegisterError) Error() string {
	const text = "failed to register name server"
	if e.Err == nil {
		return text + ": systemd-resolved is not available"
	}
	return text
}

// Unwrap returns the cause; nil: systemd-resolved is not available.
func (e *RegisterError) Unwrap() error { return e.Err }

// ErrNoPolice says that the kernel cannot limit what comes from guests. It is
// wrapped with the bridge's name.
var ErrNoPolice = errors.New("kernel has no act_police (CONFIG_NET_ACT_POLICE)")
