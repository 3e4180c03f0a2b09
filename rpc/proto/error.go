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

// XDR is the encoding of v.
func (v *Error) XDR(c *wire.Codec) {
	var domain, network *Network
	c.Int32(&v.Code)
	c.Int32(&v.Domain)
	c.OptString(&v.Message)
	c.Int32(&v.Level)
	wire.Optional(c, &domain, func(v *Network, c *wire.Codec) { // a domain begins as a network does
		v.XDR(c)
		c.Int32(new(int32))
	})
	c.OptString(&v.Str1)
	c.OptString(&v.Str2)
	c.OptString(&v.Str3)
	c.Int32(&v.Int1)
	c.Int32(&v.Int2)
	wire.Optional(c, &network, (*Network).XDR)
}
