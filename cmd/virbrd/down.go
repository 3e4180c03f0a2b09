package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/state"
)

// newDown stops what virbrd runs, for those who remove it.
func newDown() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop all networks",
		Long: `down stops every network that runs, as virsh net-destroy does: bridges, addresses,
firewall rules and dnsmasq are gone, and guests are without a network. Persistent
definitions stay, with their autostart.

virbrd must not run. Packages call this when they are removed.`,
		Example: "  systemctl stop virbrd.socket virbrd-ro.socket virbrd.service\n  virbrd down",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return down(cmd.Context(), state.System(), cmd.OutOrStdout())
		},
	}
}

func down(ctx context.Context, dirs state.Dirs, out io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it changes the host's network")
	}
	unlock, err := virbrdStopped(dirs, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	log := newLog(os.Stderr, slog.LevelWarn)
	helper, err := installHelper(dirs, log)
	if err != nil {
		return err
	}
	h, err := host.New(host.Config{Log: log, LeaseHelper: helper})
	if err != nil {
		return err
	}
	defer h.Close()
	networks := driver.New(driver.Config{System: h, Dirs: dirs, Log: log})
	if err := networks.Load(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, networks.Close(context.WithoutCancel(ctx))) }()
	list, err := networks.List(ctx, driver.ListActive)
	if err != nil {
		return err
	}
	var errs []error
	for _, net := range list {
		err := networks.Destroy(ctx, net)
		if err == nil {
			_, err = fmt.Fprintf(out, "stopped network %q\n", net.Name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
