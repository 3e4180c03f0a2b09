package proto

import "github.com/virbr/virbr/rpc/wire"

// OpenArgs are the arguments of ConnectOpen.
type OpenArgs struct {
	Name  *string
	Flags uint32
}

// XDR is the encoding of v.
func (v *OpenArgs) XDR(c *wire.Codec) {
	c.OptString(&v.Name)
	c.Uint32(&v.Flags)
}

// AuthTypes is the result of AuthList.
type AuthTypes struct{ Types []int32 }

// XDR is the encoding of v.
func (v *AuthTypes) XDR(c *wire.Codec) {
	wire.List(c, &v.Types, MaxAuthTypes, 4, func(v *int32, c *wire.Codec) { c.Int32(v) })
}

// IdentityArgs are the arguments of ConnectSetIdentity.
type IdentityArgs struct {
	Params []wire.Param
	Flags  uint32
}

// XDR is the encoding of v.
func (v *IdentityArgs) XDR(c *wire.Codec) {
	c.Params(&v.Params, MaxIdentityParams)
	c.Uint32(&v.Flags)
}

// EventArgs are the arguments of ConnectNetworkEventRegister. The result is an
// Int, the callback id, which is also the argument of
// ConnectNetworkEventDeregister.
type EventArgs struct {
	EventID int32
	Network *Network // nil: all networks
}

// XDR is the encoding of v.
func (v *EventArgs) XDR(c *wire.Codec) {
	c.Int32(&v.EventID)
	wire.Optional(c, &v.Network, (*Network).XDR)
}

// StatsArgs are the arguments of DomainMemoryStats.
type StatsArgs struct {
	Domain Network // a domain begins as a network does
	ID     int32
	Max    uint32
	Flags  uint32
}

// XDR is the encoding of v.
func (v *StatsArgs) XDR(c *wire.Codec) {
	v.Domain.XDR(c)
	c.Int32(&v.ID)
	c.Uint32(&v.Max)
	c.Uint32(&v.Flags)
}
