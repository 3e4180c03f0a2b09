package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/xml"
)

func newForwardList(io IO, f *daemonFlags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [NETWORK]",
		Short: "List forwards and what they come to",
		Long: `List the forwards of one network, or of all, in their order, and what each comes to
at the moment: where it leads, or what it waits for.

On a host where libvirt's own daemon runs networks virbrd's hook puts forwards in
force. Those of a network that it was not called for are "not in force", those of one
where it failed "in doubt": below the table is the reason.`,
		Example: "  virbr forward list\n  virbr forward list default --json",
		Args:    atMost("NETWORK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.reading(cmd.Context(), func(c *client.Conn) error {
				return listForwards(cmd.Context(), io, c, f, first(args), asJSON)
			})
		},
		ValidArgsFunction: f.completeOne,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array of objects instead")
	return cmd
}

// atMost wants the named argument or none.
func atMost(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return exactly(name)(cmd, args)
	}
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// completeOne completes NETWORK.
func (f *daemonFlags) completeOne(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.completeNetworks(cmd), cobra.ShellCompDirectiveNoFileComp
}

// forwardJSON is one forward as --json prints it.
type forwardJSON struct {
	Network   string       `json:"network"`
	Number    int          `json:"number"`
	Proto     string       `json:"proto"`
	Family    string       `json:"family"`
	Address   string       `json:"address,omitempty"`
	Dev       string       `json:"dev,omitempty"`
	Ignore    bool         `json:"ignore,omitempty"`
	Guest     string       `json:"guest,omitempty"`
	Ports     []portsJSON  `json:"ports"`
	State     string       `json:"state"`
	Error     string       `json:"error,omitempty"`
	Addresses []netip.Addr `json:"addresses"`
}

type portsJSON struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
	To    uint16 `json:"to,omitempty"`
}

// states are the words of --json.
var states = map[client.Phase]string{client.Inactive: "inactive", client.Waiting: "waiting", client.Active: "active"}

func listForwards(ctx context.Context, io IO, c *client.Conn, f *daemonFlags, network string, asJSON bool) error {
	nets, err := networks(ctx, c, network)
	if err != nil {
		return err
	}
	virbrd, err := c.HasExtensions(ctx)
	if err != nil {
		return err
	}
	objects := []forwardJSON{}
	remarks := ""
	t := newTable(io, "NETWORK", "NUMBER", "PROTO", "LISTEN", "PORTS", "GUEST", "STATE")
	for _, n := range nets {
		list, err := c.Forwards(ctx, n, &f.source)
		if err != nil {
			return err
		}
		var a applied
		if !virbrd && n.Active && len(list) > 0 {
			if a, err = f.applied(n.Name); err != nil {
				return err
			}
			remarks += a.remark(n.Name)
		}
		for i := range list {
			objects = append(objects, a.object(object(n, i, &list[i])))
			t.row(a.paint(&list[i]), n.Name, strconv.Itoa(i+1), list[i].Proto, list[i].Listen(), portsOf(&list[i]), guestOf(&list[i]), a.state(&list[i]))
		}
	}
	if asJSON {
		return writeJSON(io, objects)
	}
	if err := t.print("There are no forwards."); err != nil {
		return err
	}
	return write(io.Out, remarks)
}

func object(n client.Network, at int, f *client.Forward) forwardJSON {
	o := forwardJSON{
		Network: n.Name, Number: at + 1, Proto: f.Proto, Family: f.Families().String(), Dev: f.Dev,
		Ignore: f.Ignore, Guest: f.Guest, State: states[f.Phase], Addresses: f.Addresses,
	}
	if f.Addresses == nil {
		o.Addresses = []netip.Addr{}
	}
	if f.Address.IsValid() {
		o.Address = f.Address.String()
	}
	for _, s := range f.Spans() {
		p := portsJSON{First: s.First, Last: s.Last}
		if !f.Ignore {
			p.To = s.To
		}
		o.Ports = append(o.Ports, p)
	}
	return o
}

// portsOf prints ports as parsePorts reads them.
func portsOf(f *client.Forward) string {
	var list []string
	for _, s := range f.Spans() {
		text := span(s.First, s.Last)
		if s.To != s.First {
			text += ":" + span(s.To, s.To+(s.Last-s.First))
		}
		list = append(list, text)
	}
	return strings.Join(list, ",")
}

func span(first, last uint16) string {
	switch {
	case first == 1 && last == 65535:
		return allPorts
	case first == last:
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, last)
}

func guestOf(f *client.Forward) string {
	if f.Ignore {
		return "-"
	}
	return f.Guest
}

// state says what a forward comes to.
func state(f *client.Forward) string {
	switch {
	case f.Phase == client.Inactive:
		return "the network is not running"
	case f.Ignore:
		return "exception"
	case f.Phase == client.Active:
		return "active to " + addressList(f.Addresses)
	case len(f.Addresses) > 0 && f.Dev != "":
		return fmt.Sprintf("waiting for %s to get an address%s", f.Dev, ofFamily(f.Families()))
	case len(f.Addresses) > 0:
		return "waiting for " + f.Address.String() + " to be an address of the host"
	}
	return fmt.Sprintf("waiting for %q to get an address%s", f.Guest, ofFamily(f.Families()))
}

func ofFamily(f xml.Family) string {
	switch f {
	case xml.FamilyIPv4:
		return " (IPv4)"
	case xml.FamilyIPv6:
		return " (IPv6)"
	case xml.FamilyAll:
	}
	return ""
}

func addressList(list []netip.Addr) string {
	var words []string
	for _, a := range list {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}

func paintOf(f *client.Forward) func(painter, string) string {
	if f.Phase == client.Waiting {
		return painter.yellow
	}
	return painter.plain
}

// table prints rows in columns, the last one in a colour.
type table struct {
	io    IO
	rows  [][]string
	paint []func(painter, string) string
}

func newTable(io IO, heads ...string) *table {
	return &table{io: io, rows: [][]string{heads}, paint: []func(painter, string) string{painter.plain}}
}

func (t *table) row(paint func(painter, string) string, cells ...string) {
	t.rows = append(t.rows, cells)
	t.paint = append(t.paint, paint)
}

// print prints the table, or what to say if it has no rows.
func (t *table) print(none string) error {
	if len(t.rows) == 1 {
		return write(t.io.Err, none+"\n")
	}
	p := painterFor(t.io.Out)
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i, cells := range t.rows {
		last := len(cells) - 1
		line := strings.Join(cells[:last], "\t") + "\t" + t.paint[i](p, cells[last]) + "\n"
		if _, err := w.Write([]byte(line)); err != nil {
			return fmt.Errorf("formatting a table: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("formatting a table: %w", err)
	}
	head, rest, _ := strings.Cut(b.String(), "\n")
	return write(t.io.Out, p.bold(head)+"\n"+rest)
}

func writeJSON(io IO, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("formatting JSON: %w", err)
	}
	return write(io.Out, string(text)+"\n")
}
