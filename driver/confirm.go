package driver

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// Bounds of how long an Apply may wait for its confirmation. The longest is for who
// looks at it the next morning.
const (
	MinConfirm = time.Second
	MaxConfirm = 24 * time.Hour
)

// Pending is an Apply that is undone at a time unless it is confirmed before.
type Pending struct {
	Networks []Ref
	Until    time.Time
}

// pending is a Pending that this daemon watches over. Its journal is on disk: the
// next daemon does so, too.
type pending struct {
	Pending
	journal *state.Applying
	under   xml.UUID // of the journal
	by      any      // the connection that applied it; nil: it has ended
	undoing bool     // guarded by pendings.mu
}

// pendings are by each of their networks.
type pendings struct {
	wake chan struct{} // holds a token when there is another one

	mu sync.Mutex // guards what follows
	by map[xml.UUID]*pending
}

// arm begins to watch over an Apply. Its journal has been written.
func (p *pendings) arm(under xml.UUID, j *state.Applying, by any) {
	made := &pending{Pending: Pending{Until: j.Until}, journal: j, under: under, by: by}
	p.mu.Lock()
	for _, e := range j.Networks {
		made.Networks = append(made.Networks, Ref{Name: e.Network, UUID: e.UUID})
		p.by[e.UUID] = made
	}
	p.mu.Unlock()
	notify(p.wake)
}

// next returns the one whose time is up first; nil: there is none.
func (p *pendings) next() (first *pending, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.by {
		if !o.undoing && (first == nil || o.Until.Before(at)) {
			first, at = o, o.Until
		}
	}
	return first, at
}

// forgetLocked ends one.
func (p *pendings) forgetLocked(o *pending) {
	for _, ref := range o.Networks {
		delete(p.by, ref.UUID)
	}
}

// refuse refuses to change a network by anything but a confirmation.
func (p *pendings) refuse(ref Ref) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.by[ref.UUID]
	if o == nil {
		return nil
	}
	return &Error{Kind: KindOperationInvalid, Msg: fmt.Sprintf(
		`a change of network '%s' waits for its confirmation until %s; run "virbr confirm %s" to keep it, or "virbr rollback %s" to undo it now`,
		ref.Name, o.Until.Local().Format(time.DateTime), ref.Name, ref.Name)}
}

// Pending returns what waits for its confirmation, what is undone first at the front.
func (d *Driver) Pending(context.Context) []Pending {
	p := d.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Pending
	for uuid, o := range p.by {
		if uuid == o.under {
			list = append(list, o.Pending)
		}
	}
	slices.SortFunc(list, func(a, b Pending) int { return a.Until.Compare(b.Until) })
	return list
}

// Confirm keeps what was applied to a network, and to those that were changed with it.
// It must come by another connection than the Apply: who confirms has reached the host
// since.
func (d *Driver) Confirm(ctx context.Context, net Ref) error {
	p, by := d.pending, connectionOf(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	o, err := p.ofLocked(net)
	if err != nil {
		return err
	}
	if by != nil && by == o.by {
		return &Error{Kind: KindOperationInvalid, Msg: fmt.Sprintf("the connection that changed network '%s' cannot confirm that; use a new one", net.Name)}
	}
	if err := d.dirs.Applying().Remove(o.under); err != nil {
		return err
	}
	p.forgetLocked(o)
	d.log.Info("change confirmed", "network", net.Name, "uuid", net.UUID.String(), "networks", len(o.Networks))
	return nil
}

// ofLocked returns what waits for its confirmation on a network.
func (p *pendings) ofLocked(net Ref) (*pending, error) {
	o := p.by[net.UUID]
	switch {
	case o == nil:
		return nil, &Error{Kind: KindOperationInvalid, Msg: fmt.Sprintf("no change of network '%s' waits for a confirmation", net.Name)}
	case o.undoing:
		return nil, &Error{Kind: KindOperationInvalid, Msg: fmt.Sprintf("the change of network '%s' was not confirmed in time and is being undone", net.Name)}
	}
	return o, nil
}

// RollBack undoes, before its time is up, what was applied to a network and to those
// that were changed with it.
func (d *Driver) RollBack(ctx context.Context, net Ref) error {
	p := d.pending
	p.mu.Lock()
	o, err := p.ofLocked(net)
	if err == nil {
		o.undoing = true
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return d.rollBack(ctx, o)
}

// rollBack undoes what nobody else may confirm or undo any more. After an error it
// waits for a confirmation again, and is tried again in a while.
func (d *Driver) rollBack(ctx context.Context, o *pending) error {
	ctx = context.WithoutCancel(ctx)
	journals := d.dirs.Applying()
	o.journal.Until = time.Time{} // who finds it half undone is to go on
	err := journals.Write(o.under, o.journal)
	if err == nil {
		err = d.undoJournal(ctx, o.journal, true)
	}
	if err == nil {
		err = journals.Remove(o.under)
	}
	p := d.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	o.undoing = false
	if err != nil {
		o.Until = time.Now().Add(longestPause)
		notify(p.wake)
		return err
	}
	p.forgetLocked(o)
	return nil
}

// expire undoes what is not confirmed in time, until ctx ends.
func (d *Driver) expire(ctx context.Context) error {
	ctx = WithActor(ctx, func() Actor { return Actor{Program: "virbrd", Call: "not confirmed in time"} })
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		var due <-chan time.Time
		o, at := d.pending.next()
		if o != nil {
			due = time.After(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.pending.wake:
			continue
		case <-due:
		}
		if !d.pending.overdue(o) {
			continue
		}
		wg.Go(func() {
			ref := o.Networks[0]
			d.log.Warn("change was not confirmed in time, undoing it", "network", ref.Name, "uuid", ref.UUID.String(), "networks", len(o.Networks))
			d.warn("undoing a change that was not confirmed", ref, d.rollBack(ctx, o))
		})
	}
}

// overdue reports whether one is to be undone now, and by the caller.
func (p *pendings) overdue(o *pending) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by[o.under] != o || o.undoing || time.Now().Before(o.Until) {
		return false
	}
	o.undoing = true
	return true
}
