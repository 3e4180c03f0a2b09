package host

import (
	"context"
	"time"

	"github.com/virbr/virbr/driver/step"
)

// moment is how long a change that repeats itself is held back. Whoever flaps
// is told of fifty times a second at most.
const moment = 20 * time.Millisecond

// maxRecent is how many changes are told apart within a moment. What comes on
// top is told without names: everything of its kind may have changed.
const maxRecent = 1024

// debouncer passes changes on, one after the other: the first at once, and all that
// repeat it within a moment as one, when the moment is over.
type debouncer struct {
	in     chan step.Change
	tell   func(step.Change)
	recent map[step.Change]*held // by what they are about
	order  []step.Change         // keys of recent, in the order of their ends
}

// held is a change that was told.
type held struct {
	end   time.Time
	again *step.Change // came since; nil: nothing
}

func newDebouncer(tell func(step.Change)) *debouncer {
	return &debouncer{in: make(chan step.Change), tell: tell, recent: make(map[step.Change]*held)}
}

// put takes a change. It returns when run has it, or when ctx has ended.
func (g *debouncer) put(ctx context.Context, c step.Change) {
	select {
	case g.in <- c:
	case <-ctx.Done():
	}
}

// run passes changes on until ctx ends.
func (g *debouncer) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		if len(g.order) > 0 {
			timer.Reset(time.Until(g.recent[g.order[0]].end))
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-g.in:
			g.take(c)
		case <-due:
			g.release()
		}
	}
}

// take tells of a change, or holds it back.
func (g *debouncer) take(c step.Change) {
	key := step.Change{Kind: c.Kind, Link: c.Link, Network: c.Network}
	if g.recent[key] == nil && len(g.recent) >= maxRecent {
		c.Link, c.Network = "", ""
		key = step.Change{Kind: c.Kind}
	}
	h := g.recent[key]
	switch {
	case h == nil:
		g.hold(key)
		g.tell(c)
	case h.again == nil:
		h.again = &c
	default:
		c.Ours = c.Ours || h.again.Ours
		c.Elsewhere = c.Elsewhere && h.again.Elsewhere
		h.again = &c
	}
}

// hold begins a change's moment.
func (g *debouncer) hold(key step.Change) {
	g.recent[key] = &held{end: time.Now().Add(moment)}
	g.order = append(g.order, key)
}

// release ends the oldest moment, and begins another one if something came.
func (g *debouncer) release() {
	key := g.order[0]
	h := g.recent[key]
	if time.Until(h.end) > 0 {
		return
	}
	g.order = g.order[1:]
	delete(g.recent, key)
	if h.again != nil {
		g.hold(key)
		g.tell(*h.again)
	}
}
