package rpc

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/rpc/proto"
)

// maxMessage is how much of a message is sent, in bytes. libvirt closes the
// connection when a message does not fit; ours is cut.
const maxMessage = 65536

// shape is how a failure fills libvirt's error structure.
type shape uint8

const (
	shapeNormal   shape = iota // code and detail, or the code's bare text
	shapeArgument              // a refused argument: function and argument named apart
	shapeSystem                // errno
	shapeUnset                 // a handler that broke without an error
)

// failure is an error as it goes over the wire.
type failure struct {
	code   code
	domain domain
	shape  shape
	detail string // "": the code alone says it

	function, argument string        // shapeArgument
	errno              syscall.Errno // shapeSystem
}

// Error returns the message as the client shows it.
func (f *failure) Error() string {
	switch {
	case f.shape == shapeUnset:
		return "Library function returned error but did not set virError"
	case f.shape == shapeArgument, f.shape == shapeSystem:
		return f.detail
	case f.detail == "":
		return wordings[f.code].bare
	}
	return wordings[f.code].fill(f.detail)
}

// fail returns a failure of the normal shape.
func fail(code code, domain domain, format string, args ...any) error {
	return &failure{code: code, domain: domain, detail: fmt.Sprintf(format, args...)}
}

// badArgument refuses an argument of one of libvirt's C functions.
func badArgument(function, argument, format string, args ...any) error {
	return &failure{
		code: codeInvalidArg, domain: domainNetwork, shape: shapeArgument,
		detail: fmt.Sprintf(format, args...), function: function, argument: argument,
	}
}

// checkFlags refuses bits that a function does not know.
func checkFlags(flags, known uint32, function string) error {
	if unknown := flags &^ known; unknown != 0 {
		return badArgument(function, "flags", "unsupported flags (0x%x) in function %s", unknown, function)
	}
	return nil
}

// system makes f a system error with the errno that is in err's chain.
func (f *failure) system(err error) {
	f.shape = shapeSystem
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		f.errno = errno
		f.detail = joinText(f.detail, strerror(errno))
		return
	}
	if e, ok := errors.AsType[*driver.Error](err); ok && e.Err != nil {
		f.detail = joinText(f.detail, e.Err.Error())
	}
	if e, ok := errors.AsType[*state.Error](err); ok {
		f.detail = joinText(f.detail, e.Err.Error())
	}
}

// joinText puts a cause behind a message that does not end in it already.
func joinText(message, cause string) string {
	switch {
	case message == "":
		return cause
	case strings.HasSuffix(message, cause):
		return message
	}
	return message + ": " + cause
}

// strerror is the C library's text for an errno: Go's with a capital.
func strerror(errno syscall.Errno) string {
	text := errno.Error()
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// wire returns the error structure.
func (f *failure) wire() *proto.Error {
	message := printable(f.Error())
	e := &proto.Error{Code: int32(f.code), Domain: int32(f.domain), Message: &message, Level: proto.LevelError}
	switch f.shape {
	case shapeUnset:
	case shapeArgument:
		e.Str1, e.Str2 = &f.function, &f.argument
	case shapeSystem:
		template := "%s"
		e.Str1, e.Str2 = &template, &message
		e.Int1, e.Int2 = int32(f.errno), -1
	case shapeNormal:
		e.Int1, e.Int2 = -1, -1
		if f.detail == "" {
			e.Str1 = &message
			break
		}
		template, detail := wordings[f.code].with, printable(f.detail)
		e.Str1, e.Str2 = &template, &detail
	}
	return e
}

// printable cuts text to what is sent, and takes the control characters out of
// it that could fool a terminal. Bytes above ASCII stay: names need not be
// UTF-8.
func printable(text string) string {
	if len(text) > maxMessage {
		text = text[:maxMessage]
		for i := 0; i < utf8.UTFMax && !utf8.ValidString(text[len(text)-min(len(text), utf8.UTFMax):]); i++ {
			text = text[:len(text)-1]
		}
	}
	clean := func(i int) bool { return (text[i] >= ' ' && text[i] != 0x7f) || text[i] == '\n' || text[i] == '\t' }
	for i := range len(text) {
		if !clean(i) {
			b := []byte(text)
			for j := i; j < len(b); j++ {
				if !clean(j) {
					b[j] = '?'
				}
			}
			return string(b)
		}
	}
	return text
}
