package client

import (
	"errors"
	"strings"

	"github.com/virbr/virbr/rpc/proto"
)

// Error is a daemon's answer to a call that it refused or could not do.
type Error struct {
	Code    int32 // libvirt's virErrorNumber
	Domain  int32 // libvirt's virErrorDomain
	Message string
}

// Error returns the daemon's message.
func (e *Error) Error() string { return e.Message }

// The codes of libvirt that this package looks at.
const (
	codeRPC        = 39
	codeNoNetwork  = 43
	codeNoMetadata = 111
)

// ErrNoDaemon says that no socket is there to talk to, or nobody behind it.
var ErrNoDaemon = errors.New("no daemon answers")

// errProtocol says that what is behind the socket speaks something else.
var errProtocol = errors.New("not an answer of libvirt's protocol")

func answer(e *proto.Error) error {
	message := "the daemon names no reason"
	if e.Message != nil {
		message = *e.Message
	}
	return &Error{Code: e.Code, Domain: e.Domain, Message: message}
}

// IsNoNetwork reports whether there is no network with the name.
func IsNoNetwork(err error) bool { return hasCode(err, codeNoNetwork) }

func hasCode(err error, code int32) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}

// unknown reports whether the daemon does not know the procedure, or not the
// whole program.
func unknown(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == codeRPC &&
		(strings.HasPrefix(e.Message, "unknown procedure") || strings.HasPrefix(e.Message, "Cannot find program"))
}
