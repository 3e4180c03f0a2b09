package host

import (
	"context"

	"github.com/virbr/virbr/driver/step"
)

// WatchRules is the part of Watch that hears of others' firewall rules.
func WatchRules(h *Host, ctx context.Context, tell func(by string, ours bool)) error {
	return h.watchRules(ctx, newRulesNews(), func(c step.Change) { tell(c.By, c.Ours) })
}
