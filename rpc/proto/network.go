package proto

import "github.com/virbr/virbr/rpc/wire"

// minNetwork is the smallest encoding of a Network, in bytes.
const minNetwork = 20

// Network names a network: remote_nonnull_network.
type Network struct {
	Name string
	UUID [16]byte
}

// Encode appends v.
func (v Network) Encode(e *wire.Encoder) {
	e.String(v.Name)
	e.UUID(v.UUID)
}

// Decode reads v.
func (v *Network) Decode(d *wire.Decoder) {
	v.Name = d.String()
	v.UUID = d.UUID()
}

// ListArgs are the arguments of ConnectListAllNetworks.
type ListArgs struct {
	Need  int32 // zero: only the count is wanted
	Flags uint32
}

// Encode appends v.
func (v ListArgs) Encode(e *wire.Encoder) {
	e.Int32(v.Need)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *ListArgs) Decode(d *wire.Decoder) {
	v.Need = d.Int32()
	v.Flags = d.Uint32()
}

// Networks is the result of ConnectListAllNetworks.
type Networks struct {
	Networks []Network
	Count    uint32
}

// Encode appends v.
func (v Networks) Encode(e *wire.Encoder) {
	e.Length(len(v.Networks), MaxNames)
	for i := range v.Networks {
		v.Networks[i].Encode(e)
	}
	e.Uint32(v.Count)
}

// Decode reads v.
func (v *Networks) Decode(d *wire.Decoder) {
	v.Networks = make([]Network, d.Length(MaxNames, minNetwork))
	for i := range v.Networks {
		v.Networks[i].Decode(d)
	}
	v.Count = d.Uint32()
}

// XMLArgs are the arguments of NetworkCreateXMLFlags and
// NetworkDefineXMLFlags. The procedures without flags take a String.
type XMLArgs struct {
	XML   string
	Flags uint32
}

// Encode appends v.
func (v XMLArgs) Encode(e *wire.Encoder) {
	e.String(v.XML)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *XMLArgs) Decode(d *wire.Decoder) {
	v.XML = d.String()
	v.Flags = d.Uint32()
}

// NetworkFlags is a network and flags, the arguments of NetworkGetXMLDesc.
type NetworkFlags struct {
	Network Network
	Flags   uint32
}

// Encode appends v.
func (v NetworkFlags) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *NetworkFlags) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.Flags = d.Uint32()
}

// AutostartArgs are the arguments of NetworkSetAutostart.
type AutostartArgs struct {
	Network   Network
	Autostart int32 // anything but zero: on
}

// Encode appends v.
func (v AutostartArgs) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.Int32(v.Autostart)
}

// Decode reads v.
func (v *AutostartArgs) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.Autostart = d.Int32()
}

// UpdateArgs are the arguments of NetworkUpdate, in the order that is right
// when FeatureUpdateOrder is answered with 1.
type UpdateArgs struct {
	Network     Network
	Command     uint32
	Section     uint32
	ParentIndex int32
	XML         string
	Flags       uint32
}

// Encode appends v.
func (v UpdateArgs) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.Uint32(v.Command)
	e.Uint32(v.Section)
	e.Int32(v.ParentIndex)
	e.String(v.XML)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *UpdateArgs) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.Command = d.Uint32()
	v.Section = d.Uint32()
	v.ParentIndex = d.Int32()
	v.XML = d.String()
	v.Flags = d.Uint32()
}

// SetMetadataArgs are the arguments of NetworkSetMetadata.
type SetMetadataArgs struct {
	Network  Network
	Type     int32
	Metadata *string
	Key      *string
	URI      *string
	Flags    uint32
}

// Encode appends v.
func (v SetMetadataArgs) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.Int32(v.Type)
	e.OptString(v.Metadata)
	e.OptString(v.Key)
	e.OptString(v.URI)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *SetMetadataArgs) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.Type = d.Int32()
	v.Metadata = d.OptString()
	v.Key = d.OptString()
	v.URI = d.OptString()
	v.Flags = d.Uint32()
}

// MetadataArgs are the arguments of NetworkGetMetadata.
type MetadataArgs struct {
	Network Network
	Type    int32
	URI     *string
	Flags   uint32
}

// Encode appends v.
func (v MetadataArgs) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.Int32(v.Type)
	e.OptString(v.URI)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *MetadataArgs) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.Type = d.Int32()
	v.URI = d.OptString()
	v.Flags = d.Uint32()
}
