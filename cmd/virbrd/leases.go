package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/leases"
)

// newLeases is what dnsmasq calls whenever a lease changes, and once when it
// starts, where the small program for it is not installed.
func newLeases() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:    "leases add|old|del MAC|DUID ADDRESS [HOSTNAME] | init",
		Short:  "Keep a network's lease file (called by dnsmasq)",
		Hidden: true,
		Args:   cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return leases.Helper{Dir: dir, Getenv: os.Getenv, Out: cmd.OutOrStdout(), Reload: leases.Reload}.Run(args)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "/run/virbr", "virbrd's run directory")
	return cmd
}
