package proto

import "github.com/virbr/virbr/rpc/wire"

// Bounds of one call that plans or applies.
const (
	MaxDocuments = 4096
	MaxChanges   = 4096 // of one network
)

// ApplyYes is the flag of Apply that guests may be cut off.
const ApplyYes = 1

const minProposal = minNetwork + 28 // smallest encoding, in bytes

// ApplyArgs are definitions to plan with or to apply.
type ApplyArgs struct {
	Documents []string
	Flags     uint32
	Confirm   uint32 // seconds until it is undone unless it is confirmed; 0: it needs no confirmation
}

// XDR is the encoding of v.
func (v *ApplyArgs) XDR(c *wire.Codec) {
	c.Strings(&v.Documents, MaxDocuments)
	c.Uint32(&v.Flags)
	c.Uint32(&v.Confirm)
}

// The ways of a Proposal.
const (
	WayNone    = 0
	WayLive    = 1
	WayRestart = 2
)

// Change is one thing that becomes different.
type Change struct {
	Text   string
	Effect string // what guests notice: docs/changing.md has the words
}

// Proposal is what a definition does to a network.
type Proposal struct {
	Network               Network
	New, Running, Defines bool
	Way                   int32
	Effect                string
	Changes               []Change
	Drift                 []string
}

// XDR is the encoding of v.
func (v *Proposal) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.Bool(&v.New)
	c.Bool(&v.Running)
	c.Bool(&v.Defines)
	c.Int32(&v.Way)
	c.String(&v.Effect)
	wire.List(c, &v.Changes, MaxChanges, 8, func(v *Change, c *wire.Codec) {
		c.String(&v.Text)
		c.String(&v.Effect)
	})
	c.Strings(&v.Drift, MaxChanges)
}

// Proposals is the result of Plan and Apply.
type Proposals struct{ List []Proposal }

// XDR is the encoding of v.
func (v *Proposals) XDR(c *wire.Codec) {
	wire.List(c, &v.List, MaxDocuments, minProposal, (*Proposal).XDR)
}

// Pending is an Apply that is undone at a time unless it is confirmed.
type Pending struct {
	Networks []Network
	Until    int64 // nanoseconds since the epoch
}

// XDR is the encoding of v.
func (v *Pending) XDR(c *wire.Codec) {
	wire.List(c, &v.Networks, MaxDocuments, minNetwork, (*Network).XDR)
	c.Int64(&v.Until)
}

// Pendings is the result of PendingList, what is undone first at the front.
type Pendings struct{ List []Pending }

// XDR is the encoding of v.
func (v *Pendings) XDR(c *wire.Codec) {
	wire.List(c, &v.List, MaxDocuments, 12, (*Pending).XDR)
}
