package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrLength says that a frame's length word is not one that a frame can have.
// The stream cannot be read any further.
var ErrLength = errors.New("impossible frame length")

const (
	// readBuffer holds one ordinary call, so that it costs one read.
	readBuffer = 512
	// firstPiece is what is allocated on the word of a length alone.
	firstPiece = 4096
)

// Reader reads frames from a stream.
type Reader struct {
	r    *bufio.Reader
	left int // bytes of the current frame's payload that are not read yet
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, readBuffer)} }

// Header reads the next frame's header and says how long its payload is. What
// the last frame's payload left unread is skipped first. At the end of the
// stream between two frames the error is io.EOF.
func (r *Reader) Header() (Header, int, error) {
	var h Header
	if err := r.skip(r.left); err != nil {
		return h, 0, err
	}
	word, err := r.r.Peek(4)
	if err != nil {
		if len(word) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return h, 0, err
	}
	length := binary.BigEndian.Uint32(word)
	if length <= 4 || length > MaxFrame {
		return h, 0, fmt.Errorf("%w: %d", ErrLength, length)
	}
	if length < HeaderSize {
		// libvirt waits for what is promised before it finds that it
		// cannot be a header.
		if err := r.skip(int(length)); err != nil {
			return h, 0, err
		}
		return h, 0, fmt.Errorf("%w: %d", ErrLength, length)
	}
	fixed, err := r.r.Peek(HeaderSize)
	if err != nil {
		return h, 0, unexpected(err)
	}
	h.parse(fixed)
	if _, err := r.r.Discard(HeaderSize); err != nil {
		return h, 0, unexpected(err)
	}
	r.left = int(length) - HeaderSize
	return h, r.left, nil
}

// Payload reads the rest of the current frame, but at most its first limit
// bytes; more is thrown away. Memory is claimed as bytes arrive, not as they
// are promised, and before there is more than small of it, large is called,
// whose error ends the reading.
func (r *Reader) Payload(limit, small int, large func() error) ([]byte, error) {
	want := min(r.left, limit)
	if want == 0 {
		return nil, r.skip(r.left)
	}
	buf := make([]byte, 0, min(want, small, firstPiece))
	for len(buf) < want {
		if len(buf) == cap(buf) {
			room := 2 * cap(buf)
			switch {
			case cap(buf) < small:
				room = min(room, small)
			case cap(buf) == small:
				if err := large(); err != nil {
					return nil, err
				}
			}
			grown := make([]byte, len(buf), min(want, room))
			copy(grown, buf)
			buf = grown
		}
		n, err := r.r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		r.left -= n
		if err != nil && len(buf) < want {
			return nil, unexpected(err)
		}
	}
	return buf, r.skip(r.left)
}

// skip throws n bytes away.
func (r *Reader) skip(n int) error {
	if n == 0 {
		return nil
	}
	_, err := r.r.Discard(n)
	r.left = 0
	return unexpected(err)
}

// unexpected turns the end of the stream into one within a frame.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
