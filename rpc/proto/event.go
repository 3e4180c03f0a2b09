package proto

import "github.com/virbr/virbr/rpc/wire"

// Lifecycle is the payload of NetworkEventLifecycle.
type Lifecycle struct {
	CallbackID int32
	Network    Network
	Event      int32 // 0 defined, 1 undefined, 2 started, 3 stopped
	Detail     int32 // always 0
}

// Encode appends v.
func (v Lifecycle) Encode(e *wire.Encoder) {
	e.Int32(v.CallbackID)
	v.Network.Encode(e)
	e.Int32(v.Event)
	e.Int32(v.Detail)
}

// Decode reads v.
func (v *Lifecycle) Decode(d *wire.Decoder) {
	v.CallbackID = d.Int32()
	v.Network.Decode(d)
	v.Event = d.Int32()
	v.Detail = d.Int32()
}

// MetadataChange is the payload of NetworkEventMetadataChange.
type MetadataChange struct {
	CallbackID int32
	Network    Network
	Type       int32   // 0 description, 1 title, 2 element
	URI        *string // of an element
}

// Encode appends v.
func (v MetadataChange) Encode(e *wire.Encoder) {
	e.Int32(v.CallbackID)
	v.Network.Encode(e)
	e.Int32(v.Type)
	e.OptString(v.URI)
}

// Decode reads v.
func (v *MetadataChange) Decode(d *wire.Decoder) {
	v.CallbackID = d.Int32()
	v.Network.Decode(d)
	v.Type = d.Int32()
	v.URI = d.OptString()
}
