package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/virbr/virbr/delegation/client"
	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc"
)

// task is one of the things that the daemon does all the time. Run returns when
// ctx ends, or earlier when the daemon should.
type task interface {
	Run(ctx context.Context) error
	String() string
}

// runAll runs tasks until ctx ends or one of them returns, which ends it by stop.
func runAll(ctx context.Context, stop context.CancelFunc, tasks ...task) error {
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		group.Go(func() error {
			defer stop()
			if err := t.Run(ctx); err != nil {
				return fmt.Errorf("%v: %w", t, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// serve answers clients.
type serve struct {
	server    *rpc.Server
	listeners []rpc.Listener
}

func (s serve) Run(ctx context.Context) error { return s.server.Serve(ctx, s.listeners) }
func (s serve) String() string                { return "serving clients" }

// follow deals with what others do to the host.
type follow struct{ driver *driver.Driver }

func (f follow) Run(ctx context.Context) error { return f.driver.Run(ctx) }
func (f follow) String() string                { return "following the host" }

// delegate learns which prefixes upstream routers delegate.
type delegate struct{ client *client.Client }

func (d delegate) Run(ctx context.Context) error {
	if d.client == nil {
		<-ctx.Done()
		return nil
	}
	return d.client.Run(ctx)
}
func (d delegate) String() string { return "following delegated prefixes" }

// idle ends the daemon when nobody needs it.
type idle struct {
	server *rpc.Server
	log    *slog.Logger
}

func (i idle) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-i.server.Idle():
		i.log.Info("no client needs the daemon, stopping")
	}
	return nil
}
func (i idle) String() string { return "waiting for idleness" }

// upkeep starts networks with autostart, then reloads on SIGHUP and renumbers
// what has a prefix of the pool. One task does all, one after the other: a reload
// in the middle of the first start would meet networks that are half way.
type upkeep struct {
	driver *driver.Driver
	pools  func() (driver.Pools, error) // as they stand in the configuration now
	hangup <-chan os.Signal             // SIGHUP
	log    *slog.Logger
}

func (u upkeep) Run(ctx context.Context) error {
	u.driver.StartAll(ctx)
	for {
		farewell, stop := u.renumber(ctx)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-farewell:
		case <-u.driver.Retired():
		case <-u.driver.Delegated():
		case <-u.hangup:
			u.reload(ctx)
		}
		stop()
	}
}

// renumber returns a channel that says when there is something to renumber
// again; nil, which never does, if there is nothing.
func (u upkeep) renumber(ctx context.Context) (<-chan time.Time, func()) {
	next, err := u.driver.Renumber(ctx)
	if err != nil && ctx.Err() == nil {
		u.log.Error("renumbering networks", "err", err)
	}
	if next == 0 {
		return nil, func() {}
	}
	timer := time.NewTimer(next)
	return timer.C, func() { timer.Stop() }
}

func (u upkeep) reload(ctx context.Context) {
	u.log.Info("reloading")
	notify(u.log, systemd.SdNotifyReloading+"\n"+systemd.SdNotifyMonotonicUsec())
	if pools, err := u.pools(); err != nil {
		u.log.Error("reading the configuration again; pools stay as they are", "err", err)
	} else {
		u.driver.SetPools(pools)
	}
	if err := u.driver.Reload(ctx); err != nil {
		u.log.Error("reloading", "err", err)
	}
	u.log.Info("reloaded")
	notify(u.log, systemd.SdNotifyReady)
}
func (u upkeep) String() string { return "looking after networks" }

// notify tells systemd how the daemon is, where there is a systemd.
func notify(log *slog.Logger, state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		log.Warn("telling systemd", "err", err)
	}
}
