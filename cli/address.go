package cli

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/xml"
)

func newAddress(io IO) *cobra.Command {
	f := &daemonFlags{}
	cmd := newGroup("address COMMAND", "Give guests public addresses of their own",
		`Give a guest a public address of its own (one-to-one NAT): all that is sent to the
address reaches the guest, and all that the guest sends comes from it.`,
		newAddressAdd(io, f), newAddressList(io, f), newAddressRemove(io, f))
	f.add(cmd, io)
	return cmd
}

func newAddressAdd(io IO, f *daemonFlags) *cobra.Command {
	var stateless bool
	cmd := &cobra.Command{
		Use:   "add NETWORK ADDRESS GUEST",
		Short: "Give a guest a public address",
		Long: `Give GUEST the public IPv4 or IPv6 address ADDRESS. GUEST is the name or UUID of a
domain, the name that a guest has in DHCP, its MAC address or an IP address. Where the
address belongs to a link of the host, the host answers for it there.

With --stateless no connection is tracked: a flood of them costs no memory, but
rules that look at connections see none.`,
		Example: "  virbr address add default 203.0.113.7 web1\n  virbr address add default 2001:db8::7 52:54:00:12:34:56 --stateless",
		Args:    exactly("NETWORK", "ADDRESS", "GUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			public, err := parseAddress(args[1])
			if err != nil {
				return err
			}
			guest, err := guestOfArgument(args[2])
			if err != nil {
				return usageError{err}
			}
			said := xml.PublicAddress{Public: public, Guest: guest, Stateless: stateless}
			a, err := xml.ParsePublicAddress([]byte(said.XML())) // in its usual form
			if err != nil {
				return usageError{argumentError(err)}
			}
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				return f.change(cmd.Context(), io, c, args[0], client.Change{Public: a}, fmt.Sprintf("%s is the address of %s", a.Public, a.Guest))
			})
		},
		ValidArgsFunction: f.completeAdd,
	}
	cmd.Flags().BoolVar(&stateless, "stateless", false, "track no connections")
	f.addAffect(cmd)
	f.addPrint(cmd)
	return cmd
}

func newAddressRemove(io IO, f *daemonFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove NETWORK ADDRESS",
		Aliases: []string{"rm", "delete"},
		Short:   "Take a public address from a guest and end its connections",
		Example: "  virbr address remove default 203.0.113.7",
		Args:    exactly("NETWORK", "ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			public, err := parseAddress(args[1])
			if err != nil {
				return err
			}
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				return removeAddress(cmd.Context(), io, c, f, args[0], public)
			})
		},
		ValidArgsFunction: f.completeAddress,
	}
	f.addAffect(cmd)
	f.addPrint(cmd)
	return cmd
}

func parseAddress(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, usageError{fmt.Errorf("%q is not an IPv4 or IPv6 address", text)}
	}
	return a, nil
}

func removeAddress(ctx context.Context, io IO, c *client.Conn, f *daemonFlags, network string, public netip.Addr) error {
	n, err := c.Lookup(ctx, network)
	if err != nil {
		return err
	}
	// It may be in one definition only, and for another guest in each.
	var found *xml.PublicAddress
	var affect client.Affect
	err = f.eachExtensions(ctx, c, n, func(one client.Affect, e *xml.Extensions) {
		i := e.IndexPublic(public)
		if i >= 0 && (found == nil || *found == e.Publics[i]) {
			found = &e.Publics[i]
			affect |= one
		}
	})
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("network %s has no public address %s", n.Name, public)
	}
	return f.remove(ctx, io, c, n, affect, client.Change{Public: found}, found.String())
}

func newAddressList(io IO, f *daemonFlags) *cobra.Command {
	return newList(f, "List the public addresses of guests and whether they are in force", "address",
		func(ctx context.Context, c *client.Conn, network string, asJSON bool) error {
			return listAddresses(ctx, io, c, f, network, asJSON)
		})
}

// newList returns the command that lists what there is of a kind, in one network or
// in all.
func newList(f *daemonFlags, short, kind string, list func(ctx context.Context, c *client.Conn, network string, asJSON bool) error) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list [NETWORK]",
		Aliases: []string{"ls"},
		Short:   short,
		Example: fmt.Sprintf("  virbr %[1]s list\n  virbr %[1]s list default --json", kind),
		Args:    atMost("NETWORK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.reading(cmd.Context(), func(c *client.Conn) error {
				return list(cmd.Context(), c, first(args), asJSON)
			})
		},
		ValidArgsFunction: f.completeOne,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array of objects instead")
	return cmd
}

// addressJSON is one public address as --json prints it.
type addressJSON struct {
	Network   string       `json:"network"`
	Public    netip.Addr   `json:"public"`
	Guest     string       `json:"guest"`
	Mode      string       `json:"mode"`
	State     string       `json:"state"`
	Reason    string       `json:"reason,omitempty"`
	Addresses []netip.Addr `json:"addresses"`
}

func listAddresses(ctx context.Context, io IO, c *client.Conn, f *daemonFlags, network string, asJSON bool) error {
	objects := []addressJSON{}
	t := newTable(io, "NETWORK", "ADDRESS", "MODE", "GUEST", "STATE")
	remarks, err := f.resolved(ctx, io, c, network, func(n client.Network, _ []client.Forward, list []client.Public) int {
		for i := range list {
			a := &list[i]
			objects = append(objects, publicObject(n, a))
			t.row(paintOf(&a.State), n.Name, a.Public.String(), mode(&a.PublicAddress), a.Guest, stateText(&a.State))
		}
		return len(list)
	})
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(io, objects)
	}
	if err := t.print("There are no public addresses."); err != nil {
		return err
	}
	return write(io.Out, remarks)
}

func publicObject(n client.Network, a *client.Public) addressJSON {
	o := addressJSON{
		Network: n.Name, Public: a.Public, Guest: a.Guest, Mode: mode(&a.PublicAddress),
		State: stateWord(&a.State), Reason: a.Reason, Addresses: a.Addresses,
	}
	if o.Addresses == nil {
		o.Addresses = []netip.Addr{}
	}
	return o
}

func mode(a *xml.PublicAddress) string {
	if a.Stateless {
		return "stateless"
	}
	return "stateful"
}

// completeAddress completes NETWORK and ADDRESS.
func (f *daemonFlags) completeAddress(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return f.completeOne(cmd, args, "")
	}
	return f.completeOf(cmd, args[0], func(c *client.Conn, n client.Network) (list []string, err error) {
		_, all, err := c.Resolved(cmd.Context(), n, &f.source)
		for _, a := range all {
			list = append(list, a.Public.String()+"\t"+a.Guest)
		}
		return list, err
	}), cobra.ShellCompDirectiveNoFileComp
}
