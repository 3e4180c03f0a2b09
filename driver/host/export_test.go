package host

import (
	"context"

	"github.com/virbr/virbr/driver/step"
)

// WatchRules is the part of Watch that hears of others' firewall rules. It wants to be
// told at first that what was before it listened may have hurt ours, and passes that over.
func WatchRules(h *Host, ctx context.Context, tell func(by string, ours bool)) error {
	listens := false
	return h.watchRules(ctx, newRulesNews(), func(c step.Change) {
		if !listens && !(c.Ours && c.Missed) {
			tell("nobody said that something may have been missed", true)
		}
		if listens {
			tell(c.By, c.Ours)
		}
		listens = true
	})
}
