package proto

import "github.com/virbr/virbr/rpc/wire"

// MaxUplinks bounds the uplinks of one network.
const MaxUplinks = 64

// minUplink is the smallest encoding of an Uplink, in bytes.
const minUplink = 12

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

// Encode appends v.
func (v Uplink) Encode(e *wire.Encoder) {
	e.String(v.XML)
	e.Int32(v.Phase)
	e.Length(len(v.Ways), 2)
	for _, w := range v.Ways {
		e.Bool(w.IPv6)
		e.Bool(w.Used)
		e.Int64(w.Since)
		e.String(w.Gateway)
		e.String(w.Reason)
	}
}

// Decode reads v.
func (v *Uplink) Decode(d *wire.Decoder) {
	const minWay = 24
	v.XML = d.String()
	v.Phase = d.Int32()
	v.Ways = make([]UplinkWay, d.Length(2, minWay))
	for i := range v.Ways {
		w := &v.Ways[i]
		w.IPv6 = d.Bool()
		w.Used = d.Bool()
		w.Since = d.Int64()
		w.Gateway = d.String()
		w.Reason = d.String()
	}
}

// Uplinks is the result of UplinkList, whose argument is a Network.
type Uplinks struct{ Uplinks []Uplink }

// Encode appends v.
func (v Uplinks) Encode(e *wire.Encoder) {
	e.Length(len(v.Uplinks), MaxUplinks)
	for i := range v.Uplinks {
		v.Uplinks[i].Encode(e)
	}
}

// Decode reads v.
func (v *Uplinks) Decode(d *wire.Decoder) {
	v.Uplinks = make([]Uplink, d.Length(MaxUplinks, minUplink))
	for i := range v.Uplinks {
		v.Uplinks[i].Decode(d)
	}
}
