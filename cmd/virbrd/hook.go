package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/config"
	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/overlay"
)

// agentUnit is the service that runs the agent where there is systemd.
const agentUnit = "virbr-agent.service"

// hookOptions are the flags of virbrd hook.
type hookOptions struct {
	install, uninstall, apply, check bool

	extensions string // file; "": those that networks have
	hooks      string // directory of hook scripts
	level      string
	dirs       state.Dirs
}

// newHook is what libvirt calls, and what people call about it.
func newHook() *cobra.Command {
	o := &hookOptions{dirs: state.System()}
	cmd := &cobra.Command{
		Use:   "hook [flags] [NETWORK ...] | NETWORK OPERATION SUBOPERATION EXTRA",
		Short: "Add virbr's extensions to networks of libvirt's own daemon",
		Long: `hook is for hosts that keep libvirt's own network driver. Called by libvirt as a
hook script, it adds to a network what <virbr:network> in the network's metadata
asks for: an advertised IPv6 prefix, port forwards, public addresses, rules for
open networks, and that guests' traffic passes the firewalls of others.

A libvirt older than 9.7 keeps no metadata of networks. There the element stands
in a file of its own, /etc/virbr/networks/NETWORK.xml. Where both are given the
metadata counts.

What cannot be done fails the start of the network with a message. What is added
goes when the network stops. In between, "virbrd agent" follows leases and other
firewalls; the hook starts it, and it ends with the last network that needs it.

For networks that virbrd runs there is nothing to do.`,
		Example: `  virbrd hook --install                     have libvirt call it
  virbrd hook --check default               would the extensions of this network work?
  virbrd hook --check --extensions new.xml default   and what would these change?
  virbrd hook --apply                       take up changed files now
  virbrd hook --uninstall                   take everything back`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.install, "install", false, "have libvirt call the hook, and add to networks that run")
	f.BoolVar(&o.uninstall, "uninstall", false, "have libvirt call it no more, and undo what was added")
	f.BoolVar(&o.apply, "apply", false, "add to running networks what their extensions say now")
	f.BoolVar(&o.check, "check", false, "only say whether that would work, and what would change")
	f.StringVar(&o.extensions, "extensions", "", "with --check: a `file` with <virbr:network>, in the place of what networks have")
	f.StringVar(&o.hooks, "hooks-dir", state.System().Hooks, "hook scripts")
	f.StringVar(&o.level, "log-level", "error", "debug, info, warn or error")
	cmd.MarkFlagsMutuallyExclusive("install", "uninstall", "apply", "check")
	return cmd
}

func (o *hookOptions) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	switch {
	case o.install:
		return o.doInstall(ctx, cmd.OutOrStdout())
	case o.uninstall:
		return o.doUninstall(ctx, cmd.OutOrStdout())
	case o.extensions != "" && (!o.check || len(args) != 1):
		return errors.New("hook: --extensions is for --check of one network")
	case o.apply, o.check:
		return o.doApply(ctx, args, cmd.OutOrStdout())
	}
	return o.called(ctx, args, cmd.InOrStdin())
}

// called is one call by libvirt.
func (o *hookOptions) called(ctx context.Context, args []string, stdin io.Reader) error {
	if os.Getenv(hooks.OwnerEnv) == "virbrd" {
		return nil // it does all this itself
	}
	call, err := hooks.ReadCall(args, stdin)
	if _, unknown := errors.AsType[*hooks.UnknownOpError](err); unknown {
		return nil // of a newer libvirt; no reason to stop a network
	}
	if err != nil {
		return err
	}
	if !overlay.Concerned(o.dirs.Overlay(), call.Network, call.Document) {
		return nil
	}
	e, done, err := o.engine(os.Stderr)
	if err != nil || e == nil {
		return err
	}
	defer done()
	return e.Hook(ctx, call)
}

// engine opens the host; nil: virbrd runs the networks here, and needs no help.
func (o *hookOptions) engine(stderr *os.File) (*overlay.Engine, func(), error) {
	if os.Geteuid() != 0 {
		return nil, nil, errors.New("needs root: it changes the host's network")
	}
	if ours, err := virbrdRuns(); err != nil || ours {
		return nil, nil, err
	}
	level, err := config.ParseLevel(o.level)
	if err != nil {
		return nil, nil, fmt.Errorf("--log-level: %w", err)
	}
	own, err := config.ReadVirbrd(ownConf, true)
	if err != nil {
		return nil, nil, err
	}
	log, files := newLog(stderr, level), o.dirs.Overlay()
	helper, err := installHelper(state.Dirs{Own: files.Own(), Dnsmasq: files.Served().Dnsmasq}, log)
	if err != nil {
		return nil, nil, err
	}
	h, err := host.New(host.Config{Log: log, LeaseHelper: helper, Shared: true, State: files.Own()})
	if err != nil {
		return nil, nil, err
	}
	e := overlay.New(overlay.Config{
		System:     h,
		Dirs:       o.dirs,
		Choose:     driver.New(driver.Config{System: h, Dirs: o.dirs, Pools: poolsOf(own), Log: log}).Choose,
		StartAgent: func(ctx context.Context) error { return startAgent(ctx, h, log) },
		Ours:       virbrdRuns,
		Log:        log,
	})
	return e, h.Close, nil
}

// virbrdRuns reports whether virbrd runs the system's networks.
func virbrdRuns() (bool, error) {
	owner, err := state.LockHolder(state.System().DaemonLock())
	return owner.Locked, err
}

// takeFromHook takes back what the hook added to networks that virbrd is about to
// run: it does all this itself. Where libvirt's daemon runs, virbrd will not.
func takeFromHook(ctx context.Context, dirs state.Dirs, h *host.Host, log *slog.Logger) error {
	hooked := state.System()
	if dirs.State != hooked.State || hooked.Overlay().Idle() {
		return nil
	}
	if owner, err := state.LockHolder(dirs.DriverLock()); err != nil || owner.Locked {
		return err
	}
	log.Info("taking over from the hook")
	if err := overlay.New(overlay.Config{System: h, Dirs: hooked, Log: log}).RemoveAll(ctx); err != nil {
		log.Warn("undoing what the hook added", "err", err)
	}
	return nil
}

// startAgent starts the agent under systemd, or else by itself.
func startAgent(ctx context.Context, h *host.Host, log *slog.Logger) error {
	ok, err := h.StartUnit(ctx, agentUnit)
	if ok {
		return nil
	}
	if err != nil {
		log.Warn("systemd does not start the agent; it starts without", "err", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding our own program: %w", err)
	}
	return host.Detach(exe, "agent")
}

// newAgent is what follows guests of networks that the hook added to.
func newAgent() *cobra.Command {
	o := &hookOptions{dirs: state.System()}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Follow the guests of networks that the hook added to",
		Long: `agent keeps what "virbrd hook" added to networks of libvirt's own daemon as it
should be: it follows guests whose addresses change, restores rules that others
removed, and takes up metadata and files in /etc/virbr/networks that were edited.

The hook starts it, under systemd as ` + agentUnit + `. It ends when there is
nothing left to look after.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, done, err := o.engine(os.Stderr)
			if err != nil || e == nil {
				return err
			}
			defer done()
			err = e.Run(cmd.Context())
			if errors.Is(err, overlay.ErrRuns) || errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().StringVar(&o.level, "log-level", "info", "debug, info, warn or error")
	return cmd
}
