package rpc

import "strings"

// code is one of libvirt's error codes (virErrorNumber).
type code int32

// The codes that a network daemon answers with.
const (
	codeInternal      code = 1
	codeNoSupport     code = 3
	codeNoConnect     code = 5
	codeInvalidArg    code = 8
	codeFailed        code = 9
	codeNoName        code = 21
	codeXML           code = 27
	codeDenied        code = 29 // read-only connections
	codeXMLDetail     code = 35
	codeSystem        code = 38
	codeRPC           code = 39
	codeNoNetwork     code = 43
	codeInvalidMAC    code = 44
	codeAuthFailed    code = 45
	codeInvalid       code = 55
	codeUnsupported   code = 67
	codeTimeout       code = 68
	codeHook          code = 70
	codeArgument      code = 74 // an argument that is not supported
	codeAuthCancelled code = 79
	codeOverflow      code = 82
	codeNotSupported  code = 84
	codeAccessDenied  code = 88
	codeService       code = 89
	codeSchema        code = 92
	codeNoAgent       code = 94
	codePortExists    code = 106
	codeNoPort        code = 107
	codeNoMetadata    code = 111
)

// domain is one of libvirt's error domains (virErrorDomain).
type domain int32

// The domains that a network daemon answers with.
const (
	domainNone    domain = 0
	domainXML     domain = 5
	domainRPC     domain = 7
	domainNetwork domain = 19
	domainDomain  domain = 20
	domainHook    domain = 34
	domainURI     domain = 45
	domainDBus    domain = 47
	domainAccess  domain = 55
	domainPolkit  domain = 60

	// domainOfOrigin stands in the table of errors for the domain that
	// belongs to an xml.Error's origin.
	domainOfOrigin domain = -1
)

// placeholder is where a detail stands in a template, as libvirt writes it
// since 9.1.
const placeholder = "%1$s"

// wording is how libvirt words a code: with a detail, and without.
type wording struct{ with, bare string }

// fill puts a detail into the template.
func (w wording) fill(detail string) string {
	return strings.Replace(w.with, placeholder, detail, 1)
}

// wordings are libvirt's messages for its codes (virErrorMsg in virerror.c).
var wordings = map[code]wording{
	codeInternal:      {"internal error: %1$s", "internal error"},
	codeNoSupport:     {"this function is not supported by the connection driver: %1$s", "this function is not supported by the connection driver"},
	codeNoConnect:     {"no connection driver available for %1$s", "no connection driver available"},
	codeInvalidArg:    {"invalid argument: %1$s", "invalid argument"},
	codeFailed:        {"operation failed: %1$s", "operation failed"},
	codeNoName:        {"missing name information in %1$s", "missing name information"},
	codeXML:           {"XML error: %1$s", "XML description is invalid or not well formed"},
	codeDenied:        {"operation forbidden: %1$s", "operation forbidden for read only access"},
	codeXMLDetail:     {"%1$s", "parser error"},
	codeSystem:        {"%1$s", "system call error"},
	codeRPC:           {"%1$s", "RPC error"},
	codeNoNetwork:     {"Network not found: %1$s", "Network not found"},
	codeInvalidMAC:    {"invalid MAC address: %1$s", "invalid MAC address"},
	codeAuthFailed:    {"authentication failed: %1$s", "authentication failed"},
	codeInvalid:       {"Requested operation is not valid: %1$s", "Requested operation is not valid"},
	codeUnsupported:   {"unsupported configuration: %1$s", "unsupported configuration"},
	codeTimeout:       {"Timed out during operation: %1$s", "Timed out during operation"},
	codeHook:          {"Hook script execution failed: %1$s", "Hook script execution failed"},
	codeArgument:      {"argument unsupported: %1$s", "argument unsupported"},
	codeAuthCancelled: {"authentication cancelled: %1$s", "authentication cancelled"},
	codeOverflow:      {"numerical overflow: %1$s", "numerical overflow"},
	codeNotSupported:  {"Operation not supported: %1$s", "Operation not supported"},
	codeAccessDenied:  {"access denied: %1$s", "access denied"},
	codeService:       {"error from service: %1$s", "error from service"},
	codeSchema:        {"XML document failed to validate against schema: %1$s", "XML document failed to validate against schema"},
	codeNoAgent:       {"authentication unavailable: %1$s", "authentication unavailable"},
	codePortExists:    {"network port %1$s exists already", "this network port exists already"},
	codeNoPort:        {"network port not found: %1$s", "network port not found"},
	codeNoMetadata:    {"metadata not found: %1$s", "metadata not found"},
}
