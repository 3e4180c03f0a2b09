package client

import (
	"errors"

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
	codeNoNetwork  = 43
	codeNoPort     = 107
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
