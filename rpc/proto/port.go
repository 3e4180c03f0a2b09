package proto

import "github.com/virbr/virbr/rpc/wire"

// Port names a port of a network: remote_nonnull_network_port. It is also the
// arguments of NetworkPortLookupByUUID.
type Port struct {
	Network Network
	UUID    [16]byte
}

// XDR is the encoding of v.
func (v *Port) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.UUID(&v.UUID)
}

// PortsArgs are the arguments of NetworkListAllPorts.
type PortsArgs struct {
	Network Network
	Need    int32 // zero: only the count is wanted
	Flags   uint32
}

// XDR is the encoding of v.
func (v *PortsArgs) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.Int32(&v.Need)
	c.Uint32(&v.Flags)
}

// Ports is the result of NetworkListAllPorts.
type Ports struct {
	Ports []Port
	Count uint32
}

// XDR is the encoding of v.
func (v *Ports) XDR(c *wire.Codec) {
	wire.List(c, &v.Ports, MaxNames, minNetwork+16, (*Port).XDR)
	c.Uint32(&v.Count)
}

// PortXMLArgs are the arguments of NetworkPortCreateXML.
type PortXMLArgs struct {
	Network Network
	XML     string
	Flags   uint32
}

// XDR is the encoding of v.
func (v *PortXMLArgs) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.String(&v.XML)
	c.Uint32(&v.Flags)
}

// PortFlags is a port and flags, the arguments of NetworkPortGetXMLDesc and
// NetworkPortDelete.
type PortFlags struct {
	Port  Port
	Flags uint32
}

// XDR is the encoding of v.
func (v *PortFlags) XDR(c *wire.Codec) {
	v.Port.XDR(c)
	c.Uint32(&v.Flags)
}

// GetParamsArgs are the arguments of NetworkPortGetParameters.
type GetParamsArgs struct {
	Port  Port
	Count int32 // ignored
	Flags uint32
}

// XDR is the encoding of v.
func (v *GetParamsArgs) XDR(c *wire.Codec) {
	v.Port.XDR(c)
	c.Int32(&v.Count)
	c.Uint32(&v.Flags)
}

// PortParams is the result of NetworkPortGetParameters.
type PortParams struct {
	Params []wire.Param
	Count  int32 // always 0
}

// XDR is the encoding of v.
func (v *PortParams) XDR(c *wire.Codec) {
	c.Params(&v.Params, MaxPortParams)
	c.Int32(&v.Count)
}

// SetParamsArgs are the arguments of NetworkPortSetParameters.
type SetParamsArgs struct {
	Port   Port
	Params []wire.Param
	Flags  uint32
}

// XDR is the encoding of v.
func (v *SetParamsArgs) XDR(c *wire.Codec) {
	v.Port.XDR(c)
	c.Params(&v.Params, MaxPortParams)
	c.Uint32(&v.Flags)
}
