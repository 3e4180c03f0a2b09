package proto

import "github.com/virbr/virbr/rpc/wire"

// Void is an empty argument or result.
type Void struct{}

// Encode appends v.
func (v Void) Encode(*wire.Encoder) {}

// Decode reads v.
func (v *Void) Decode(*wire.Decoder) {}

// Int is a single int.
type Int struct{ Value int32 }

// Encode appends v.
func (v Int) Encode(e *wire.Encoder) { e.Int32(v.Value) }

// Decode reads v.
func (v *Int) Decode(d *wire.Decoder) { v.Value = d.Int32() }

// Hyper is a single unsigned hyper.
type Hyper struct{ Value uint64 }

// Encode appends v.
func (v Hyper) Encode(e *wire.Encoder) { e.Uint64(v.Value) }

// Decode reads v.
func (v *Hyper) Decode(d *wire.Decoder) { v.Value = d.Uint64() }

// String is a single string.
type String struct{ Value string }

// Encode appends v.
func (v String) Encode(e *wire.Encoder) { e.String(v.Value) }

// Decode reads v.
func (v *String) Decode(d *wire.Decoder) { v.Value = d.String() }

// UUID is a single UUID.
type UUID struct{ Value [16]byte }

// Encode appends v.
func (v UUID) Encode(e *wire.Encoder) { e.UUID(v.Value) }

// Decode reads v.
func (v *UUID) Decode(d *wire.Decoder) { v.Value = d.UUID() }

// Names is a list of names.
type Names struct{ Names []string }

// Encode appends v.
func (v Names) Encode(e *wire.Encoder) {
	e.Length(len(v.Names), MaxNames)
	for _, name := range v.Names {
		e.String(name)
	}
}

// Decode reads v.
func (v *Names) Decode(d *wire.Decoder) {
	n := d.Length(MaxNames, 4)
	v.Names = make([]string, 0, n)
	for range n {
		v.Names = append(v.Names, d.String())
	}
}
