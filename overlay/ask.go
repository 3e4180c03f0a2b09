package overlay

import (
	"context"
	"maps"
	"time"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// Pauses between answers to events that come in a row: the first, and the longest.
const (
	firstRest   = 20 * time.Millisecond
	longestRest = time.Second
)

// doubts returns the networks where it is in doubt who is where.
func (e *Engine) doubts() *events {
	ev := newEvents()
	for uuid, r := range e.open {
		ev.ids[uuid] = len(r.Doubts) > 0
	}
	maps.DeleteFunc(ev.ids, func(_ xml.UUID, doubtful bool) bool { return !doubtful })
	return ev
}

// ask asks for the guests of these networks, while others add and take back.
func (e *Engine) ask(ctx context.Context) {
	e.asked = map[xml.UUID]*plan.Asked{}
	for uuid, r := range e.open {
		if len(r.Doubts) == 0 {
			continue
		}
		answers, err := e.sys.Ask(ctx, r.Bridge(), r.Doubts)
		if err != nil {
			e.log.Debug("asking for guests", "bridge", r.Bridge(), "err", err) // a bridge that goes
			continue
		}
		e.asked[uuid] = &plan.Asked{Addresses: r.Doubts, Answers: answers}
	}
}

// recheck is when networks are looked at again, and how often they were without a
// change.
type recheck struct {
	timer *time.Timer
	last  map[xml.UUID]*plan.Resolution
	count int
}

func newRecheck() *recheck {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &recheck{timer: timer}
}

// set starts the timer if something is open.
func (r *recheck) set(open map[xml.UUID]*plan.Resolution) {
	r.timer.Stop()
	if !maps.EqualFunc(open, r.last, (*plan.Resolution).Same) {
		r.last, r.count = maps.Clone(open), 0
	}
	for _, resolution := range open {
		if resolution.Open(r.count) {
			r.timer.Reset(plan.Recheck(r.count))
			r.count++
			return
		}
	}
}
