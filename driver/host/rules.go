package host

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// Changes of the firewall wait for each other in the connection: one batch at a
// time.

func (h *Host) addRules(ctx context.Context, op step.AddRules) error {
	if op.Rules == nil {
		return nil
	}
	err := h.withLinks(ctx, func() error {
		return fwnetlink.Install(h.fw, h.able(ctx, op.Rules))
	}, op.Rules)
	if err == nil {
		h.passBridges(ctx, nil, op.Rules)
	}
	return err
}

func (h *Host) replaceRules(ctx context.Context, op step.ReplaceRules) error {
	err := h.withLinks(ctx, func() error {
		return fwnetlink.Change(h.fw, h.able(ctx, op.From), h.able(ctx, op.To))
	}, op.To)
	if err == nil {
		h.passBridges(ctx, op.From, op.To)
	}
	return err
}

func (h *Host) restoreRules(ctx context.Context, op step.RestoreRules) error {
	err := h.withLinks(ctx, func() error {
		able := make([]*firewall.Network, len(op.Rules))
		for i, n := range op.Rules {
			able[i] = h.able(ctx, n)
		}
		return fwnetlink.Install(h.fw, able...)
	}, op.Rules...)
	return errors.Join(err, h.restoreChecksums(op.Checksums))
}

func (h *Host) delRules(op step.DelRules) error {
	return fwnetlink.Remove(h.fw, op.Bridge)
}

// flowtables remembers what is known of the kernel: asking it again makes it look
// for modules each time.
type flowtables struct{ known, lacking atomic.Bool }

// able returns rules that the kernel has what is needed for: those for a kernel
// without flowtables, or of the links that are there.
func (h *Host) able(ctx context.Context, n *firewall.Network) *firewall.Network {
	return h.fastable(ctx, h.guardable(ctx, n))
}

// guards remembers what is known of the kernel.
type guards struct {
	once sync.Once // guards what follows

	has, closes bool

	lacking, open sync.Once // it has been said
}

// guardable returns rules without guards where the kernel cannot have those, unless the
// network asks for them: then it refuses them, and says why.
func (h *Host) guardable(ctx context.Context, n *firewall.Network) *firewall.Network {
	if n == nil || n.Guard == nil {
		return n
	}
	h.guards.once.Do(func() {
		var err error
		if h.guards.has, h.guards.closes, err = fwnetlink.HasGuards(h.fw); err != nil {
			h.log.WarnContext(ctx, "guests are not guarded", "bridge", n.Bridge, "err", err)
		}
	})
	made := *n
	switch {
	case !h.guards.has && !n.Guard.Base:
		h.guards.lacking.Do(func() {
			h.log.WarnContext(ctx, "kernel has no tables of family bridge (CONFIG_NF_TABLES_BRIDGE, CONFIG_NFT_LOG, CONFIG_NFT_LIMIT): "+
				"router advertisements and DHCP answers of guests are not dropped", "bridge", n.Bridge)
		})
		made.Guard = nil
	case h.guards.has && !h.guards.closes && n.Guard.Closed:
		h.guards.open.Do(func() {
			h.log.WarnContext(ctx, "kernel does not tell the bridge of a frame (CONFIG_NFT_BRIDGE_META): "+
				"unknown ports are closed when virbrd sees them, not before", "bridge", n.Bridge)
		})
		guard := *n.Guard
		guard.Closed = false
		made.Guard = &guard
	default:
		return n
	}
	if len(made.Chains) == 0 && made.Guard == nil {
		return nil
	}
	return &made
}

// fastable is able for flowtables.
func (h *Host) fastable(ctx context.Context, n *firewall.Network) *firewall.Network {
	if n == nil || len(n.Fast) == 0 {
		return n
	}
	if !h.flowtables.known.Load() {
		has, err := fwnetlink.Flowtables(h.fw)
		if err != nil {
			h.log.WarnContext(ctx, "connections do not go by a flowtable", "bridge", n.Bridge, "err", err)
			return n.Plain()
		}
		if !has && !h.flowtables.lacking.Swap(true) {
			h.log.WarnContext(ctx, "kernel has no flowtables (CONFIG_NF_FLOW_TABLE_INET, CONFIG_NFT_FLOW_OFFLOAD): "+
				"the option offload of networks has no effect", "bridge", n.Bridge)
		}
		h.flowtables.known.Store(true)
	}
	if h.flowtables.lacking.Load() {
		return n.Plain()
	}
	here := *n
	here.Fast = slices.DeleteFunc(slices.Clone(n.Fast), func(link string) bool {
		_, err := h.index(link)
		return err != nil
	})
	return &here
}

// withLinks does what names links that may go away in this moment: once more where
// one did.
func (h *Host) withLinks(ctx context.Context, do func() error, nets ...*firewall.Network) error {
	err := do()
	fast := func(n *firewall.Network) bool { return n != nil && len(n.Fast) > 0 }
	if errors.Is(err, unix.ENOENT) && ctx.Err() == nil && slices.ContainsFunc(nets, fast) {
		return do()
	}
	return err
}
