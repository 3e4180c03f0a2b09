package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/xml"
)

func newPrefix(io IO) *cobra.Command {
	f := &daemonFlags{}
	cmd := &cobra.Command{
		Use:   "prefix COMMAND",
		Short: "Give guests IPv6 addresses out of a prefix",
		Long: `Have a network advertise an IPv6 prefix, out of which its guests make themselves
addresses. It lives in the network's definition and is changed while it runs.`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.add(cmd, io)
	set := &cobra.Command{
		Use:   "set NETWORK PREFIX",
		Short: "Advertise a prefix, in the place of another",
		Long: `Advertise PREFIX to the guests of NETWORK: "ula" is a local prefix, translated to the
host's address (NAT66); "auto" one of the host's pool; else it is a prefix that is routed
to the host, such as 2001:db8:31::/64. Guests are told to move from the former one, which
stays for as long as it is valid.`,
		Example: "  virbr prefix set default ula\n  virbr prefix set default 2001:db8:31::/64 --print | virbr plan -",
		Args:    exactly("NETWORK", "PREFIX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.setPrefix(cmd.Context(), io, args[0], args[1])
		},
		ValidArgsFunction: f.completeOne,
	}
	remove := &cobra.Command{
		Use:               "remove NETWORK",
		Aliases:           []string{"rm", "delete"},
		Short:             "Advertise no prefix",
		Example:           "  virbr prefix remove default",
		Args:              exactly("NETWORK"),
		RunE:              func(cmd *cobra.Command, args []string) error { return f.setPrefix(cmd.Context(), io, args[0], "") },
		ValidArgsFunction: f.completeOne,
	}
	for _, c := range []*cobra.Command{set, remove} {
		f.addPrint(c)
		cmd.AddCommand(c)
	}
	return cmd
}

// setPrefix changes which prefix a network advertises; "": none.
func (f *daemonFlags) setPrefix(ctx context.Context, io IO, network, prefix string) error {
	return f.on(ctx, false, func(c *client.Conn) error {
		n, err := c.Lookup(ctx, network)
		if err != nil {
			return err
		}
		def, err := c.Definition(ctx, n, false)
		if err != nil {
			return err
		}
		if err := advertise(def, prefix); err != nil {
			return err
		}
		document := def.Format(xml.Inactive)
		if f.print {
			return write(io.Out, document)
		}
		list, err := c.Apply(ctx, []string{document}, false, 0)
		if err != nil {
			return err
		}
		return (&definitionFlags{}).print(io, list)
	})
}

// advertise puts a prefix where the definition has one, in the network itself or in its
// metadata; else in the metadata, which every libvirt keeps.
func advertise(def *xml.Network, prefix string) error {
	e, err := def.Extensions()
	if err != nil {
		return err
	}
	place := &e.Advertise
	if def.Advertise != nil {
		place = &def.Advertise
	}
	switch {
	case prefix == "" && *place == nil:
		return fmt.Errorf("network %s advertises no prefix", def.Name)
	case prefix == "":
		*place = nil
	case *place == nil:
		*place = &xml.Advertise{Prefix: prefix}
	default:
		(*place).Prefix = prefix
	}
	return def.SetExtensions(e)
}
