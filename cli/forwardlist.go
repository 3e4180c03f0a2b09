package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
)

func newForwardList(io IO, f *daemonFlags) *cobra.Command {
	cmd := newList(f, "List forwards and whether they are in force", "forward",
		func(ctx context.Context, c *client.Conn, network string, asJSON bool) error {
			return listForwards(ctx, io, c, f, network, asJSON)
		})
	cmd.Long = `List the forwards of one network, or of all, in their order, and what is in force at
the moment: the guest's address that each targets, or what it waits for.

A port that a program or another network has already is left to that one, and
forwarded when it is free.

On a host where libvirt's own daemon runs networks virbrd's hook puts forwards in
force. What it was not called for, or failed at, is "not in force": below the table is
the reason.`
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
	From      []string     `json:"from,omitempty"`
	State     string       `json:"state"`
	Reason    string       `json:"reason,omitempty"`
	Addresses []netip.Addr `json:"addresses"`
}

type portsJSON struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
	To    uint16 `json:"to,omitempty"`
}

// stateWord returns the word of --json for a state.
func stateWord(s *client.State) string {
	switch s.Phase {
	case client.Inactive:
		return "inactive"
	case client.Active:
		return "active"
	case client.Waiting:
	}
	if strings.HasPrefix(s.Reason, notInForce) {
		return "not-in-force"
	}
	return "waiting"
}

func listForwards(ctx context.Context, io IO, c *client.Conn, f *daemonFlags, network string, asJSON bool) error {
	objects := []forwardJSON{}
	t := newTable(io, "NETWORK", "NUMBER", "PROTO", "LISTEN", "PORTS", fromColumn, "GUEST", "STATE")
	remarks, err := f.resolved(ctx, io, c, network, func(n client.Network, list []client.Forward, _ []client.Public) int {
		for i := range list {
			objects = append(objects, object(n, i, &list[i]))
			t.row(paintOf(&list[i].State), n.Name, strconv.Itoa(i+1), list[i].Proto, list[i].Listen(), portsOf(&list[i]), sourcesOf(&list[i]), guestOf(&list[i]), forwardText(&list[i]))
		}
		return len(list)
	})
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(io, objects)
	}
	t.spare(fromColumn, everybody)
	if err := t.print("There are no forwards."); err != nil {
		return err
	}
	return write(io.Out, remarks)
}

// salvage says how to get rid of what cannot be read.
const salvage = `"virbr forward remove NETWORK --broken" removes what cannot be read, and keeps the rest`

// resolved calls show for each of the networks with what there is and comes to. It
// returns what is to be said about those of which show returns that it has shown
// something.
func (f *daemonFlags) resolved(ctx context.Context, io IO, c *client.Conn, network string, show func(client.Network, []client.Forward, []client.Public) int) (string, error) {
	nets, err := networks(ctx, c, network)
	if err != nil {
		return "", err
	}
	virbrd, err := c.HasExtensions(ctx)
	if err != nil {
		return "", err
	}
	remarks := ""
	for _, n := range nets {
		forwards, publics, err := c.Resolved(ctx, n, &f.source)
		if broken, ok := errors.AsType[*client.BrokenError](err); ok && network == "" {
			if err := write(io.Err, fmt.Sprintf("network %s: %v\n%s\n", n.Name, broken, salvage)); err != nil {
				return "", err
			}
			continue
		}
		if err != nil {
			return "", err
		}
		var a applied
		if hooked := !virbrd && n.Active && len(forwards)+len(publics) > 0; hooked {
			if a, err = f.applied(n.Name); err != nil {
				return "", err
			}
			for i := range forwards {
				a.forward(&forwards[i])
			}
			for i := range publics {
				a.public(&publics[i])
			}
		}
		if show(n, forwards, publics) > 0 {
			remarks += a.remark(n.Name)
		}
	}
	return remarks, nil
}

func object(n client.Network, at int, f *client.Forward) forwardJSON {
	o := forwardJSON{
		Network: n.Name, Number: at + 1, Proto: f.Proto, Family: f.Families().String(), Dev: f.Dev,
		Ignore: f.Ignore, Guest: f.Guest, State: stateWord(&f.State), Reason: f.Reason, Addresses: f.Addresses,
	}
	if f.Addresses == nil {
		o.Addresses = []netip.Addr{}
	}
	if f.Address.IsValid() {
		o.Address = f.Address.String()
	}
	if text := f.Sources(); text != "" {
		o.From = strings.Split(text, ",")
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

// fromColumn is there where some forward is not for everybody.
const (
	fromColumn = "FROM"
	everybody  = "*"
)

// sourcesOf prints who may use a forward.
func sourcesOf(f *client.Forward) string {
	if text := f.Sources(); text != "" {
		return text
	}
	return everybody
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

// forwardText says what a forward comes to.
func forwardText(f *client.Forward) string {
	if f.Ignore && f.Phase == client.Active {
		return "exception"
	}
	return stateText(&f.State)
}

func stateText(s *client.State) string {
	switch {
	case s.Phase == client.Inactive:
		return "the network is not running"
	case strings.HasPrefix(s.Reason, notInForce):
		return notInForce
	case s.Phase != client.Active:
		return s.Reason
	case s.Reason != "":
		return "active to " + addressList(s.Addresses) + "; " + s.Reason
	}
	return "active to " + addressList(s.Addresses)
}

func addressList(list []netip.Addr) string {
	var words []string
	for _, a := range list {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}

func paintOf(s *client.State) func(painter, string) string {
	switch {
	case strings.HasPrefix(s.Reason, notInForce):
		return painter.red
	case s.Phase == client.Waiting || s.Phase == client.Active && s.Reason != "":
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

// spare takes a column out that says the same in all rows.
func (t *table) spare(head, always string) {
	at := slices.Index(t.rows[0], head)
	if at < 0 || slices.ContainsFunc(t.rows[1:], func(cells []string) bool { return cells[at] != always }) {
		return
	}
	for i := range t.rows {
		t.rows[i] = slices.Delete(t.rows[i], at, at+1)
	}
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
