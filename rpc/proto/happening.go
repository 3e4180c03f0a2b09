package proto

import "github.com/virbr/virbr/rpc/wire"

// The kinds of a Happening. Clients leave alone what they do not know.
const (
	EventDefined        = 0
	EventUndefined      = 1
	EventStarted        = 2
	EventStopped        = 3
	EventMetadata       = 4  // Detail is the element's namespace, "title" or "description"
	EventHealed         = 5  // By, Count networks, Took
	EventAccepted       = 6  // By, Count networks, Took
	EventDnsmasqDied    = 7  // Count times in a row, Wait
	EventDnsmasqStarted = 8  // Count
	EventDnsmasqFailed  = 9  // Count, Detail
	EventGuest          = 10 // Detail is the guest; Count things lead to it; Was, Now
	EventNameClaimed    = 12 // Detail is the guest whose name By asks for
	EventUplink         = 20 // Detail says by which links guests leave now, and why
	EventRestored       = 11 // Detail was taken away; Count things are back, 0: it is not; Took
)

// MaxEventAddresses is how many addresses of a guest are told, at most.
const MaxEventAddresses = 16

// EventFilter is the argument of EventRegister.
type EventFilter struct{ Network *Network } // nil: all networks

// Encode appends v.
func (v EventFilter) Encode(e *wire.Encoder) {
	e.Bool(v.Network != nil)
	if v.Network != nil {
		v.Network.Encode(e)
	}
}

// Decode reads v.
func (v *EventFilter) Decode(d *wire.Decoder) {
	if d.Bool() {
		v.Network = new(Network)
		v.Network.Decode(d)
	}
}

// Happening is the payload of EventTold. What a kind does not need is zero.
type Happening struct {
	CallbackID int32
	Network    Network
	Time       int64 // nanoseconds since the epoch
	Kind       int32
	By         string // the program that did it; "": not known
	Count      int32
	Took       int64 // nanoseconds
	Wait       int64 // nanoseconds
	Detail     string
	Was, Now   []string // addresses
}

// Encode appends v.
func (v Happening) Encode(e *wire.Encoder) {
	e.Int32(v.CallbackID)
	v.Network.Encode(e)
	e.Int64(v.Time)
	e.Int32(v.Kind)
	e.String(v.By)
	e.Int32(v.Count)
	e.Int64(v.Took)
	e.Int64(v.Wait)
	e.String(v.Detail)
	for _, list := range [][]string{v.Was, v.Now} {
		e.Length(len(list), MaxEventAddresses)
		for _, a := range list {
			e.String(a)
		}
	}
}

// Decode reads v.
func (v *Happening) Decode(d *wire.Decoder) {
	v.CallbackID = d.Int32()
	v.Network.Decode(d)
	v.Time = d.Int64()
	v.Kind = d.Int32()
	v.By = d.String()
	v.Count = d.Int32()
	v.Took = d.Int64()
	v.Wait = d.Int64()
	v.Detail = d.String()
	for _, list := range []*[]string{&v.Was, &v.Now} {
		*list = make([]string, 0, d.Length(MaxEventAddresses, 4))
		for range cap(*list) {
			*list = append(*list, d.String())
		}
	}
}

// Happenings is the result of EventList. They have no CallbackID.
type Happenings struct{ Events []Happening }

// Encode appends v.
func (v Happenings) Encode(e *wire.Encoder) {
	e.Length(len(v.Events), MaxRecentEvents)
	for i := range v.Events {
		v.Events[i].Encode(e)
	}
}

// Decode reads v.
func (v *Happenings) Decode(d *wire.Decoder) {
	v.Events = make([]Happening, d.Length(MaxRecentEvents, minHappening))
	for i := range v.Events {
		v.Events[i].Decode(d)
	}
}
