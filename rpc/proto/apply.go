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
}

// Encode appends v.
func (v ApplyArgs) Encode(e *wire.Encoder) {
	e.Length(len(v.Documents), MaxDocuments)
	for _, d := range v.Documents {
		e.String(d)
	}
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *ApplyArgs) Decode(d *wire.Decoder) {
	v.Documents = make([]string, d.Length(MaxDocuments, 4))
	for i := range v.Documents {
		v.Documents[i] = d.String()
	}
	v.Flags = d.Uint32()
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

// Encode appends v.
func (v Proposal) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.Bool(v.New)
	e.Bool(v.Running)
	e.Bool(v.Defines)
	e.Int32(v.Way)
	e.String(v.Effect)
	e.Length(len(v.Changes), MaxChanges)
	for _, c := range v.Changes {
		e.String(c.Text)
		e.String(c.Effect)
	}
	e.Length(len(v.Drift), MaxChanges)
	for _, s := range v.Drift {
		e.String(s)
	}
}

// Decode reads v.
func (v *Proposal) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.New, v.Running, v.Defines = d.Bool(), d.Bool(), d.Bool()
	v.Way = d.Int32()
	v.Effect = d.String()
	v.Changes = make([]Change, d.Length(MaxChanges, 8))
	for i := range v.Changes {
		v.Changes[i] = Change{Text: d.String(), Effect: d.String()}
	}
	v.Drift = make([]string, d.Length(MaxChanges, 4))
	for i := range v.Drift {
		v.Drift[i] = d.String()
	}
}

// Proposals is the result of Plan and Apply.
type Proposals struct{ List []Proposal }

// Encode appends v.
func (v Proposals) Encode(e *wire.Encoder) {
	e.Length(len(v.List), MaxDocuments)
	for i := range v.List {
		v.List[i].Encode(e)
	}
}

// Decode reads v.
func (v *Proposals) Decode(d *wire.Decoder) {
	v.List = make([]Proposal, d.Length(MaxDocuments, minProposal))
	for i := range v.List {
		v.List[i].Decode(d)
	}
}
