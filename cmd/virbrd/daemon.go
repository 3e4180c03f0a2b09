package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"syscall"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/config"
	"github.com/virbr/virbr/delegation/client"
	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/polkit"
	"github.com/virbr/virbr/schemas"
)

// polkitActions is where libvirt's packages declare what polkit may be asked.
const polkitActions = "/usr/share/polkit-1/actions/org.libvirt.unix.policy"

// run is the daemon's life, until ctx ends or nobody needs it.
func run(ctx context.Context, o *options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it changes the host's network")
	}
	_, noPolkit := os.Stat(polkitActions)
	cfg, err := o.settings(noPolkit == nil)
	if err != nil {
		return err
	}
	unix.Umask(0o022)
	hangup := make(chan os.Signal, 1) // from now on, so that nobody who is early ends us
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	log := newLog(os.Stderr, cfg.daemon.LogLevel)
	for _, w := range append(cfg.daemon.Warnings, cfg.network.Warnings...) {
		log.Warn(w)
	}
	pid, err := state.LockPID(o.pidFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pid.Release()) }()
	helper, err := installHelper(o.dirs, log)
	if err != nil {
		return err
	}
	own, err := state.LockPID(o.dirs.DaemonLock())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.Release()) }()
	h, err := host.New(host.Config{Log: log, LeaseHelper: helper, Leases: o.dirs.Dnsmasq, KeepLimits: cfg.own.KeepLimits, State: o.dirs.Own})
	if err != nil {
		return err
	}
	defer h.Close()
	if err := takeFromHook(ctx, o.dirs, h, log); err != nil {
		return err
	}
	return runWith(ctx, o, cfg, h, hangup, log)
}

// runWith puts driver and server together and runs them.
func runWith(ctx context.Context, o *options, cfg *settings, h *host.Host, hangup <-chan os.Signal, log *slog.Logger) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var server *rpc.Server
	delegated, delegations := newDelegations(o.dirs, h, log)
	networks := driver.New(driver.Config{
		System:  system(h, cfg.network.Backend),
		Dirs:    o.dirs,
		Watcher: h,
		Schema:  schemas.New(),
		Events:  func(e driver.Event) { server.Publish(e) },
		Pools:   cfg.pools,
		Live:    cfg.own.ApplyLive,
		Log:     log,

		Delegations: delegations,
		HookTimeout: cfg.hookTimeout,
		Stopping:    ctx.Done(),
	})
	authority := polkit.New("", 0)
	defer func() { err = errors.Join(err, authority.Close()) }()
	var access rpc.AccessControl
	if len(cfg.daemon.AccessDrivers) > 0 {
		access = rpc.PolkitAccess{Authorizer: authority}
	}
	files, err := openFiles()
	if err != nil {
		return err
	}
	server, err = rpc.New(rpc.Config{
		Networks:    networks,
		Access:      access,
		Log:         log,
		AuthRW:      auth(cfg.daemon.ReadWrite),
		AuthRO:      auth(cfg.daemon.ReadOnly),
		Authorizer:  authority,
		Limits:      limits(cfg.daemon, files, log),
		IdleTimeout: cfg.timeout,
		Active:      func() bool { return active(ctx, networks) },
	})
	if err != nil {
		return err
	}
	socks, err := listeners(cfg.daemon)
	if err != nil {
		return err
	}
	asked, err := newScrapes(ctx, cfg.own.Metrics, collect(networks, server, h, log))
	if err != nil {
		return errors.Join(err, closeAll(socks))
	}
	if err := networks.Load(ctx); err != nil {
		return errors.Join(err, asked.close(), closeAll(socks))
	}
	log.Info("ready", "version", version)
	notify(log, systemd.SdNotifyReady)
	err = runAll(ctx, stop, serve{server, socks}, idle{server, log}, follow{networks}, upkeep{networks, o.pools, hangup, log}, delegate{delegated}, asked)
	notify(log, systemd.SdNotifyStopping)
	log.Info("stopped, networks go on")
	return errors.Join(err, networks.Close(context.WithoutCancel(ctx)))
}

// newDelegations returns what learns of delegated prefixes. Without the file of the last
// time, which it needs to be known to routers, it asks for none.
func newDelegations(dirs state.Dirs, h *host.Host, log *slog.Logger) (*client.Client, driver.Delegations) {
	c, err := client.New(client.Config{Host: h, Store: dirs, Log: log})
	if err != nil {
		log.Error("no prefixes are asked of routers", "err", err)
		return nil, nil
	}
	return c, c
}

// active reports whether some network runs, or waits for a confirmation, and so needs
// the daemon.
func active(ctx context.Context, networks *driver.Driver) bool {
	list, err := networks.List(ctx, driver.ListActive)
	return err != nil || len(list) > 0 || len(networks.Pending(ctx)) > 0
}

func auth(s config.Socket) rpc.Auth {
	if s.Auth == config.AuthPolkit {
		return rpc.AuthPolkit
	}
	return rpc.AuthNone
}

// openFiles returns how many file descriptors the daemon may have.
func openFiles() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("reading the limit of open files: %w", os.NewSyscallError("getrlimit", err))
	}
	return int(min(limit.Cur, math.MaxInt32)), nil
}

// limits are the configuration's, less what there are no file descriptors for: a
// quarter of them is for what the daemon does itself.
func limits(cfg *config.Daemon, files int, log *slog.Logger) rpc.Limits {
	l := rpc.DefaultLimits()
	l.MaxClients, l.MaxQueuedClients = cfg.MaxClients, cfg.Backlog
	if room := max(files-files/4, 2); l.MaxClients+l.MaxQueuedClients > room {
		l.MaxQueuedClients = min(l.MaxQueuedClients, room/4)
		l.MaxClients = min(l.MaxClients, room-l.MaxQueuedClients)
		if l.MaxClients < cfg.MaxClients {
			log.Warn("max_clients is more than there are file descriptors for: raise RLIMIT_NOFILE (LimitNOFILE= of virbrd.service)",
				"max_clients", cfg.MaxClients, "served", l.MaxClients, "files", files)
		}
	}
	l.MaxAnonymousClients = cfg.MaxAnonymous
	l.MaxClientRequests = cfg.MaxRequests
	l.KeepaliveInterval = cfg.KeepaliveInterval
	l.KeepaliveCount = cfg.KeepaliveCount
	return l
}

// newLog writes text lines. Under systemd the journal knows the time.
func newLog(f *os.File, level slog.Level) *slog.Logger {
	journal := os.Getenv("JOURNAL_STREAM") != ""
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if journal && len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}
