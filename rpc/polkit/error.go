package polkit

import (
	"errors"
	"fmt"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// Reason is why a check did not end in a yes.
type Reason uint8

// The reasons.
const (
	Denied    Reason = iota // the policy says no
	Dismissed               // the user closed the password prompt
	NoAgent                 // the user would have to be asked, but nobody can
	NoBus                   // there is no system bus
	Service                 // polkit did not answer, or not as it should
)

// Error is a check that did not end in a yes. Its text is libvirt's, without
// the prefix for the code.
type Error struct {
	Reason Reason
	Action string
	Err    error // NoBus, Service: the cause
}

// Error returns libvirt's wording.
func (e *Error) Error() string {
	switch e.Reason {
	case Denied:
		return "access denied by policy"
	case Dismissed:
		return "user cancelled authentication process"
	case NoAgent:
		return fmt.Sprintf("no polkit agent available to authenticate action '%s'", e.Action)
	case NoBus:
		if errno, ok := errors.AsType[syscall.Errno](e.Err); ok {
			text := errno.Error() // the C library's, but for the first letter
			first, size := utf8.DecodeRuneInString(text)
			return fmt.Sprintf("Unable to get system bus connection: Could not connect: %c%s", unicode.ToUpper(first), text[size:])
		}
		return fmt.Sprintf("Unable to get system bus connection: %v", e.Err)
	case Service:
		return e.Err.Error()
	}
	return fmt.Sprintf("polkit: reason %d", e.Reason)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
