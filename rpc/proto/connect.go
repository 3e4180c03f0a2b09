package proto

import "github.com/virbr/virbr/rpc/wire"

// OpenArgs are the arguments of ConnectOpen.
type OpenArgs struct {
	Name  *string
	Flags uint32
}

// Encode appends v.
func (v OpenArgs) Encode(e *wire.Encoder) {
	e.OptString(v.Name)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *OpenArgs) Decode(d *wire.Decoder) {
	v.Name = d.OptString()
	v.Flags = d.Uint32()
}

// AuthTypes is the result of AuthList.
type AuthTypes struct{ Types []int32 }

// Encode appends v.
func (v AuthTypes) Encode(e *wire.Encoder) {
	e.Length(len(v.Types), MaxAuthTypes)
	for _, t := range v.Types {
		e.Int32(t)
	}
}

// Decode reads v.
func (v *AuthTypes) Decode(d *wire.Decoder) {
	n := d.Length(MaxAuthTypes, 4)
	v.Types = make([]int32, 0, n)
	for range n {
		v.Types = append(v.Types, d.Int32())
	}
}

// IdentityArgs are the arguments of ConnectSetIdentity.
type IdentityArgs struct {
	Params []wire.Param
	Flags  uint32
}

// Encode appends v.
func (v IdentityArgs) Encode(e *wire.Encoder) {
	e.Params(v.Params, MaxIdentityParams)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *IdentityArgs) Decode(d *wire.Decoder) {
	v.Params = d.Params(MaxIdentityParams)
	v.Flags = d.Uint32()
}

// EventArgs are the arguments of ConnectNetworkEventRegister. The result is an
// Int, the callback id, which is also the argument of
// ConnectNetworkEventDeregister.
type EventArgs struct {
	EventID int32
	Network *Network // nil: all networks
}

// Encode appends v.
func (v EventArgs) Encode(e *wire.Encoder) {
	e.Int32(v.EventID)
	e.Bool(v.Network != nil)
	if v.Network != nil {
		v.Network.Encode(e)
	}
}

// Decode reads v.
func (v *EventArgs) Decode(d *wire.Decoder) {
	v.EventID = d.Int32()
	if d.Bool() {
		v.Network = new(Network)
		v.Network.Decode(d)
	}
}

// StatsArgs are the arguments of DomainMemoryStats.
type StatsArgs struct {
	Domain Network // a domain begins as a network does
	ID     int32
	Max    uint32
	Flags  uint32
}

// Encode appends v.
func (v StatsArgs) Encode(e *wire.Encoder) {
	v.Domain.Encode(e)
	e.Int32(v.ID)
	e.Uint32(v.Max)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *StatsArgs) Decode(d *wire.Decoder) {
	v.Domain.Decode(d)
	v.ID = d.Int32()
	v.Max = d.Uint32()
	v.Flags = d.Uint32()
}
