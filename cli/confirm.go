package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/topology"
)

func newConfirm(io IO) *cobra.Command {
	f := &daemonFlags{}
	cmd := &cobra.Command{
		Use:   "confirm NETWORK",
		Short: "Keep what was applied with --confirm",
		Long: `Keep what "virbr apply --confirm" made of NETWORK, and of the networks that were changed
by the same command. Without it the change is undone when its time is up; "virbr status"
says until when. "virbr rollback NETWORK" undoes it at once.`,
		Example: "  virbr apply --confirm 60s default.xml\n  virbr confirm default",
		Args:    exactly("NETWORK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				n, err := c.Lookup(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return c.Confirm(cmd.Context(), n)
			})
		},
		ValidArgsFunction: f.completeOne,
	}
	f.add(cmd, io)
	return cmd
}

// rollBackPending undoes a change of a network that waits for its confirmation, if
// there is one.
func rollBackPending(ctx context.Context, io IO, c *client.Conn, network string) (undone bool, err error) {
	pending, err := c.Pending(ctx)
	if err != nil || pending[network].IsZero() {
		return false, err
	}
	n, err := c.Lookup(ctx, network)
	if err == nil {
		err = c.RollBack(ctx, n)
	}
	if err != nil {
		return false, err
	}
	return true, write(io.Out, fmt.Sprintf("the change of network %s that was not confirmed yet is undone\n", topology.Printable(network)))
}

// addConfirm adds the flag of commands whose changes may have to be confirmed.
func addConfirm(cmd *cobra.Command, confirm *time.Duration) {
	cmd.Flags().DurationVar(confirm, "confirm", 0, `undo it after a time, as 60s, unless "virbr confirm" is run before`)
}

// wholeSeconds refuses other times.
func wholeSeconds(cmd *cobra.Command, confirm time.Duration) error {
	if cmd.Flags().Changed("confirm") && (confirm < time.Second || confirm%time.Second != 0) {
		return usageError{fmt.Errorf("%s: --confirm is a time of whole seconds, as 60s or 5m", cmd.CommandPath())}
	}
	return nil
}

// unlessConfirmed says what becomes of changes that must be confirmed.
func unlessConfirmed(io IO, list []client.Proposal, confirm time.Duration) error {
	i := slices.IndexFunc(list, func(p client.Proposal) bool { return p.Changed() })
	if confirm == 0 || i < 0 {
		return nil
	}
	return write(io.Err, toConfirm(list[i].Network, time.Now().Add(confirm)))
}

// toConfirm says until when a change must be confirmed.
func toConfirm(network string, until time.Time) string {
	network = topology.Printable(network)
	return fmt.Sprintf("network %s: its last change is undone at %s, unless you run: virbr confirm %s\n", network, until.Local().Format(time.DateTime), network)
}
