package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/driver/history"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/topology"
	"github.com/virbr/virbr/xml"
)

func newHistory(io IO) *cobra.Command {
	f := &daemonFlags{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "history NETWORK",
		Short: "List the last definitions of a network, and who changed it",
		Long: `List the last 20 definitions of NETWORK, the latest at the end: when it was changed,
by which user and program, and by which call. Changes by virsh, virt-manager,
Terraform and the like are in it. NETWORK@3 is definition 3 in "virbr diff" and
"virbr rollback".

A network that was undefined keeps its history: "virbr rollback NETWORK" defines it
again. So does one that another of its name replaces.

Where libvirt's own daemon runs the network these are the definitions with extensions
that "virbrd hook" found, without who made them; root may read them.`,
		Example: `  virbr history default
  virbr diff default@3 default            what has changed since definition 3?
  virbr rollback default                  take the last change back`,
		Args: exactly("NETWORK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.reading(cmd.Context(), func(c *client.Conn) error {
				list, err := f.history(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				pending, err := c.Pending(cmd.Context())
				if err != nil {
					return err
				}
				name := args[0]
				if len(list) > 0 {
					name = list[len(list)-1].Network // it may have been named by its UUID
				}
				if asJSON {
					return writeHistory(io, list, pending[name])
				}
				if err := printHistory(io, list); err != nil || pending[name].IsZero() {
					return err
				}
				return write(io.Out, toConfirm(name, pending[name]))
			})
		},
		ValidArgsFunction: f.completeOne,
	}
	f.add(cmd, io)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// history returns the last definitions of a network: those that virbrd keeps, or where
// libvirt's own daemon runs networks those that virbrd's hook found, on this host.
func (f *daemonFlags) history(ctx context.Context, c *client.Conn, network string) ([]client.Revision, error) {
	list, err := c.History(ctx, network)
	if !errors.Is(err, client.ErrNoHistory) || f.source.Elsewhere != "" {
		return list, err
	}
	n, err := c.Lookup(ctx, network)
	if err != nil {
		return nil, err
	}
	found, err := history.New(state.System().History()).List(n.UUID())
	for _, r := range found {
		list = append(list, client.Revision{Number: r.Number, Time: r.Time, Network: r.Network, Call: r.Call})
	}
	return list, err
}

// revision returns a definition that a network had, as history lists it.
func (f *daemonFlags) revision(ctx context.Context, c *client.Conn, network string, number int) (*xml.Network, error) {
	def, err := c.Revision(ctx, network, number)
	if !errors.Is(err, client.ErrNoHistory) || f.source.Elsewhere != "" {
		return def, err
	}
	n, err := c.Lookup(ctx, network)
	if err != nil {
		return nil, err
	}
	r, err := history.New(state.System().History()).Get(n.UUID(), number)
	if err != nil {
		return nil, fmt.Errorf("definition %d of network %s: %w", number, n.Name, err)
	}
	return xml.ParseNetwork([]byte(r.Text))
}

