package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/virbr/virbr/driver/history"
	"github.com/virbr/virbr/xml"
)

// Actor is who asks for a change.
type Actor struct {
	UID     *uint32 // nil: not known
	PID     int32   // 0: not known
	Program string
	Call    string // what was called, in libvirt's words: "virNetworkDefineXML"

	Connection any // equal for the calls of one connection; nil: none
}

type actorKey struct{}

// WithActor returns a context in which changes are somebody's. Who it is, is asked for
// when there is something to write down.
func WithActor(ctx context.Context, who func() Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// connectionOf returns by which connection a change is asked for; nil: by none.
func connectionOf(ctx context.Context) any {
	if who, ok := ctx.Value(actorKey{}).(func() Actor); ok {
		return who().Connection
	}
	return nil
}

// record keeps what a network's definition has become; nil: it had none, or has none. That
// it could not be kept is no reason to refuse a change that was made.
func (d *Driver) record(ctx context.Context, n *network, before, after *xml.Network, running bool) {
	if before == after || after == nil {
		return
	}
	r := history.Revision{Time: time.Now().UTC().Truncate(time.Millisecond), Running: running, Text: after.Format(xml.Inactive)}
	if who, ok := ctx.Value(actorKey{}).(func() Actor); ok {
		a := who()
		r.UID, r.PID, r.Program, r.Call = a.UID, a.PID, a.Program, a.Call
	}
	was := ""
	if before != nil && before != n.recorded && !running {
		was = before.Format(xml.Inactive)
	}
	if !running {
		n.recorded = after
	}
	d.warn("the definition is not in the network's history", n.ref, d.history.Record(historical(n.ref), was, r))
}

// recordViews keeps what became of a network's definitions.
func (d *Driver) recordViews(ctx context.Context, n *network, from, to *view) {
	if from.config != to.config {
		d.record(ctx, n, from.config, to.config, false)
		return
	}
	d.record(ctx, n, from.live, to.live, true)
}

func historical(ref Ref) history.Network { return history.Network{Name: ref.Name, UUID: ref.UUID} }

// History returns the last definitions of a network, without their texts, the oldest
// first. It is looked for by name and by UUID, among those that are gone, too. A
// definition that nobody told of, as one that was edited by hand, is the last one.
func (d *Driver) History(_ context.Context, name string) (Ref, []history.Revision, error) {
	ref, current, err := d.historyOf(name)
	if err != nil {
		return ref, nil, err
	}
	list, err := d.history.List(ref.UUID)
	if err != nil {
		return ref, nil, err
	}
	last := history.Revision{}
	if len(list) > 0 {
		last = list[len(list)-1]
	}
	if current != "" && last.Text != current && !last.Running {
		list = append(list, history.Revision{Number: last.Number + 1, Network: ref.Name})
	}
	for i := range list {
		list[i].Text = ""
	}
	return ref, list, nil
}

// RevisionXML returns a definition that a network had.
func (d *Driver) RevisionXML(_ context.Context, name string, number int) (Ref, string, error) {
	ref, current, err := d.historyOf(name)
	if err != nil {
		return ref, "", err
	}
	r, err := d.history.Get(ref.UUID, number)
	if errors.Is(err, history.ErrNone) && current != "" {
		list, _ := d.history.List(ref.UUID)
		if len(list) == 0 && number == 1 || len(list) > 0 && list[len(list)-1].Number+1 == number {
			return ref, current, nil
		}
	}
	if errors.Is(err, history.ErrNone) {
		return ref, "", &Error{Kind: KindInvalidArg, Err: err, Msg: fmt.Sprintf("definition %d of network '%s' is not kept", number, ref.Name)}
	}
	return ref, r.Text, err
}

// historyOf returns whose history a name means, and the persistent definition that the
// network has now; "": it has none.
func (d *Driver) historyOf(name string) (ref Ref, current string, err error) {
	d.mu.RLock()
	n := d.byName[name]
	if uuid, ok := xml.ParseUUID(name); n == nil && ok {
		n = d.byUUID[uuid]
	}
	d.mu.RUnlock()
	if n != nil {
		if v := n.view.Load(); v != nil && v.config != nil {
			current = v.config.Format(xml.Inactive)
		}
		return n.ref, current, nil
	}
	if gone, ok := d.history.Former(name); ok {
		return Ref{Name: gone.Name, UUID: gone.UUID}, "", nil
	}
	return Ref{}, "", &Error{Kind: KindNoNetwork, Msg: fmt.Sprintf("no network with matching name '%s'", name)}
}
