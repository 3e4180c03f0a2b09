package proto

import "github.com/virbr/virbr/rpc/wire"

// Lifecycle is the payload of NetworkEventLifecycle.
type Lifecycle struct {
	CallbackID int32
	Network    Network
	Event      int32 // 0 defined, 1 undefined, 2 started, 3 stopped
	Detail     int32 // always 0
}

// XDR is the encoding of v.
func (v *Lifecycle) XDR(c *wire.Codec) {
	c.Int32(&v.CallbackID)
	v.Network.XDR(c)
	c.Int32(&v.Event)
	c.Int32(&v.Detail)
}

// MetadataChange is the payload of NetworkEventMetadataChange.
type MetadataChange struct {
	CallbackID int32
	Network    Network
	Type       int32   // 0 description, 1 title, 2 element
	URI        *string // of an element
}

// XDR is the encoding of v.
func (v *MetadataChange) XDR(c *wire.Codec) {
	c.Int32(&v.CallbackID)
	v.Network.XDR(c)
	c.Int32(&v.Type)
	c.OptString(&v.URI)
}
