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

// XDR is the encoding of v.
func (v *EventFilter) XDR(c *wire.Codec) {
	wire.Optional(c, &v.Network, (*Network).XDR)
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

// XDR is the encoding of v.
func (v *Happening) XDR(c *wire.Codec) {
	c.Int32(&v.CallbackID)
	v.Network.XDR(c)
	c.Int64(&v.Time)
	c.Int32(&v.Kind)
	c.String(&v.By)
	c.Int32(&v.Count)
	c.Int64(&v.Took)
	c.Int64(&v.Wait)
	c.String(&v.Detail)
	c.Strings(&v.Was, MaxEventAddresses)
	c.Strings(&v.Now, MaxEventAddresses)
}

// Happenings is the result of EventList. They have no CallbackID.
type Happenings struct{ Events []Happening }

// XDR is the encoding of v.
func (v *Happenings) XDR(c *wire.Codec) {
	wire.List(c, &v.Events, MaxRecentEvents, minHappening, (*Happening).XDR)
}
