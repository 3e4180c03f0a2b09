package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/xml"
)

func newForward(io IO) *cobra.Command {
	f := &daemonFlags{}
	cmd := newGroup("forward COMMAND", "Forward ports of the host to guests",
		`Forward ports of the host to guests of a network: for external hosts, for the host
itself and for other guests. Forwards are an ordered list, of which the first that matches
decides. They live in the network's definition and are changed while it runs.`,
		newForwardAdd(io, f), newForwardList(io, f), newForwardRemove(io, f))
	f.add(cmd, io)
	return cmd
}

func newForwardAdd(io IO, f *daemonFlags) *cobra.Command {
	var o forwardOptions
	var first bool
	var at int
	cmd := &cobra.Command{
		Use:   "add NETWORK PORTS [GUEST]",
		Short: "Forward ports of the host to a guest",
		Long: `Forward PORTS of the host to GUEST: the name or UUID of a domain, the name that a guest
has in DHCP, its MAC address or an IP address. By name or MAC address it is followed when
its address changes, and waited for until it has one.

PORTS are PORT, FIRST-LAST, a service as in /etc/services, or several with commas
between; ":PORT" behind them is the port of the guest, "/udp" or "/sctp" another
protocol than TCP; "all" are all ports.

The running network and its definition are changed, unless --live or --config says
otherwise. What another forward, or a program of the host, has already is refused.`,
		Example: `  virbr forward add default 8080:80 web1
  virbr forward add default 9000-9010/udp web1 --listen 203.0.113.7
  virbr forward add default 80,443 web1 --listen eth0 --family ipv4
  virbr forward add default 1000-2000 web1 --except 1500
  virbr forward add default 2222:22 web1 --from 203.0.113.0/24,2001:db8::/32
  virbr forward add default 22 --ignore --first
  virbr forward add default 8080:80 web1 --print | virbr plan -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.ignore {
				return exactly("NETWORK", "PORTS")(cmd, args)
			}
			return exactly("NETWORK", "PORTS", "GUEST")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ports = args[1]
			if !o.ignore {
				o.guest = args[2]
			}
			forward, err := o.forward()
			if err != nil {
				return usageError{err}
			}
			place, err := placeOf(cmd, first, at)
			if err != nil {
				return err
			}
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				return addForward(cmd.Context(), io, c, f, args[0], client.Change{Forward: forward, At: place})
			})
		},
		ValidArgsFunction: f.completeAdd,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.proto, "proto", "", "tcp (the default), udp or sctp")
	flags.StringVar(&o.listen, "listen", "", "`address` or interface of the host, or localhost; without it, or with *, all of the host's addresses")
	flags.StringVar(&o.from, "from", "", "who may use it: `prefixes` or addresses with commas between; without it everybody")
	flags.StringVar(&o.family, "family", "", "ipv4 or ipv6; without it both")
	flags.StringVar(&o.except, "except", "", "`ports` of these that are not forwarded")
	flags.BoolVar(&o.ignore, "ignore", false, "an exception: leave these ports alone, whatever forwards behind this one say")
	flags.BoolVar(&first, "first", false, "put it in front of the others; without it behind them")
	flags.IntVar(&at, "at", 0, "put it in front of the forward with this `number`")
	f.addAffect(cmd)
	f.addPrint(cmd)
	return cmd
}

// placeOf returns where a forward is put, as Change counts.
func placeOf(cmd *cobra.Command, first bool, at int) (int, error) {
	switch given := cmd.Flags().Changed("at"); {
	case given && first:
		return 0, usageError{fmt.Errorf("%s: --first and --at are two places", cmd.CommandPath())}
	case given && at < 1:
		return 0, usageError{fmt.Errorf("%s: --at %d: forwards are numbered from 1", cmd.CommandPath(), at)}
	case given:
		return at - 1, nil
	case first:
		return xml.First, nil
	}
	return xml.Last, nil
}

func addForward(ctx context.Context, io IO, c *client.Conn, f *daemonFlags, network string, ch client.Change) error {
	n, err := c.Lookup(ctx, network)
	if err != nil {
		return err
	}
	if f.print {
		return printEdited(ctx, io, c, n, ch)
	}
	affect := f.affect(n)
	added, at, how, err := c.Add(ctx, n, affect, ch, &f.source)
	if err != nil {
		return err
	}
	if at < 0 || n.Active && affect&client.AffectLive == 0 {
		return write(io.Out, fmt.Sprintf("network %s will have: %s\n", n.Name, ch.Forward)+f.explain(n, how))
	}
	text := fmt.Sprintf("%s is forward %d of network %s", ch.Forward, at+1, n.Name)
	if comes := forwardText(added); comes != "" { // else the hook puts it in force
		text += ": " + comes
	}
	return write(io.Out, text+"\n"+f.explain(n, how))
}

// completeAdd completes NETWORK and GUEST.
func (f *daemonFlags) completeAdd(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return f.completeNetworks(cmd), cobra.ShellCompDirectiveNoFileComp
	case 2:
		return f.completeGuests(cmd, args[0]), cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func newForwardRemove(io IO, f *daemonFlags) *cobra.Command {
	var broken bool
	cmd := &cobra.Command{
		Use:     "remove NETWORK FORWARD",
		Aliases: []string{"rm", "delete"},
		Short:   "Remove a forward and end its connections",
		Long: `Remove a forward and end its connections to the guest. FORWARD is its
number in "virbr forward list", or its ports and protocol: 8080/tcp.

The running network and its definition are changed, as far as they have it, unless
--live or --config says otherwise.`,
		Example: "  virbr forward remove default 1\n  virbr forward remove default 9000-9010/udp",
		Args: func(cmd *cobra.Command, args []string) error {
			if broken {
				return exactly("NETWORK")(cmd, args)
			}
			return exactly("NETWORK", "FORWARD")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				if broken {
					return removeBroken(cmd.Context(), io, c, f, args[0])
				}
				return removeForward(cmd.Context(), io, c, f, args[0], args[1])
			})
		},
		ValidArgsFunction: f.completeRemove,
	}
	cmd.Flags().BoolVar(&broken, "broken", false, "remove what cannot be read in the network's metadata or file, and keep the rest")
	f.addAffect(cmd)
	f.addPrint(cmd)
	cmd.MarkFlagsMutuallyExclusive("print", "broken")
	return cmd
}

// removeBroken removes from a network's extensions what makes no sense.
func removeBroken(ctx context.Context, io IO, c *client.Conn, f *daemonFlags, network string) error {
	n, err := c.Lookup(ctx, network)
	if err != nil {
		return err
	}
	removed, how, err := c.Salvage(ctx, n, f.affect(n), &f.source)
	text := ""
	for _, b := range removed {
		text += fmt.Sprintf("removed from network %s: %s\n  %v\n", n.Name, b.Text, b.Err)
	}
	switch {
	case err != nil:
	case text == "":
		text = fmt.Sprintf("network %s: nothing is broken\n", n.Name)
	default:
		text += f.explain(n, how)
	}
	return errors.Join(write(io.Out, text), err)
}

func removeForward(ctx context.Context, io IO, c *client.Conn, f *daemonFlags, network, word string) error {
	n, err := c.Lookup(ctx, network)
	if err != nil {
		return err
	}
	affect := f.affect(n)
	numbered, has, err := f.forwards(ctx, c, n)
	if err != nil {
		return err
	}
	forward, err := choose(numbered, n.Name, word)
	if err != nil {
		return err
	}
	if !f.live && !f.config {
		if affect = has(forward); affect == 0 {
			return fmt.Errorf("network %s has no forward %s any more", n.Name, forward)
		}
	}
	return f.remove(ctx, io, c, n, affect, client.Change{Forward: forward}, forward.String())
}

// forwards returns those that numbers refer to: of the running definition if it
// is to be changed, else of the persistent one; and in which of them a forward is.
func (f *daemonFlags) forwards(ctx context.Context, c *client.Conn, n client.Network) ([]xml.PortForward, func(*xml.PortForward) client.Affect, error) {
	in := map[client.Affect]*xml.Extensions{}
	err := f.eachExtensions(ctx, c, n, func(one client.Affect, e *xml.Extensions) { in[one] = e })
	if err != nil {
		return nil, nil, err
	}
	numbered := cmp.Or(in[client.AffectLive], in[client.AffectConfig])
	has := func(forward *xml.PortForward) (affect client.Affect) {
		for one, e := range in {
			if e.IndexForward(forward) >= 0 {
				affect |= one
			}
		}
		return affect
	}
	if numbered == nil {
		return nil, has, nil
	}
	return numbered.Forwards, has, nil
}

// choose finds the forward that a word means: a number, or ports.
func choose(list []xml.PortForward, network, word string) (*xml.PortForward, error) {
	if port, err := parsePort(word); err == nil {
		if int(port) <= len(list) {
			return &list[port-1], nil
		}
		return nil, fmt.Errorf("network %s has %d forwards, so there is no number %s; a port is written %s/tcp", network, len(list), word, word)
	}
	ranges, proto, err := parsePorts(word)
	if err != nil {
		return nil, usageError{fmt.Errorf("%w; a forward is its number, or its ports and protocol", err)}
	}
	want := (&xml.PortForward{Ranges: ranges}).Spans()
	var found []int
	for i := range list {
		if (proto == "" || list[i].Proto == proto) && sameSpans(list[i].Spans(), want, strings.Contains(word, ":")) {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("network %s has no forward of %s", network, word)
	case 1:
		return &list[found[0]], nil
	}
	var names []string
	for _, i := range found {
		names = append(names, fmt.Sprintf("  %d  %s", i+1, &list[i]))
	}
	return nil, fmt.Errorf("network %s has %d forwards of %s; name one by its number:\n%s", network, len(found), word, strings.Join(names, "\n"))
}

// sameSpans compares ports of the host, and of the guest if the word names them.
func sameSpans(have, want []xml.PortSpan, targets bool) bool {
	if targets {
		return slices.Equal(have, want)
	}
	return slices.Equal(bare(have), bare(want))
}

// bare forgets the ports of the guest.
func bare(list []xml.PortSpan) []xml.PortSpan {
	f := xml.PortForward{}
	for _, s := range list {
		f.Ranges = append(f.Ranges, xml.ForwardRange{Start: s.First, End: s.Last})
	}
	return f.Spans()
}

// completeRemove completes NETWORK and FORWARD.
func (f *daemonFlags) completeRemove(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return f.completeNetworks(cmd), cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	if len(args) == 1 {
		list = f.completeOf(cmd, args[0], func(c *client.Conn, n client.Network) (list []string, err error) {
			numbered, _, err := f.forwards(cmd.Context(), c, n)
			for i := range numbered {
				list = append(list, fmt.Sprintf("%d\t%s", i+1, &numbered[i]))
			}
			return list, err
		})
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
