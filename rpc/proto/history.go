package proto

import "github.com/virbr/virbr/rpc/wire"

// MaxRevisions bounds the definitions of one network that are listed.
const MaxRevisions = 64

const minRevision = 40 // smallest encoding, in bytes

// UIDUnknown is the UID of who is not known.
const UIDUnknown = -1

// Revision is a definition that a network had.
type Revision struct {
	Number  int32
	Time    int64  // nanoseconds since the epoch; 0: not known
	Network string // its name then
	Running bool   // the running definition alone was changed
	UID     int64  // or UIDUnknown
	PID     int32  // 0: not known
	Program string
	Call    string // of libvirt's API or of virbr's; "": not known
}

// Encode appends v.
func (v Revision) Encode(e *wire.Encoder) {
	e.Int32(v.Number)
	e.Int64(v.Time)
	e.String(v.Network)
	e.Bool(v.Running)
	e.Int64(v.UID)
	e.Int32(v.PID)
	e.String(v.Program)
	e.String(v.Call)
}

// Decode reads v.
func (v *Revision) Decode(d *wire.Decoder) {
	v.Number = d.Int32()
	v.Time = d.Int64()
	v.Network = d.String()
	v.Running = d.Bool()
	v.UID = d.Int64()
	v.PID = d.Int32()
	v.Program = d.String()
	v.Call = d.String()
}

// Revisions is the result of HistoryList, the oldest first. Network is whose they are.
type Revisions struct {
	Network Network
	List    []Revision
}

// Encode appends v.
func (v Revisions) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.Length(len(v.List), MaxRevisions)
	for i := range v.List {
		v.List[i].Encode(e)
	}
}

// Decode reads v.
func (v *Revisions) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.List = make([]Revision, d.Length(MaxRevisions, minRevision))
	for i := range v.List {
		v.List[i].Decode(d)
	}
}

// RevisionArgs name a definition.
type RevisionArgs struct {
	Network string // name or UUID
	Number  int32
}

// Encode appends v.
func (v RevisionArgs) Encode(e *wire.Encoder) {
	e.String(v.Network)
	e.Int32(v.Number)
}

// Decode reads v.
func (v *RevisionArgs) Decode(d *wire.Decoder) {
	v.Network = d.String()
	v.Number = d.Int32()
}
