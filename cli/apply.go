package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/topology"
)

// definitionFlags say which definitions a command is about.
type definitionFlags struct {
	daemonFlags
	all    string
	asJSON bool
}

func (f *definitionFlags) addTo(cmd *cobra.Command, io IO) {
	f.add(cmd, io)
	cmd.Flags().StringVar(&f.all, "all", "", "all definitions, *.xml, in a `directory`")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print a JSON array")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case f.all == "" && len(args) == 0:
			return usageError{fmt.Errorf("%s: FILE is missing", cmd.CommandPath())}
		case f.all != "" && len(args) > 0:
			return usageError{fmt.Errorf("%s: --all and FILE are two ways to say which", cmd.CommandPath())}
		}
		return nil
	}
}

// documents reads the definitions.
func (f *definitionFlags) documents(io IO, args []string) ([]string, error) {
	if f.all != "" {
		found, err := filepath.Glob(filepath.Join(f.all, "*.xml"))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("no definition, *.xml, is in %s", f.all)
		}
		args = found
	}
	docs := make([]string, 0, len(args))
	for _, path := range args {
		doc, err := readDocument(path, io.In)
		if err != nil {
			return nil, err
		}
		if _, err := doc.network(); err != nil { // with the file and the line
			return nil, err
		}
		docs = append(docs, string(doc.text))
	}
	return docs, nil
}

func newPlan(io IO) *cobra.Command {
	f := &definitionFlags{}
	cmd := &cobra.Command{
		Use:   "plan FILE...",
		Short: "Show what applying definitions would do, and what guests would notice",
		Long: `Show what "virbr apply" with the same files would do to this host, network by network
and step by step, and what guests would notice: nothing, something else at their next
renewal, that they are renumbered, that the network is away for a moment (link flaps),
or that they are cut off. What the host lacks of what runs is listed, too.

+ is done, - is undone, ~ becomes another. Nothing is changed.

The exit status is 0 where nothing would change, 2 where something would, 1 on an
error.`,
		Example:     "  virbr plan default.xml\n  virbr plan --all /etc/my-networks\n  virsh net-dumpxml lab | sed s/lab.old/lab.new/ | virbr plan -",
		Annotations: detailed,
		RunE: func(cmd *cobra.Command, args []string) error {
			docs, err := f.documents(io, args)
			if err != nil {
				return err
			}
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				list, err := c.Plan(cmd.Context(), docs)
				if err == nil {
					err = f.print(io, list)
				}
				if err != nil {
					return err
				}
				for i := range list {
					if list[i].Changed() || len(list[i].Drift) > 0 {
						return errChanges
					}
				}
				return nil
			})
		},
	}
	f.addTo(cmd, io)
	return cmd
}

func newApply(io IO) *cobra.Command {
	f := &definitionFlags{}
	var yes bool
	var confirm time.Duration
	cmd := &cobra.Command{
		Use:   "apply FILE...",
		Short: "Make networks what definitions say, while they run",
		Long: `Make networks what the definitions in FILE say: the persistent definition of each, and
the running network where it runs. All networks of one call are changed, or none.
"virbr plan" with the same files shows beforehand what will be done and what guests
notice.

What can be changed on a running network is; where that is not so, as with the name of the bridge, the
network is restarted and its guests are attached again, which takes them offline
for a moment. What cuts guests off is refused without --yes or --confirm.

With --confirm 60s all is undone after 60 seconds unless "virbr confirm NETWORK" is run
before, for example by a new login: a change that cuts yourself off takes itself back,
also when virbrd or the host is restarted meanwhile. Until then no one else can change
these networks.

A network that does not run is not started, and one that there is not is defined.
"virbr rollback" undoes what was applied.`,
		Example: "  virbr apply default.xml\n  virbr apply --confirm 60s default.xml\n  virbr apply --yes --all /etc/my-networks",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := wholeSeconds(cmd, confirm); err != nil {
				return err
			}
			docs, err := f.documents(io, args)
			if err != nil {
				return err
			}
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				list, err := c.Apply(cmd.Context(), docs, yes, confirm)
				if err == nil {
					err = f.print(io, list)
				}
				if err != nil {
					return err
				}
				return unlessConfirmed(io, list, confirm)
			})
		},
	}
	f.addTo(cmd, io)
	cmd.Flags().BoolVar(&yes, "yes", false, "apply it also where guests are cut off")
	addConfirm(cmd, &confirm)
	return cmd
}

// proposalJSON is one network as --json prints it.
type proposalJSON struct {
	Network string       `json:"network"`
	New     bool         `json:"new,omitempty"`
	Running bool         `json:"running"`
	Defines bool         `json:"defines"` // the persistent definition changes
	Restart bool         `json:"restart"` // the network is stopped and started
	Guests  string       `json:"guests"`  // what they notice
	Steps   []changeJSON `json:"steps"`
	Drift   []string     `json:"drift,omitempty"`
}

type changeJSON struct {
	Step   string `json:"step"`
	Guests string `json:"guests"`
}

func (f *definitionFlags) print(io IO, list []client.Proposal) error {
	if f.asJSON {
		made := make([]proposalJSON, len(list))
		for i, p := range list {
			made[i] = proposalJSON{Network: p.Network, New: p.New, Running: p.Running, Defines: p.Defines, Restart: p.Restart, Guests: p.Effect, Steps: []changeJSON{}, Drift: p.Drift}
			for _, ch := range p.Changes {
				made[i].Steps = append(made[i].Steps, changeJSON{ch.Text, ch.Effect})
			}
		}
		text, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			return fmt.Errorf("formatting JSON: %w", err)
		}
		return write(io.Out, string(text)+"\n")
	}
	p := painterFor(io.Out)
	var out strings.Builder
	for i := range list {
		printProposal(&out, p, &list[i])
	}
	return write(io.Out, out.String())
}

func printProposal(out *strings.Builder, p painter, n *client.Proposal) {
	what := "no change"
	switch {
	case n.New:
		what = "is defined"
	case !n.Running && n.Defines:
		what = "its definition changes; it does not run"
	case n.Restart:
		what = "changes by a restart; its guests are attached again"
	case len(n.Changes) > 0:
		what = "changes as it runs"
	case n.Defines:
		what = "its persistent definition becomes what runs already"
	}
	fmt.Fprintf(out, "%s %s\n", p.bold("network "+topology.Printable(n.Network)+":"), what)
	for _, ch := range n.Changes {
		text := topology.Printable(ch.Text)
		if ch.Effect != "nothing" {
			text += "   " + effectPaint(ch.Effect)(p, "["+ch.Effect+"]")
		}
		fmt.Fprintf(out, "  %s\n", text)
	}
	for _, s := range n.Drift {
		fmt.Fprintf(out, "  %s\n", p.yellow("! the host lacks: "+topology.Printable(s)))
	}
	if len(n.Changes) > 0 {
		fmt.Fprintf(out, "  guests notice: %s\n", effectPaint(n.Effect)(p, n.Effect))
	}
}

func effectPaint(effect string) func(painter, string) string {
	switch effect {
	case "nothing":
		return painter.green
	case "cut off":
		return painter.red
	}
	return painter.yellow
}
