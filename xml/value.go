package xml

// Tristate is an attribute that is yes, no, or not given.
type Tristate uint8

// The values of a Tristate.
const (
	Unset Tristate = iota
	Yes
	No
)

// UUID is a network's or port's UUID (RFC 9562); the zero value means none.
type UUID [16]byte

// MAC is a 48-bit MAC address; the zero value means none.
type MAC [6]byte