// whose names a user.
func whose(uid *uint32) string {
	if uid == nil {
		return ""
	}
	number := strconv.FormatUint(uint64(*uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return number
}

func printHistory(io IO, list []client.Revision) error {
	if len(list) == 0 {
		return write(io.Out, "no definition was kept yet\n")
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NUMBER\tTIME\tUSER\tPROGRAM\tCALL")
	for _, r := range list {
		when, who, program, call := "not known", whose(r.UID), "-", r.Call
		if !r.Time.IsZero() {
			when = r.Time.Local().Format(time.DateTime)
		}
		if who == "" {
			who = "-"
		}
		if r.Program != "" {
			program = topology.Printable(r.Program)
			if r.PID != 0 {
				program += fmt.Sprintf(" (pid %d)", r.PID)
			}
		}
		switch {
		case call == "":
			call = "- (was there before, or was edited in its file)"
		case r.Running:
			call = topology.Printable(call) + " (the running network only)"
		default:
			call = topology.Printable(call)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", r.Number, when, who, program, call)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return write(io.Out, text.String())
}

// revisionJSON is one definition as --json prints it.
type revisionJSON struct {
	Number  int        `json:"number"`
	Time    *time.Time `json:"time,omitempty"`
	Network string     `json:"network"`
	Running bool       `json:"running,omitempty"` // the running definition alone was changed
	UID     *uint32    `json:"uid,omitempty"`
	User    string     `json:"user,omitempty"`
	PID     int        `json:"pid,omitempty"`
	Program string     `json:"program,omitempty"`
	Call    string     `json:"call,omitempty"`
	Confirm *time.Time `json:"confirm_until,omitempty"` // it is undone then unless it is confirmed
}

func writeHistory(io IO, list []client.Revision, confirm time.Time) error {
	made := make([]revisionJSON, len(list))
	for i, r := range list {
		made[i] = revisionJSON{Number: r.Number, Network: r.Network, Running: r.Running, UID: r.UID, User: whose(r.UID), PID: r.PID, Program: r.Program, Call: r.Call}
		if !r.Time.IsZero() {
			when := r.Time.UTC()
			made[i].Time = &when
		}
	}
	if len(made) > 0 && !confirm.IsZero() {
		until := confirm.UTC()
		made[len(made)-1].Confirm = &until
	}
	text, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return fmt.Errorf("formatting JSON: %w", err)
	}
	return write(io.Out, string(text)+"\n")
}

func newRollback(io IO) *cobra.Command {
	f := &daemonFlags{}
	var yes bool
	var confirm time.Duration
	cmd := &cobra.Command{
		Use:   "rollback NETWORK [NUMBER]",
		Short: "Give a network an earlier definition again",
		Long: `Apply definition NUMBER of "virbr history NETWORK" again, as "virbr apply" does, to the
network as it runs; without NUMBER the one before the last. It is a change like others,
so a second rollback takes it back. A network that was undefined is defined again.
A change that waits for "virbr confirm" is undone, whole and at once.

What cuts guests off is refused without --yes or --confirm, which are those of
"virbr apply".`,
		Example: "  virbr rollback default\n  virbr rollback default 3",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return exactly("NETWORK", "NUMBER")(cmd, args)
			}
			return exactly("NETWORK")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			number := 0
			if len(args) == 2 {
				n, err := strconv.Atoi(args[1])
				if err != nil || n < 1 {
					return usageError{fmt.Errorf("%q is no number of a definition", args[1])}
				}
				number = n
			}
			if err := wholeSeconds(cmd, confirm); err != nil {
				return err
			}
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				return rollback(cmd.Context(), io, c, args[0], number, yes, confirm)
			})
		},
		ValidArgsFunction: f.completeOne,
	}
	f.add(cmd, io)
	cmd.Flags().BoolVar(&yes, "yes", false, "roll back also where guests are cut off")
	addConfirm(cmd, &confirm)
	return cmd
}

func rollback(ctx context.Context, io IO, c *client.Conn, network string, number int, yes bool, confirm time.Duration) error {
	if number == 0 {
		if undone, err := rollBackPending(ctx, io, c, network); undone || err != nil {
			return err
		}
		found, err := previous(ctx, c, network)
		if err != nil {
			return err
		}
		number = found
	}
	def, err := c.Revision(ctx, network, number)
	if err != nil {
		return err
	}
	list, err := c.Apply(ctx, []string{def.Format(xml.Inactive)}, yes, confirm)
	if err != nil {
		return err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "definition %d again\n", number)
	for i := range list {
		printProposal(&out, painterFor(io.Out), &list[i])
	}
	if err := write(io.Out, out.String()); err != nil {
		return err
	}
	return unlessConfirmed(io, list, confirm)
}

// previous returns the number of the persistent definition before the one that the
// network has; of one that was undefined, the last that it had.
func previous(ctx context.Context, c *client.Conn, network string) (int, error) {
	list, err := c.History(ctx, network)
	if err != nil {
		return 0, err
	}
	skip := 0
	switch n, err := c.Lookup(ctx, network); {
	case client.IsNoNetwork(err):
	case err != nil:
		return 0, err
	case n.Persistent:
		skip = 1
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Running {
			continue
		}
		if skip == 0 {
			return list[i].Number, nil
		}
		skip--
	}
	return 0, fmt.Errorf("network %s has no earlier definition", network)
}
