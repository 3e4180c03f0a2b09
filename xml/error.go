package xml

import "fmt"

// Kind is the class of a refused document. Room rpc maps it to libvirt's error
// code; nothing else may depend on the numbers.
type Kind uint8

// The kinds of Error, named after libvirt's error codes.
const (
	KindInternal     Kind = iota // VIR_ERR_INTERNAL_ERROR
	KindXML                      // VIR_ERR_XML_ERROR
	KindDetail                   // VIR_ERR_XML_DETAIL: the message stands alone
	KindUnsupported              // VIR_ERR_CONFIG_UNSUPPORTED
	KindNoName                   // VIR_ERR_NO_NAME, no message
	KindOverflow                 // VIR_ERR_OVERFLOW
	KindSystem                   // VIR_ERR_SYSTEM_ERROR
	KindInvalidArg               // VIR_ERR_INVALID_ARG
	KindOperation                // VIR_ERR_OPERATION_INVALID: an update that does not fit
	KindNotSupported             // VIR_ERR_OPERATION_UNSUPPORTED: an update that libvirt never makes
	KindSchema                   // VIR_ERR_XML_INVALID_SCHEMA
)

// Origin says which of libvirt's layers would have raised an Error; room rpc
// maps it to libvirt's error domain.
type Origin uint8

// The origins of an Error.
const (
	OriginNetwork Origin = iota // VIR_FROM_NETWORK: the network and port parsers, and what is not well-formed
	OriginXML                   // VIR_FROM_XML: generic attribute helpers, root element, illegal characters
	OriginHelper                // VIR_FROM_NONE: socket and PCI addresses, bandwidth, vlan, virtualport
)

// Error refuses a document or an update. Msg is libvirt's wording without the
// prefix that libvirt puts in front for the code ("XML error: ", ...).
type Error struct {
	Kind   Kind
	Origin Origin
	Line   int // line of the document, from 1; 0: unknown
	Msg    string
}

// Error returns the message with libvirt's prefix for its kind.
func (e *Error) Error() string { return e.Kind.prefix() + e.Msg }

func (k Kind) prefix() string {
	switch k {
	case KindInternal:
		return "internal error: "
	case KindXML:
		return "XML error: "
	case KindUnsupported:
		return "unsupported configuration: "
	case KindNoName:
		return "missing name information"
	case KindOverflow:
		return "numerical overflow: "
	case KindInvalidArg:
		return "invalid argument: "
	case KindOperation:
		return "Requested operation is not valid: "
	case KindNotSupported:
		return "Operation not supported: "
	case KindSchema:
		return "XML document failed to validate against schema: "
	case KindDetail, KindSystem:
		return ""
	}
	return fmt.Sprintf("xml error kind %d: ", uint8(k))
}
