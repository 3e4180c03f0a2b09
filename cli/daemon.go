package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/xml"
)

// daemonFlags are those of commands that talk to a daemon.
type daemonFlags struct {
	connect string // a URI, or an alias
	socket  string
	source  client.Source

	io    IO          // says what is meant where the command line does not
	found *client.URI // what is meant; nil: not asked yet

	reports string // directory

	live, config bool
	print        bool // the definition that there would be, and change nothing
}

// add adds the flags that say where the daemon is.
func (f *daemonFlags) add(cmd *cobra.Command, io IO) {
	f.io = io
	addConnect(cmd.PersistentFlags(), &f.connect)
	cmd.PersistentFlags().StringVar(&f.socket, "socket", "", "`path` of the daemon's socket, instead of virbrd's, virtnetworkd's or libvirtd's in /run/libvirt")
	cmd.PersistentFlags().StringVar(&f.reports, "reports-dir", state.System().Overlay().ReportDir(), "`directory` in which virbrd's hook reports what it added to libvirt's networks")
	cmd.PersistentFlags().StringVar(&f.source.Dir, "networks-dir", client.ConfigDir, "`directory` with the extensions of networks whose libvirt keeps no metadata")
	for _, name := range []string{"reports-dir", "networks-dir"} {
		_ = cmd.PersistentFlags().MarkHidden(name) // for tests and packagers; it is there
	}
}

// addAffect adds the flags that say which definition is changed.
func (f *daemonFlags) addAffect(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.live, "live", false, "change the running network only: gone when it stops")
	cmd.Flags().BoolVar(&f.config, "config", false, "change the persistent definition only: in force when the network starts next")
}

// addPrint adds the flag that has a change shown, for virbr plan and apply.
func (f *daemonFlags) addPrint(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.print, "print", false, "change nothing, and print the definition that there would be: for virbr plan - and virbr apply -")
	for _, other := range []string{"live", "config"} {
		if cmd.Flags().Lookup(other) != nil {
			cmd.MarkFlagsMutuallyExclusive("print", other)
		}
	}
}

// printEdited prints the definition that a change would make.
func printEdited(ctx context.Context, io IO, c *client.Conn, n client.Network, ch client.Change) error {
	def, err := c.Edited(ctx, n, ch)
	if err != nil {
		return err
	}
	return write(io.Out, def.Format(xml.Inactive))
}

// on runs a command about networks on a connection.
func (f *daemonFlags) on(ctx context.Context, readOnly bool, do func(*client.Conn) error) error {
	uri, err := f.uri()
	if err != nil {
		return err
	}
	c, err := client.Dial(ctx, client.Config{URI: *uri, ReadOnly: readOnly})
	if err != nil {
		return err
	}
	err = do(c)
	if broken, ok := errors.AsType[*client.BrokenError](err); ok && broken != nil {
		err = fmt.Errorf("%w\n%s", err, salvage)
	}
	if closed := c.Close(); err == nil && closed != nil {
		return fmt.Errorf("closing the connection: %w", closed)
	}
	return err
}

// dial connects for reading. Where there is no read-only socket, or a person
// named one, the other is as good.
func (f *daemonFlags) reading(ctx context.Context, do func(*client.Conn) error) error {
	err := f.on(ctx, true, do)
	if errors.Is(err, client.ErrNoDaemon) && f.found.Socket == "" {
		return f.on(ctx, false, do)
	}
	return err
}

// affect returns which definitions of a network a command changes: those that it
// has, unless the command line says which.
func (f *daemonFlags) affect(n client.Network) client.Affect {
	var affect client.Affect
	if f.live || n.Active && !f.config {
		affect |= client.AffectLive
	}
	if f.config || n.Persistent && !f.live {
		affect |= client.AffectConfig
	}
	return affect
}

// networks returns the one of that name, or all.
func networks(ctx context.Context, c *client.Conn, name string) ([]client.Network, error) {
	if name == "" {
		return c.Networks(ctx)
	}
	n, err := c.Lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	return []client.Network{n}, nil
}

// explain tells how a change was made where it was not virbrd that made it.
func (f *daemonFlags) explain(n client.Network, how client.Outcome) string {
	const apply = "The hook of virbrd puts it in force: within a moment where its agent runs, else with\n" +
		"\"virbrd hook --apply\". See virbrd(8).\n"
	switch how {
	case client.ByMetadata:
		return "It stands in the metadata that libvirt keeps of network " + n.Name + ".\n" + apply
	case client.ByFile:
		return "This libvirt keeps no metadata of networks, so it stands in " + f.source.Path(n.Name) + ".\n" + apply
	case client.ByDaemon:
	}
	return ""
}

// change adds something to a network, and says that it is there.
func (f *daemonFlags) change(ctx context.Context, io IO, c *client.Conn, network string, ch client.Change, said string) error {
	n, err := c.Lookup(ctx, network)
	if err != nil {
		return err
	}
	if f.print {
		return printEdited(ctx, io, c, n, ch)
	}
	how, err := c.Edit(ctx, n, f.affect(n), ch, &f.source)
	if err != nil {
		return err
	}
	return write(io.Out, fmt.Sprintf("network %s: %s\n", n.Name, said)+f.explain(n, how))
}

// remove removes something from a network, and says what.
func (f *daemonFlags) remove(ctx context.Context, io IO, c *client.Conn, n client.Network, affect client.Affect, ch client.Change, what string) error {
	ch.Remove = true
	if f.print {
		return printEdited(ctx, io, c, n, ch)
	}
	how, err := c.Edit(ctx, n, affect, ch, &f.source)
	if err != nil {
		return err
	}
	return write(io.Out, fmt.Sprintf("removed from network %s: %s\n", n.Name, what)+f.explain(n, how))
}

// eachExtensions calls do with the extensions of the definitions that a command changes,
// the running one first.
func (f *daemonFlags) eachExtensions(ctx context.Context, c *client.Conn, n client.Network, do func(one client.Affect, e *xml.Extensions)) error {
	for _, one := range []client.Affect{client.AffectLive, client.AffectConfig} {
		if f.affect(n)&one == 0 {
			continue
		}
		e, err := c.Extensions(ctx, n, one == client.AffectLive, &f.source)
		if err != nil {
			return err
		}
		do(one, e)
	}
	return nil
}

// completeNetworks completes names of networks.
func (f *daemonFlags) completeNetworks(cmd *cobra.Command) []string {
	var names []string
	_ = f.reading(cmd.Context(), func(c *client.Conn) error { // a shell shows no errors
		list, err := c.Networks(cmd.Context())
		for _, n := range list {
			names = append(names, n.Name)
		}
		return err
	})
	return names
}

// completeGuests completes the names of guests.
func (f *daemonFlags) completeGuests(cmd *cobra.Command, network string) []string {
	return f.completeOf(cmd, network, func(c *client.Conn, n client.Network) (names []string, err error) {
		guests, err := c.Guests(cmd.Context(), n)
		seen := map[string]bool{}
		for _, g := range guests {
			if g.Name != "" && !seen[g.Name] {
				seen[g.Name] = true
				names = append(names, g.Name+"\t"+g.Address)
			}
		}
		return names, err
	})
}

// completeOf completes what a network has.
func (f *daemonFlags) completeOf(cmd *cobra.Command, network string, of func(*client.Conn, client.Network) ([]string, error)) (list []string) {
	_ = f.reading(cmd.Context(), func(c *client.Conn) error { // a shell shows no errors
		n, err := c.Lookup(cmd.Context(), network)
		if err == nil {
			list, err = of(c, n)
		}
		return err
	})
	return list
}
