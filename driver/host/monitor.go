package host

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall/coexist"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// rulesNews is what the kernel told of others' changes since it was last looked
// at.
type rulesNews struct {
	mu      sync.Mutex // guards what follows
	by      []string
	ours    bool // what is ours alone was changed
	others  bool // tables of others were changed
	arrived chan struct{}
}

// maxNames is how many programs one piece of news names.
const maxNames = 3

func (n *rulesNews) hear(e fwnetlink.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ours = n.ours || e.Own || e.Lost
	n.others = n.others || e.Other || e.Lost
	if e.By != "" && !slices.Contains(n.by, e.By) && len(n.by) < maxNames {
		n.by = append(n.by, e.By)
	}
	select {
	case n.arrived <- struct{}{}:
	default: // it is about to be looked at
	}
}

// take returns what was told and begins anew.
func (n *rulesNews) take() (by string, ours, others bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	by, ours, others = strings.Join(n.by, ", "), n.ours, n.others
	n.by, n.ours, n.others = nil, false, false
	return by, ours, others
}

// watchRules calls tell when somebody else changed our rules (ours), or the
// rules of others so that AcceptElsewhere has to be run again; ours is set then
// if a rule of ours was there before. by names the programs: "nft (pid 4711)".
// What happens while tell runs is told at once. It returns the error of ctx.
//
// In the tables of others it is told for each bridge. What others change in rules
// that are no concern of ours is not told.
func (h *Host) watchRules(ctx context.Context, tell func(plan.Change)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news := rulesNews{arrived: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- fwnetlink.Monitor(ctx, h.fw, func() { news.hear(fwnetlink.Event{Other: true}) }, news.hear)
	}()
	for {
		select {
		case err := <-ended:
			return err
		case <-news.arrived:
		}
		by, ours, others := news.take()
		if ours || !others {
			tell(plan.Change{Kind: plan.ChangeRules, By: by, Ours: ours})
			continue
		}
		bridges, hurt, err := h.wanting()
		if err != nil {
			h.log.WarnContext(ctx, "looking at what somebody else changed", "by", by, "err", err)
		}
		for _, bridge := range bridges {
			tell(plan.Change{Kind: plan.ChangeRules, By: by, Ours: hurt, Elsewhere: true, Link: bridge})
		}
	}
}

// wanting returns the bridges whose accepts in the tables of others are missing or
// out of place, "" where that is not known, and whether they are in a table that
// had some before.
func (h *Host) wanting() (bridges []string, hurt bool, err error) {
	n := &h.elsewhere
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.wishes) == 0 && h.beside.empty() {
		return nil, false, nil
	}
	view, err := fwnetlink.ReadSurvey(h.fw, n.view)
	if err != nil {
		return nil, false, err
	}
	n.view = view
	if h.beside.hidden(view.Survey) {
		return []string{""}, true, nil
	}
	changes, _ := view.Survey.Plan(n.all()...)
	for _, c := range changes {
		hurt = hurt || n.tables[tableOf(c)]
		for _, in := range c.Insert {
			bridges = append(bridges, cmp.Or(in.Accept.In, in.Accept.Out))
		}
	}
	if len(changes) > 0 && len(bridges) == 0 {
		bridges = []string{""} // some are there that should not be
	}
	slices.Sort(bridges)
	return slices.Compact(bridges), hurt, nil
}

// tableOf names the table of a change.
func tableOf(c coexist.Change) string { return c.Family + " " + c.Table }
