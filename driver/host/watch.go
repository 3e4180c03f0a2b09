package host

import (
	"context"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
)

// Watch calls tell, from one goroutine, for what changes on the host without us,
// until ctx ends; it returns ctx's error, or that of a source that broke. It
// waits for the kernel and asks for nothing by the clock. A change that repeats
// itself within 20 ms is told twice at most.
//
// Once everything is followed it tells that leases, neighbours, addresses and ports
// changed, without names: what happened before, nobody has told. The same is
// told when the kernel says that it had more to tell than it could keep.
func (h *Host) Watch(ctx context.Context, tell func(step.Change)) error {
	f, err := h.openFollower()
	if err != nil {
		return err
	}
	defer f.news.close()
	group, ctx := errgroup.WithContext(ctx)
	g := newDebouncer(tell)
	news := newRulesNews()
	put := func(c step.Change) {
		if c.Kind == step.ChangeAddresses {
			news.moved()
			h.hearAgain(ctx)
		}
		if c.Kind == step.ChangeRoutes {
			h.repairPolicy(ctx)
		}
		g.put(ctx, c)
	}
	appeared := make(chan struct{}, 1)
	files, err := h.follow(ctx, leaseFiles, leasesLost, h.places(put, appeared))
	if err != nil {
		return err
	}
	defer files.close()
	group.Go(func() error { return g.run(ctx) })
	group.Go(func() error { return f.run(ctx, put) })
	group.Go(func() error { return files.run(ctx) })
	group.Go(func() error {
		return h.deaths.run(ctx, func(pidFile string) { put(step.Change{Kind: step.ChangeDnsmasq, Network: networkOf(pidFile)}) })
	})
	group.Go(func() error {
		return h.followFirewalld(ctx, appeared, func() { put(step.Change{Kind: step.ChangeFirewalld}) })
	})
	group.Go(func() error {
		return h.watchRules(ctx, news, put)
	})
	group.Go(func() error { return h.hearClaims(ctx, put) })
	for _, kind := range []step.ChangeKind{step.ChangeLeases, step.ChangeNeighbours, step.ChangeAddresses, step.ChangePorts, step.ChangeRoutes} {
		put(step.Change{Kind: kind})
	}
	return group.Wait()
}

// places are the directories of lease files, and of the system bus, whose socket
// may come later: that is said by a token.
func (h *Host) places(put func(step.Change), appeared chan<- struct{}) []directory {
	var list []directory
	if h.cfg.Leases != "" {
		tell := func(name string) { h.tellLease(name, put) }
		helper := dnsmasq.Dirs{Dnsmasq: h.cfg.Leases}.Helper()
		list = append(list, directory{path: h.cfg.Leases, make: true, changed: tell}, directory{path: helper, make: true, changed: tell})
	}
	if socket := h.bus.socket(); socket != "" {
		list = append(list, directory{path: filepath.Dir(socket), spare: true, changed: func(name string) {
			if name != filepath.Base(socket) && name != "" {
				return
			}
			select {
			case appeared <- struct{}{}:
			default: // it is about to be tried
			}
		}})
	}
	return list
}

// What is said of lease files that cannot be followed as usual: what they are, and
// what is lost. Then it is up to the neighbours, who are told of when a guest begins
// to use its lease.
const (
	leaseFiles = "lease files"
	leasesLost = "leases are seen when guests use them"
)

// tellLease tells of a changed file, or of what the helper asks for: "": of any.
func (h *Host) tellLease(name string, put func(step.Change)) {
	bridge, ok := strings.CutSuffix(name, ".status")
	if !ok {
		bridge, ok = strings.CutSuffix(name, ".reload")
	}
	if name == "" || ok && checkLink(bridge) == nil {
		put(step.Change{Kind: step.ChangeLeases, Link: bridge})
	}
}
