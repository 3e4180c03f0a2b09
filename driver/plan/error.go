package plan

import "fmt"

// Kind is the class of an Error. Packages driver and rpc map it to libvirt's
// error code; nothing else may depend on the numbers.
type Kind uint8

// The kinds of Error, named after libvirt's error codes.
const (
	KindInternal    Kind = iota // VIR_ERR_INTERNAL_ERROR
	KindUnsupported             // VIR_ERR_CONFIG_UNSUPPORTED
	KindSystem                  // VIR_ERR_SYSTEM_ERROR
	KindFailed                  // VIR_ERR_OPERATION_FAILED
)

// Error says why a network cannot be started on this host. Msg is libvirt's
// wording without the prefix for the code.
type Error struct {
	Kind Kind
	Msg  string
}

func (e *Error) Error() string { return e.Msg }

func refuse(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Msg: fmt.Sprintf(format, args...)}
}
