package proto

import "github.com/virbr/virbr/rpc/wire"

// Void is an empty argument or result.
type Void struct{}

// XDR is the encoding of v.
func (v *Void) XDR(*wire.Codec) {}

// Int is a single int.
type Int struct{ Value int32 }

// XDR is the encoding of v.
func (v *Int) XDR(c *wire.Codec) { c.Int32(&v.Value) }

// Hyper is a single unsigned hyper.
type Hyper struct{ Value uint64 }

// XDR is the encoding of v.
func (v *Hyper) XDR(c *wire.Codec) { c.Uint64(&v.Value) }

// String is a single string.
type String struct{ Value string }

// XDR is the encoding of v.
func (v *String) XDR(c *wire.Codec) { c.String(&v.Value) }

// UUID is a single UUID.
type UUID struct{ Value [16]byte }

// XDR is the encoding of v.
func (v *UUID) XDR(c *wire.Codec) { c.UUID(&v.Value) }

// Names is a list of names.
type Names struct{ Names []string }

// XDR is the encoding of v.
func (v *Names) XDR(c *wire.Codec) {
	c.Strings(&v.Names, MaxNames)
}
