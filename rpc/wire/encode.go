package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Encoder appends XDR to a buffer. The first value that is over its limit sets
// an error, and everything after it is ignored. The zero value is ready.
type Encoder struct {
	buf []byte
	err error
}

// Bytes returns what was encoded, or the first error, which wraps ErrTooBig.
func (e *Encoder) Bytes() ([]byte, error) {
	if e.err != nil {
		return nil, e.err
	}
	return e.buf, nil
}

func (e *Encoder) fail(what string, n, limit int) {
	if e.err == nil {
		e.err = fmt.Errorf("%s of %d (limit %d): %w", what, n, limit, ErrTooBig)
	}
}

// Uint32 encodes an unsigned int.
func (e *Encoder) Uint32(v uint32) { e.buf = binary.BigEndian.AppendUint32(e.buf, v) }

// Int32 encodes an int or an enum.
func (e *Encoder) Int32(v int32) { e.Uint32(uint32(v)) }

// Uint64 encodes an unsigned hyper.
func (e *Encoder) Uint64(v uint64) { e.buf = binary.BigEndian.AppendUint64(e.buf, v) }

// Int64 encodes a hyper.
func (e *Encoder) Int64(v int64) { e.Uint64(uint64(v)) }

// Float64 encodes a double.
func (e *Encoder) Float64(v float64) { e.Uint64(math.Float64bits(v)) }

// Bool encodes 0 or 1.
func (e *Encoder) Bool(v bool) {
	if v {
		e.Uint32(1)
		return
	}
	e.Uint32(0)
}

// String encodes a string of at most MaxString bytes.
func (e *Encoder) String(s string) {
	if len(s) > MaxString {
		e.fail("string", len(s), MaxString)
		return
	}
	e.Uint32(uint32(len(s)))
	e.buf = append(e.buf, s...)
	e.buf = append(e.buf, "\x00\x00\x00"[:padding(len(s))]...)
}

// OptString encodes an optional string; nil is an absent one.
func (e *Encoder) OptString(s *string) {
	e.Bool(s != nil)
	if s != nil {
		e.String(*s)
	}
}

// UUID encodes 16 bytes as they are.
func (e *Encoder) UUID(u [16]byte) { e.buf = append(e.buf, u[:]...) }

// Length encodes the length of an array that may hold limit elements.
func (e *Encoder) Length(n, limit int) {
	if n > limit {
		e.fail("array", n, limit)
	}
	e.Uint32(uint32(n))
}

// padding is what XDR adds to n bytes to come to a multiple of four.
func padding(n int) int { return -n & 3 }
