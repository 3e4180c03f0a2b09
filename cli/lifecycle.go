package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
)

func newStart(io IO) *cobra.Command {
	return newOfNetwork(io, &cobra.Command{
		Use:     "start NETWORK",
		Short:   "Start a network that is defined",
		Example: "  virbr start default",
	}, func(ctx context.Context, c *client.Conn, n client.Network) (string, error) {
		return "started", c.Start(ctx, n)
	})
}

func newStop(io IO) *cobra.Command {
	return newOfNetwork(io, &cobra.Command{
		Use:   "stop NETWORK",
		Short: "Stop a network, which takes its guests offline",
		Long: `Stop NETWORK: its bridge, dnsmasq and rules are removed, and its guests are offline. When
it is started again virbrd attaches them again. A network without a persistent
definition is gone.`,
		Example: "  virbr stop default",
	}, func(ctx context.Context, c *client.Conn, n client.Network) (string, error) {
		return "stopped", c.Stop(ctx, n)
	})
}

func newAutostart(io IO) *cobra.Command {
	var disable bool
	cmd := newOfNetwork(io, &cobra.Command{
		Use:     "autostart NETWORK",
		Short:   "Start a network whenever the host starts, or no longer",
		Example: "  virbr autostart default\n  virbr autostart default --disable",
	}, func(ctx context.Context, c *client.Conn, n client.Network) (string, error) {
		return map[bool]string{true: "is not started with the host", false: "is started with the host"}[disable], c.Autostart(ctx, n, !disable)
	})
	cmd.Flags().BoolVar(&disable, "disable", false, "no longer")
	return cmd
}

// newOfNetwork makes a command that does one thing to a network, and says what it did.
func newOfNetwork(io IO, cmd *cobra.Command, do func(context.Context, *client.Conn, client.Network) (string, error)) *cobra.Command {
	f := &daemonFlags{}
	cmd.Args = exactly("NETWORK")
	cmd.ValidArgsFunction = f.completeOne
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return f.on(cmd.Context(), false, func(c *client.Conn) error {
			n, err := c.Lookup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			done, err := do(cmd.Context(), c, n)
			if err != nil {
				return err
			}
			return write(io.Out, fmt.Sprintf("network %s %s\n", n.Name, done))
		})
	}
	f.add(cmd, io)
	return cmd
}
