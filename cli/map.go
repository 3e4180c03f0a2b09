package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/topology"
)

// mapOptions are the flags of map.
type mapOptions struct {
	json, svg, html bool
}

func newMap(io IO) *cobra.Command {
	f, o := &daemonFlags{}, mapOptions{}
	cmd := &cobra.Command{
		Use:   "map [NETWORK...]",
		Short: "Draw networks, their guests, and what may pass between them",
		Long: `Draw all networks or some: the uplinks of the host, the networks, their
guests, forwards and public addresses, and between which of them new connections may
pass: as the rules of the networks decide, which is what docs/packets.md has as a table.

As root, connections that there are now are counted, and rules of others (Docker, ufw,
a VPN, ...) that stop what may pass are shown with their owner and the command that
mends them.

Without a flag it is a tree for the terminal. --html is a page of one file that loads
nothing from elsewhere, has all of the drawing as text, too, and is readable in light
and dark, by keyboard and screen reader. Names that guests choose are cleaned.`,
		Example: `  virbr map                              a tree
  virbr map default lab                  two networks, and what passes between them
  virbr map --html > map.html            a page with the drawing
  virbr map --svg > map.svg              the drawing alone
  virbr map --json | jq '.edges[] | select(.blocks != [])'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.drawMap(cmd.Context(), io, o, args)
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return f.completeNetworks(cmd), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVar(&o.svg, "svg", false, "print the drawing as SVG")
	cmd.Flags().BoolVar(&o.html, "html", false, "print a page with the drawing, and all that it shows as text")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the graph as one JSON object")
	cmd.MarkFlagsMutuallyExclusive("svg", "html", "json")
	f.add(cmd, io)
	return cmd
}

func (f *daemonFlags) drawMap(ctx context.Context, io IO, o mapOptions, names []string) error {
	facts, err := f.look(ctx, io, names)
	if err != nil {
		return err
	}
	g := topology.Map(facts, names...)
	switch {
	case o.json:
		return writeJSON(io, g)
	case o.svg:
		return write(io.Out, g.SVG())
	case o.html:
		title := "Virtual networks"
		if name, err := os.Hostname(); err == nil && f.local() {
			title += " of " + name
		}
		return write(io.Out, g.HTML(title))
	}
	t := &tree{p: painterFor(io.Out)}
	t.graph(g)
	return write(io.Out, t.String()+remarks(g))
}

// tree prints a graph with branches.
type tree struct {
	p painter
	strings.Builder
}

// branches prints lines below another one; before begins each.
func (t *tree) branches(before string, lines []string) {
	for i, line := range lines {
		twig := "├─ "
		if i == len(lines)-1 {
			twig = "└─ "
		}
		t.WriteString(before + twig + line + "\n")
	}
}

func (t *tree) graph(g *topology.Graph) {
	t.WriteString(t.p.bold("external") + "\n")
	var lines []string
	for _, u := range g.Uplinks {
		line := u.Link
		for _, a := range u.Gateways {
			line += "  default via " + a.String()
		}
		if u.Default && len(u.Gateways) == 0 {
			line += "  default route"
		}
		lines = append(lines, line)
	}
	t.branches("", lines)
	for i := range g.Networks {
		n := &g.Networks[i]
		words := []string{t.p.bold(n.Name), n.Mode}
		if n.Bridge != "" {
			words = append(words, n.Bridge)
		}
		for _, p := range n.Subnets {
			words = append(words, p.String())
		}
		for _, p := range n.Pools {
			words = append(words, p.Text())
		}
		t.WriteString(strings.Join(append(words, healthPaint(n.Health)(t.p, string(n.Health))), "  ") + "\n")
		t.branches("", t.below(g, n))
	}
}

// below is what belongs to a network: what is forwarded to it, where it may send to,
// who may send to it, and its guests.
func (t *tree) below(g *topology.Graph, n *topology.Network) []string {
	var lines []string
	for _, list := range [][]topology.Forward{n.Publics, n.Forwards} {
		for i := range list {
			lines = append(lines, "forward  "+list[i].Text+forwardState(t.p, n, &list[i]))
		}
	}
	for i := range g.Edges {
		e := &g.Edges[i]
		arrow, other := "→ ", e.To
		switch n.Name {
		case e.From.Network:
		case e.To.Network:
			arrow, other = "← ", e.From
			if e.From.Network != "" {
				continue // it stands at the other network
			}
		default:
			continue
		}
		text := e.Passing()
		switch {
		case len(e.Blocks) > 0:
			arrow, text = t.p.red("✕ "), t.p.red(text)
		case e.Connections > 0:
			arrow = t.p.bold(arrow)
		}
		lines = append(lines, fmt.Sprintf("%s%s  %s", arrow, other, text))
	}
	for i := range n.Guests {
		lines = append(lines, n.Guests[i].Text())
	}
	return lines
}
