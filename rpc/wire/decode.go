package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// ErrDecode says that bytes are not what they should be: too short, over a
// limit, or of an unknown kind.
var ErrDecode = errors.New("undecodable XDR")

// Decoder reads XDR. The first value that cannot be read sets an error, after
// which every value is zero, so callers look at Err once, at the end.
type Decoder struct {
	buf []byte
	err error
}

// NewDecoder returns a Decoder of b, which must not change as long as the
// Decoder is in use. Decoded values do not refer to b.
func NewDecoder(b []byte) *Decoder { return &Decoder{buf: b} }

// Err returns ErrDecode if something could not be read.
func (d *Decoder) Err() error { return d.err }

// Rest returns how many bytes are left.
func (d *Decoder) Rest() int { return len(d.buf) }

// Fail marks what is being decoded as undecodable.
func (d *Decoder) Fail() {
	d.err = ErrDecode
	d.buf = nil
}

// take returns the next n bytes, or nil.
func (d *Decoder) take(n int) []byte {
	if d.err != nil || n > len(d.buf) {
		d.Fail()
		return nil
	}
	b := d.buf[:n]
	d.buf = d.buf[n:]
	return b
}

// Uint32 decodes an unsigned int.
func (d *Decoder) Uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Int32 decodes an int or an enum.
func (d *Decoder) Int32() int32 { return int32(d.Uint32()) }

// Uint64 decodes an unsigned hyper.
func (d *Decoder) Uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Int64 decodes a hyper.
func (d *Decoder) Int64() int64 { return int64(d.Uint64()) }

// Float64 decodes a double.
func (d *Decoder) Float64() float64 { return math.Float64frombits(d.Uint64()) }

// Bool decodes a flag: anything but zero is true, because there are clients
// that send 0x01000000.
func (d *Decoder) Bool() bool { return d.Uint32() != 0 }

// String decodes a string of at most MaxString bytes. As for libvirt's C
// decoder a NUL ends it and padding may hold anything.
func (d *Decoder) String() string {
	n := d.Uint32()
	if n > MaxString {
		d.Fail()
		return ""
	}
	b := d.take(int(n) + padding(int(n)))
	if b == nil {
		return ""
	}
	b = b[:n]
	if nul := bytes.IndexByte(b, 0); nul >= 0 {
		b = b[:nul]
	}
	return string(b)
}

// OptString decodes an optional string; an absent one is nil.
func (d *Decoder) OptString() *string {
	if !d.Bool() {
		return nil
	}
	s := d.String()
	if d.err != nil {
		return nil
	}
	return &s
}

// UUID decodes 16 bytes.
func (d *Decoder) UUID() (u [16]byte) {
	copy(u[:], d.take(16))
	return u
}

// Length decodes the length of an array that may hold limit elements, each of
// at least size bytes. A length that the bytes left cannot hold is refused, so
// that the caller may allocate it.
func (d *Decoder) Length(limit, size int) int {
	n := int64(d.Uint32())
	if n > int64(limit) || n*int64(size) > int64(len(d.buf)) {
		d.Fail()
		return 0
	}
	return int(n)
}
