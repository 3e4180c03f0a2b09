package proto

import "github.com/virbr/virbr/rpc/wire"

// The program of what libvirt's protocol has no procedure for. Its number is
// "virb", as keepalive's is "keep". A daemon that does not have it answers
// "Cannot find program".
const (
	ExtensionProgram = 0x76697262
	ExtensionVersion = 1
)

// The procedures of the extension program. What is below 100 concerns
// networks.
const (
	ForwardList   = 1
	ForwardAdd    = 2
	ForwardRemove = 3
	AddressAdd    = 4
	AddressRemove = 5
	EventList     = 6 // the last events, the oldest first: Void to Happenings

	EventRegister   = 7 // EventFilter to Int: the callback's id
	EventDeregister = 8 // Int
	EventTold       = 9 // a message of the daemon's: Happening

	HistoryList = 10 // String, a network's name or UUID, to Revisions
	HistoryGet  = 11 // RevisionArgs to String: the definition

	Plan  = 12 // ApplyArgs to Proposals: what Apply would do
	Apply = 13 // so: what it did

	PendingList = 14 // Void to Pendings: what is undone unless it is confirmed
	Confirm     = 15 // Network: keep what was applied to it, and to those that were changed with it
	RollBack    = 16 // Network: undo that now

	UplinkList   = 20
	UplinkAdd    = 21
	UplinkRemove = 22
)

// Limits on arrays of the extension program.
const (
	MaxForwards         = 20_000
	MaxForwardAddresses = 16 // of one forward
	MaxRecentEvents     = 256
)

// The phases of a Forward.
const (
	PhaseInactive = 0 // the network does not run
	PhaseWaiting  = 1 // Reason says for what
	PhaseActive   = 2
)

// Smallest encodings, in bytes.
const (
	minForward   = 16
	minHappening = minNetwork + 52
)

// Forward is one port forward and what it comes to.
type Forward struct {
	XML       string // <virbr:portForward>
	Phase     int32
	Addresses []string // of the guest
	Reason    string   // why it is not active, or not all of it; "": nothing is amiss
}

// XDR is the encoding of v.
func (v *Forward) XDR(c *wire.Codec) {
	c.String(&v.XML)
	c.Int32(&v.Phase)
	c.Strings(&v.Addresses, MaxForwardAddresses)
	c.String(&v.Reason)
}

// Forwards is the result of ForwardList, whose argument is a Network. Publics are
// its public addresses; their XML is <virbr:address>.
type Forwards struct{ Forwards, Publics []Forward }

// XDR is the encoding of v.
func (v *Forwards) XDR(c *wire.Codec) {
	for _, list := range []*[]Forward{&v.Forwards, &v.Publics} {
		wire.List(c, list, MaxForwards, minForward, (*Forward).XDR)
	}
}

// Added is the result of ForwardAdd: what was added, as ForwardList has it
// afterwards.
type Added struct {
	Index   int32 // in the list, from 0; -1: it is in the persistent definition only, or gone
	Forward Forward
}

// XDR is the encoding of v.
func (v *Added) XDR(c *wire.Codec) {
	c.Int32(&v.Index)
	v.Forward.XDR(c)
}

// EditArgs are the arguments of procedures that add to a list or remove from it.
type EditArgs struct {
	Network Network
	XML     string // <virbr:portForward>, <virbr:address> or <virbr:uplink>; what is equal to it is removed
	Index   int32  // ForwardAdd, UplinkAdd: before this one, from 0; -1: behind all
	Flags   uint32 // as those of NetworkUpdate
}

// XDR is the encoding of v.
func (v *EditArgs) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.String(&v.XML)
	c.Int32(&v.Index)
	c.Uint32(&v.Flags)
}
