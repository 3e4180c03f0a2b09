package proto

import "github.com/virbr/virbr/rpc/wire"

// LevelError is the only level of an Error on the wire (VIR_ERR_ERROR).
const LevelError = 2

// Error is the payload of a reply with status error: libvirt's
// virNetMessageError. The domain and network that it may carry are never sent
// by a network driver and are skipped when read.
type Error struct {
	Code    int32
	Domain  int32
	Message *string
	Level   int32
	Str1    *string
	Str2    *string
	Str3    *string
	Int1    int32
	Int2    int32
}

// Encode appends v.
func (v Error) Encode(e *wire.Encoder) {
	e.Int32(v.Code)
	e.Int32(v.Domain)
	e.OptString(v.Message)
	e.Int32(v.Level)
	e.Bool(false) // domain
	e.OptString(v.Str1)
	e.OptString(v.Str2)
	e.OptString(v.Str3)
	e.Int32(v.Int1)
	e.Int32(v.Int2)
	e.Bool(false) // network
}

// Decode reads v.
func (v *Error) Decode(d *wire.Decoder) {
	v.Code = d.Int32()
	v.Domain = d.Int32()
	v.Message = d.OptString()
	v.Level = d.Int32()
	if d.Bool() {
		new(Network).Decode(d) // a domain begins as a network does
		d.Int32()
	}
	v.Str1 = d.OptString()
	v.Str2 = d.OptString()
	v.Str3 = d.OptString()
	v.Int1 = d.Int32()
	v.Int2 = d.Int32()
	if d.Bool() {
		new(Network).Decode(d)
	}
}
