package host

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/virbr/virbr/driver/step"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// rulesNews is what the kernel told of others' changes since it was last looked
// at.
type rulesNews struct {
	mu      sync.Mutex // guards what follows
	by      []string
	ours    bool // what is ours alone was changed
	missed  bool // it may have been
	others  bool // tables of others were changed
	links   bool // links by which guests leave were
	arrived chan struct{}
}

func newRulesNews() *rulesNews { return &rulesNews{arrived: make(chan struct{}, 1)} }

// maxNames is how many programs one piece of news names.
const maxNames = 3

func (n *rulesNews) hear(e fwnetlink.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ours, n.missed = n.ours || e.Own, n.missed || e.Lost
	n.others = n.others || e.Other || e.Lost
	if e.By != "" && !slices.Contains(n.by, e.By) && len(n.by) < maxNames {
		n.by = append(n.by, e.By)
	}
	n.ring()
}

// take returns what was told and begins anew.
func (n *rulesNews) take() (by string, ours, missed, others, links bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	by, ours, missed, others, links = strings.Join(n.by, ", "), n.ours, n.missed, n.others, n.links
	n.by, n.ours, n.missed, n.others, n.links = nil, false, false, false, false
	return by, ours, missed, others, links
}

// moved has the tables of others looked at, though nobody changed them: links by
// which guests leave may have.
func (n *rulesNews) moved() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = true
	n.ring()
}

// ring says that there is something to look at.
func (n *rulesNews) ring() {
	select {
	case n.arrived <- struct{}{}:
	default: // it is about to be looked at
	}
}

// watchRules calls tell when somebody else changed our rules (ours), or the
// rules of others so that AcceptInForeignTables has to be run again; ours is set then
// if a rule of ours was there before. by names the programs: "nft (pid 4711)".
// What happens while tell runs is told at once. What may have happened before it
// listened is told at first. It returns the error of ctx.
//
// In the tables of others it is told for each bridge. What others change in rules
// that are no concern of ours is not told.
func (h *Host) watchRules(ctx context.Context, news *rulesNews, tell func(step.Change)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- fwnetlink.Monitor(ctx, h.fw, func() { news.hear(fwnetlink.Event{Lost: true}) }, news.hear)
	}()
	for {
		select {
		case err := <-ended:
			return err
		case <-news.arrived:
		}
		by, ours, missed, others, links := news.take()
		if ours || missed {
			tell(step.Change{Kind: step.ChangeRules, By: by, Ours: true, Missed: !ours})
		}
		switch {
		case ours:
			continue
		case !others && !links:
			continue // it was looked at with what came before
		}
		bridges, hurt, err := h.wanting(ctx)
		if err != nil {
			h.log.WarnContext(ctx, "reading what another program changed", "by", by, "err", err)
		}
		for _, bridge := range bridges {
			tell(step.Change{Kind: step.ChangeRules, By: by, Ours: hurt && others, Elsewhere: true, Link: bridge})
		}
	}
}
