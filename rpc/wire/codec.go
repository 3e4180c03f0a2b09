package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrDecode says that bytes are not what they should be: too short, over a
// limit, or of an unknown kind.
var ErrDecode = errors.New("undecodable XDR")

// ErrTooBig says that a value does not fit its limit on the wire.
var ErrTooBig = errors.New("too big for the wire")

// Message is a value that has an encoding. XDR hands the parts of the message to the
// codec one after the other, and so says for both directions how it looks on the wire.
type Message interface{ XDR(c *Codec) }

// Codec writes XDR (RFC 4506), or reads it: each of its methods appends the value that is
// pointed to, or sets it. The first value that is over its limit or cannot be read sets an
// error; what is read after it is zero. So callers look at the error once, at the end.
// The zero value writes.
type Codec struct {
	buf     []byte // written so far, or yet to be read
	reading bool
	err     error
}

// Decode reads m from b, which nothing in m refers to afterwards, and returns how many
// bytes are left. The error is ErrDecode.
func Decode(b []byte, m Message) (int, error) {
	c := Codec{buf: b, reading: true}
	m.XDR(&c)
	return len(c.buf), c.err
}

// undecodable ends the reading.
func (c *Codec) undecodable() {
	c.err = ErrDecode
	c.buf = nil
}

// tooBig ends the writing.
func (c *Codec) tooBig(what string, n, limit int) {
	if c.err == nil {
		c.err = fmt.Errorf("%s of %d (limit %d): %w", what, n, limit, ErrTooBig)
	}
}

// take returns the next n bytes to read, or nil.
func (c *Codec) take(n int) []byte {
	if c.err != nil || n > len(c.buf) {
		c.undecodable()
		return nil
	}
	b := c.buf[:n]
	c.buf = c.buf[n:]
	return b
}

// Uint32 is an unsigned int.
func (c *Codec) Uint32(v *uint32) {
	if !c.reading {
		c.buf = binary.BigEndian.AppendUint32(c.buf, *v)
		return
	}
	*v = 0
	if b := c.take(4); b != nil {
		*v = binary.BigEndian.Uint32(b)
	}
}

// Int32 is an int or an enum.
func (c *Codec) Int32(v *int32) {
	u := uint32(*v)
	if c.Uint32(&u); c.reading {
		*v = int32(u)
	}
}

// Uint64 is an unsigned hyper.
func (c *Codec) Uint64(v *uint64) {
	if !c.reading {
		c.buf = binary.BigEndian.AppendUint64(c.buf, *v)
		return
	}
	*v = 0
	if b := c.take(8); b != nil {
		*v = binary.BigEndian.Uint64(b)
	}
}

// Int64 is a hyper.
func (c *Codec) Int64(v *int64) {
	u := uint64(*v)
	if c.Uint64(&u); c.reading {
		*v = int64(u)
	}
}

// Bool is a flag: 0 or 1, and when it is read anything but zero is true, because there are
// clients that send 0x01000000.
func (c *Codec) Bool(v *bool) {
	var u uint32
	if *v {
		u = 1
	}
	if c.Uint32(&u); c.reading {
		*v = u != 0
	}
}

// String is a string of at most MaxString bytes. As for libvirt's C decoder a NUL ends
// what is read, and padding may hold anything.
func (c *Codec) String(v *string) {
	n := uint32(len(*v))
	if !c.reading && len(*v) > MaxString {
		c.tooBig("string", len(*v), MaxString)
		return
	}
	c.Uint32(&n)
	if !c.reading {
		c.buf = append(c.buf, *v...)
		c.buf = append(c.buf, "\x00\x00\x00"[:padding(len(*v))]...)
		return
	}
	*v = ""
	if n > MaxString {
		c.undecodable()
		return
	}
	if b := c.take(int(n) + padding(int(n))); b != nil {
		b, _, _ = bytes.Cut(b[:n], []byte{0})
		*v = string(b)
	}
}

// padding is what XDR adds to n bytes to come to a multiple of four.
func padding(n int) int { return -n & 3 }

// OptString is an optional string; an absent one is nil.
func (c *Codec) OptString(v **string) {
	Optional(c, v, func(s *string, c *Codec) { c.String(s) })
}

// Optional is a value that may be absent, which is nil.
func Optional[T any](c *Codec, v **T, xdr func(*T, *Codec)) {
	present := *v != nil
	c.Bool(&present)
	if c.reading {
		*v = nil
		if present {
			*v = new(T)
		}
	}
	if present {
		xdr(*v, c)
	}
}

// UUID is 16 bytes as they are.
func (c *Codec) UUID(v *[16]byte) {
	if !c.reading {
		c.buf = append(c.buf, v[:]...)
		return
	}
	*v = [16]byte{}
	copy(v[:], c.take(len(v)))
}

// List is an array of at most limit elements, each of at least size bytes. A length that
// the bytes left cannot hold is refused before anything is allocated for it.
func List[T any](c *Codec, v *[]T, limit, size int, xdr func(*T, *Codec)) {
	length := uint32(len(*v))
	if !c.reading && len(*v) > limit {
		c.tooBig("array", len(*v), limit)
	}
	c.Uint32(&length)
	if c.reading {
		if n := int64(length); n > int64(limit) || n*int64(size) > int64(len(c.buf)) {
			c.undecodable()
			length = 0
		}
		*v = make([]T, length)
	}
	for i := range *v {
		xdr(&(*v)[i], c)
	}
}

// Strings is an array of at most limit strings.
func (c *Codec) Strings(v *[]string, limit int) {
	List(c, v, limit, 4, func(s *string, c *Codec) { c.String(s) })
}
