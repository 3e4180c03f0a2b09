package proto

import "github.com/virbr/virbr/rpc/wire"

// Port names a port of a network: remote_nonnull_network_port. It is also the
// arguments of NetworkPortLookupByUUID.
type Port struct {
	Network Network
	UUID    [16]byte
}

// Encode appends v.
func (v Port) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.UUID(v.UUID)
}

// Decode reads v.
func (v *Port) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.UUID = d.UUID()
}

// PortsArgs are the arguments of NetworkListAllPorts.
type PortsArgs struct {
	Network Network
	Need    int32 // zero: only the count is wanted
	Flags   uint32
}

// Encode appends v.
func (v PortsArgs) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.Int32(v.Need)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *PortsArgs) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.Need = d.Int32()
	v.Flags = d.Uint32()
}

// Ports is the result of NetworkListAllPorts.
type Ports struct {
	Ports []Port
	Count uint32
}

// Encode appends v.
func (v Ports) Encode(e *wire.Encoder) {
	e.Length(len(v.Ports), MaxNames)
	for i := range v.Ports {
		v.Ports[i].Encode(e)
	}
	e.Uint32(v.Count)
}

// Decode reads v.
func (v *Ports) Decode(d *wire.Decoder) {
	v.Ports = make([]Port, d.Length(MaxNames, minNetwork+16))
	for i := range v.Ports {
		v.Ports[i].Decode(d)
	}
	v.Count = d.Uint32()
}

// PortXMLArgs are the arguments of NetworkPortCreateXML.
type PortXMLArgs struct {
	Network Network
	XML     string
	Flags   uint32
}

// Encode appends v.
func (v PortXMLArgs) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.String(v.XML)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *PortXMLArgs) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.XML = d.String()
	v.Flags = d.Uint32()
}

// PortFlags is a port and flags, the arguments of NetworkPortGetXMLDesc and
// NetworkPortDelete.
type PortFlags struct {
	Port  Port
	Flags uint32
}

// Encode appends v.
func (v PortFlags) Encode(e *wire.Encoder) {
	v.Port.Encode(e)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *PortFlags) Decode(d *wire.Decoder) {
	v.Port.Decode(d)
	v.Flags = d.Uint32()
}

// GetParamsArgs are the arguments of NetworkPortGetParameters.
type GetParamsArgs struct {
	Port  Port
	Count int32 // ignored
	Flags uint32
}

// Encode appends v.
func (v GetParamsArgs) Encode(e *wire.Encoder) {
	v.Port.Encode(e)
	e.Int32(v.Count)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *GetParamsArgs) Decode(d *wire.Decoder) {
	v.Port.Decode(d)
	v.Count = d.Int32()
	v.Flags = d.Uint32()
}

// PortParams is the result of NetworkPortGetParameters.
type PortParams struct {
	Params []wire.Param
	Count  int32 // always 0
}

// Encode appends v.
func (v PortParams) Encode(e *wire.Encoder) {
	e.Params(v.Params, MaxPortParams)
	e.Int32(v.Count)
}

// Decode reads v.
func (v *PortParams) Decode(d *wire.Decoder) {
	v.Params = d.Params(MaxPortParams)
	v.Count = d.Int32()
}

// SetParamsArgs are the arguments of NetworkPortSetParameters.
type SetParamsArgs struct {
	Port   Port
	Params []wire.Param
	Flags  uint32
}

// Encode appends v.
func (v SetParamsArgs) Encode(e *wire.Encoder) {
	v.Port.Encode(e)
	e.Params(v.Params, MaxPortParams)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *SetParamsArgs) Decode(d *wire.Decoder) {
	v.Port.Decode(d)
	v.Params = d.Params(MaxPortParams)
	v.Flags = d.Uint32()
}
