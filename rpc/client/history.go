package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/xml"
)

// Revision is a definition that a network had.
type Revision struct {
	Number  int
	Time    time.Time // zero: not known
	Network string    // its name then
	Running bool      // the running definition alone was changed
	UID     *uint32   // of who changed it; nil: not known
	PID     int       // 0: not known
	Program string
	Call    string // of libvirt's API or of virbr's; "": not known
}

// ErrNoHistory says that the daemon is not virbrd, or an older one.
var ErrNoHistory = errors.New("the daemon keeps no history of definitions; virbrd does")

// History returns the last definitions of a network, the oldest first. It is named by
// its name or UUID, and may be gone.
func (c *Conn) History(ctx context.Context, network string) ([]Revision, error) {
	if err := c.needsHistory(ctx); err != nil {
		return nil, err
	}
	var found proto.Revisions
	if err := c.extension(ctx, proto.HistoryList, &proto.String{Value: network}, &found); err != nil {
		return nil, err
	}
	list := make([]Revision, 0, len(found.List))
	for _, r := range found.List {
		made := Revision{Number: int(r.Number), Network: r.Network, Running: r.Running, PID: int(r.PID), Program: r.Program, Call: r.Call}
		if r.Time != 0 {
			made.Time = time.Unix(0, r.Time)
		}
		if r.UID >= 0 {
			uid := uint32(r.UID)
			made.UID = &uid
		}
		list = append(list, made)
	}
	return list, nil
}

// Revision returns a definition that a network had.
func (c *Conn) Revision(ctx context.Context, network string, number int) (*xml.Network, error) {
	if err := c.needsHistory(ctx); err != nil {
		return nil, err
	}
	var doc proto.String
	if err := c.extension(ctx, proto.HistoryGet, &proto.RevisionArgs{Network: network, Number: int32(number)}, &doc); err != nil {
		return nil, err
	}
	def, err := xml.ParseNetwork([]byte(doc.Value))
	if err != nil {
		return nil, fmt.Errorf("reading definition %d of network %q: %w", number, network, err)
	}
	return def, nil
}

func (c *Conn) needsHistory(ctx context.Context) error {
	has, err := c.HasExtensions(ctx)
	if err == nil && !has {
		err = ErrNoHistory
	}
	return err
}
