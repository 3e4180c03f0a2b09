package proto

import "github.com/virbr/virbr/rpc/wire"

// minNetwork is the smallest encoding of a Network, in bytes.
const minNetwork = 20

// Network names a network: remote_nonnull_network.
type Network struct {
	Name string
	UUID [16]byte
}

// XDR is the encoding of v.
func (v *Network) XDR(c *wire.Codec) {
	c.String(&v.Name)
	c.UUID(&v.UUID)
}

// ListArgs are the arguments of ConnectListAllNetworks.
type ListArgs struct {
	Need  int32 // zero: only the count is wanted
	Flags uint32
}

// XDR is the encoding of v.
func (v *ListArgs) XDR(c *wire.Codec) {
	c.Int32(&v.Need)
	c.Uint32(&v.Flags)
}

// Networks is the result of ConnectListAllNetworks.
type Networks struct {
	Networks []Network
	Count    uint32
}

// XDR is the encoding of v.
func (v *Networks) XDR(c *wire.Codec) {
	wire.List(c, &v.Networks, MaxNames, minNetwork, (*Network).XDR)
	c.Uint32(&v.Count)
}

// XMLArgs are the arguments of NetworkCreateXMLFlags and
// NetworkDefineXMLFlags. The procedures without flags take a String.
type XMLArgs struct {
	XML   string
	Flags uint32
}

// XDR is the encoding of v.
func (v *XMLArgs) XDR(c *wire.Codec) {
	c.String(&v.XML)
	c.Uint32(&v.Flags)
}

// NetworkFlags is a network and flags, the arguments of NetworkGetXMLDesc.
type NetworkFlags struct {
	Network Network
	Flags   uint32
}

// XDR is the encoding of v.
func (v *NetworkFlags) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.Uint32(&v.Flags)
}

// AutostartArgs are the arguments of NetworkSetAutostart.
type AutostartArgs struct {
	Network   Network
	Autostart int32 // anything but zero: on
}

// XDR is the encoding of v.
func (v *AutostartArgs) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.Int32(&v.Autostart)
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

// XDR is the encoding of v.
func (v *UpdateArgs) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.Uint32(&v.Command)
	c.Uint32(&v.Section)
	c.Int32(&v.ParentIndex)
	c.String(&v.XML)
	c.Uint32(&v.Flags)
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

// XDR is the encoding of v.
func (v *SetMetadataArgs) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.Int32(&v.Type)
	c.OptString(&v.Metadata)
	c.OptString(&v.Key)
	c.OptString(&v.URI)
	c.Uint32(&v.Flags)
}

// MetadataArgs are the arguments of NetworkGetMetadata.
type MetadataArgs struct {
	Network Network
	Type    int32
	URI     *string
	Flags   uint32
}

// XDR is the encoding of v.
func (v *MetadataArgs) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.Int32(&v.Type)
	c.OptString(&v.URI)
	c.Uint32(&v.Flags)
}
