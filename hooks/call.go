package hooks

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// OwnerEnv is set for the scripts that virbrd runs, to the program that runs the
// networks. libvirt's daemons pass nothing of the kind on to theirs, so a script
// can tell whose network it is called for.
const OwnerEnv = "VIRBR_DRIVER"

// maxDocument is how many bytes of a hook's document are read. Definitions have at
// most 4 MiB; indented, they grow.
const maxDocument = 16 << 20

// older are the words of libvirt 5.4 and older for two operations. Their document
// has the domain's XML in the place of the port's.
var older = map[string]Op{"plugged": OpPortCreated, "unplugged": OpPortDeleted}

// Call is one call of a hook script for a network, seen from the script.
type Call struct {
	Network  string // by name
	Op       Op
	Document []byte // <hookData>, unread
}

// ReadCall reads what libvirt calls a network's script with: its arguments, less
// the program's name, and its standard input. An operation that is not known is an
// *[UnknownOpError]: a newer libvirt may have more.
func ReadCall(args []string, stdin io.Reader) (*Call, error) {
	if len(args) != 4 {
		return nil, fmt.Errorf("reading the call of a hook: %d arguments, want NETWORK OPERATION SUBOPERATION EXTRA; libvirt calls this, see virbrd(8)", len(args))
	}
	name := args[0]
	if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00\n") {
		return nil, fmt.Errorf("reading the call of a hook: network name %.300q cannot be a file name", name)
	}
	op, known := older[args[1]]
	if !known {
		op = Op(args[1])
		if !slices.Contains([]Op{OpStart, OpStarted, OpStopped, OpPortCreated, OpPortDeleted, OpUpdated}, op) {
			return nil, &UnknownOpError{Op: args[1]}
		}
	}
	doc, err := io.ReadAll(io.LimitReader(stdin, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("reading the document about network %q: %w", name, err)
	}
	if len(doc) > maxDocument {
		return nil, fmt.Errorf("reading the document about network %q: larger than %d bytes", name, maxDocument)
	}
	return &Call{Network: name, Op: op, Document: doc}, nil
}

// UnknownOpError says that a hook was called for something that it does not know.
type UnknownOpError struct{ Op string }

func (e *UnknownOpError) Error() string {
	return fmt.Sprintf("reading the call of a hook: operation %.100q is not known", e.Op)
}
