package xml

import (
	"fmt"
	"strings"
)

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

// String returns "yes", "no" or "".
func (t Tristate) String() string {
	switch t {
	case Yes:
		return "yes"
	case No:
		return "no"
	case Unset:
	}
	return ""
}

// IsZero reports whether no UUID is set.
func (u UUID) IsZero() bool { return u == UUID{} }

// String returns the canonical lower-case form, 8-4-4-4-12.
func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// MarshalText implements encoding.TextMarshaler; the zero UUID is empty.
func (u UUID) MarshalText() ([]byte, error) {
	if u.IsZero() {
		return nil, nil
	}
	return []byte(u.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *UUID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*u = UUID{}
		return nil
	}
	parsed, ok := ParseUUID(string(text))
	if !ok {
		return fmt.Errorf("parsing UUID %q: want 32 hexadecimal digits", text)
	}
	*u = parsed
	return nil
}

// ParseUUID reads a UUID as libvirt's virUUIDParse does: 32 hexadecimal digits,
// dashes and blanks between pairs, white space around.
func ParseUUID(s string) (u UUID, ok bool) {
	s = strings.Trim(s, " \t\n\v\f\r")
	for i := range u {
		s = strings.TrimLeft(s, "- ")
		if len(s) < 2 {
			return UUID{}, false
		}
		high, low := hexDigit(s[0]), hexDigit(s[1])
		if high > 15 || low > 15 {
			return UUID{}, false
		}
		u[i], s = high<<4|low, s[2:]
	}
	return u, s == ""
}

// IsZero reports whether no address is set.
func (m MAC) IsZero() bool { return m == MAC{} }

// IsMulticast reports whether the group bit is set.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// String returns the address in lower case, two digits a group.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// MarshalText implements encoding.TextMarshaler; the zero MAC is empty.
func (m MAC) MarshalText() ([]byte, error) {
	if m.IsZero() {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*m = MAC{}
		return nil
	}
	parsed, ok := ParseMAC(string(text))
	if !ok {
		return fmt.Errorf("parsing MAC address %q: want six groups of hexadecimal digits", text)
	}
	*m = parsed
	return nil
}

// ParseMAC reads six groups of one or two hexadecimal digits with colons
// between. As in libvirt's virMacAddrParse white space may follow, and anything
// after it is ignored.
func ParseMAC(s string) (m MAC, ok bool) {
	for i := range m {
		n := 0
		for n < len(s) && n < 3 && hexDigit(s[n]) < 16 {
			m[i] = m[i]<<4 | hexDigit(s[n])
			n++
		}
		if n < 1 || n > 2 {
			return MAC{}, false
		}
		s = s[n:]
		if i < len(m)-1 {
			if !strings.HasPrefix(s, ":") {
				return MAC{}, false
			}
			s = s[1:]
		}
	}
	return m, s == "" || s[0] <= ' '
}
