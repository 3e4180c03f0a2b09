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

// XDR is the encoding of v.
func (v *Revision) XDR(c *wire.Codec) {
	c.Int32(&v.Number)
	c.Int64(&v.Time)
	c.String(&v.Network)
	c.Bool(&v.Running)
	c.Int64(&v.UID)
	c.Int32(&v.PID)
	c.String(&v.Program)
	c.String(&v.Call)
}

// Revisions is the result of HistoryList, the oldest first. Network is whose they are.
type Revisions struct {
	Network Network
	List    []Revision
}

// XDR is the encoding of v.
func (v *Revisions) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	wire.List(c, &v.List, MaxRevisions, minRevision, (*Revision).XDR)
}

// RevisionArgs name a definition.
type RevisionArgs struct {
	Network string // name or UUID
	Number  int32
}

// XDR is the encoding of v.
func (v *RevisionArgs) XDR(c *wire.Codec) {
	c.String(&v.Network)
	c.Int32(&v.Number)
}
