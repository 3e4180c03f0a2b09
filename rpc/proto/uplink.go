package proto

import "github.com/virbr/virbr/rpc/wire"

// MaxUplinks bounds the uplinks of one network.
const MaxUplinks = 64

// Smallest encodings, in bytes.
const (
	minUplink = 12
	minWay    = 24
)

// Uplink is one uplink of a network and what it comes to.
type Uplink struct {
	XML   string // <virbr:uplink>
	Phase int32  // PhaseInactive: nothing is known
	Ways  []UplinkWay
}

// UplinkWay is what an uplink comes to in one family.
type UplinkWay struct {
	IPv6    bool
	Used    bool   // guests leave by it
	Since   int64  // seconds since the epoch, where they do
	Gateway string // "": none, or a line with two ends
	Reason  string // why it cannot carry the family; "": it can
}

// XDR is the encoding of v.
func (v *Uplink) XDR(c *wire.Codec) {
	c.String(&v.XML)
	c.Int32(&v.Phase)
	wire.List(c, &v.Ways, 2, minWay, func(v *UplinkWay, c *wire.Codec) {
		c.Bool(&v.IPv6)
		c.Bool(&v.Used)
		c.Int64(&v.Since)
		c.String(&v.Gateway)
		c.String(&v.Reason)
	})
}

// Uplinks is the result of UplinkList, whose argument is a Network.
type Uplinks struct{ Uplinks []Uplink }

// XDR is the encoding of v.
func (v *Uplinks) XDR(c *wire.Codec) {
	wire.List(c, &v.Uplinks, MaxUplinks, minUplink, (*Uplink).XDR)
}
