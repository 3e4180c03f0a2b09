package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/leases"
)

// newLeases is what dnsmasq calls whenever a lease changes, and once when it
// starts, where the small program for it is not installed.
func newLeases() *cobra.Command {
	var dir string
	var restore bool
	cmd := &cobra.Command{
		Use:    "leases add|old|del MAC|DUID ADDRESS [HOSTNAME] | init",
		Short:  "Keep a network's lease file (called by dnsmasq)",
		Hidden: true,
		Args:   cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if restore {
				return leases.Restore(dnsmasq.Dirs{Dnsmasq: state.System().Dnsmasq})
			}
			helper := leases.Helper{Dir: dir, Getenv: os.Getenv, Out: cmd.OutOrStdout()}
			if err := helper.DropRoot(args); err != nil {
				return err
			}
			return helper.Run(args)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "/run/virbr", "virbrd's run directory")
	cmd.Flags().BoolVar(&restore, "restore", false, "leave lease files as libvirt's own helper does, for those who remove virbr")
	return cmd
}
