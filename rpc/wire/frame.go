package wire

import (
	"encoding/binary"
	"fmt"
)

// Sizes of frames, in bytes (libvirt's virnetprotocol.x).
const (
	HeaderSize = 28       // length word and header
	MaxFrame   = 33554436 // largest value of the length word, which counts itself
	MaxPayload = MaxFrame - HeaderSize
	MaxString  = 4194304 // largest string, in the procedures' arguments and in errors
)

// Type is what a frame is: libvirt's virNetMessageType.
type Type int32

// The types of frames.
const (
	TypeCall Type = iota
	TypeReply
	TypeMessage // an event, or keepalive
	TypeStream
	TypeCallWithFDs
	TypeReplyWithFDs
	TypeStreamHole
)

// Status is libvirt's virNetMessageStatus.
type Status int32

// The status values. A call has StatusOK.
const (
	StatusOK Status = iota
	StatusError
	StatusContinue // streams only
)

// Header is the fixed part of a frame after its length word.
type Header struct {
	Program   uint32
	Version   uint32
	Procedure int32
	Type      Type
	Serial    uint32 // chosen by the client; 0 is valid
	Status    Status
}

// parse reads a header from the HeaderSize bytes at the start of a frame.
func (h *Header) parse(b []byte) {
	h.Program = binary.BigEndian.Uint32(b[4:])
	h.Version = binary.BigEndian.Uint32(b[8:])
	h.Procedure = int32(binary.BigEndian.Uint32(b[12:]))
	h.Type = Type(binary.BigEndian.Uint32(b[16:]))
	h.Serial = binary.BigEndian.Uint32(b[20:])
	h.Status = Status(binary.BigEndian.Uint32(b[24:]))
}

func (h *Header) put(b []byte) {
	binary.BigEndian.PutUint32(b[0:], uint32(len(b)))
	binary.BigEndian.PutUint32(b[4:], h.Program)
	binary.BigEndian.PutUint32(b[8:], h.Version)
	binary.BigEndian.PutUint32(b[12:], uint32(h.Procedure))
	binary.BigEndian.PutUint32(b[16:], uint32(h.Type))
	binary.BigEndian.PutUint32(b[20:], h.Serial)
	binary.BigEndian.PutUint32(b[24:], uint32(h.Status))
}

// Sized is a message that may be large, and tells how many bytes its encoding takes
// at most: growing into megabytes would take several times that.
type Sized interface{ MaxSize() int }

// Frame returns a whole frame, length word included. A nil payload is a void
// one. The error wraps ErrTooBig.
func Frame(h Header, payload Message) ([]byte, error) {
	room := 128
	if s, ok := payload.(Sized); ok {
		room = HeaderSize + min(s.MaxSize(), MaxPayload)
	}
	c := Codec{buf: make([]byte, HeaderSize, room)}
	if payload != nil {
		payload.XDR(&c)
	}
	if c.err != nil {
		return nil, fmt.Errorf("encoding the payload of procedure %d: %w", h.Procedure, c.err)
	}
	if len(c.buf) > MaxFrame {
		return nil, fmt.Errorf("encoding the payload of procedure %d: %d bytes: %w", h.Procedure, len(c.buf), ErrTooBig)
	}
	h.put(c.buf)
	return c.buf, nil
}
