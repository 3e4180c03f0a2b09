package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/xml"
)

func newDiff(io IO) *cobra.Command {
	f := &daemonFlags{}
	cmd := &cobra.Command{
		Use:   "diff NETWORK[@NUMBER] [NETWORK[@NUMBER] | FILE]",
		Short: "Compare definitions of networks",
		Long: `Print what is different between two definitions: NETWORK is the persistent
definition that a network has now, NETWORK@NUMBER an earlier one out of "virbr
history", FILE a file with a definition, or "-" for standard input. A word with a
slash, or that ends in ".xml", is a file.

With one network the second definition is the running one: what differs will be in
force when the network starts next.

The exit status is 0 where nothing differs, 2 where something does, 1 on an error.`,
		Example: `  virbr diff default@3 default            what has changed since definition 3?
  virbr diff default ./default.xml        what would this file change?
  virbr diff default                      what will the next start change?`,
		Annotations: detailed,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return exactly("NETWORK")(cmd, args)
			}
			return exactly("NETWORK", "NETWORK or FILE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.reading(cmd.Context(), func(c *client.Conn) error { return f.printDiff(cmd.Context(), io, c, args) })
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return f.completeNetworks(cmd), cobra.ShellCompDirectiveDefault
		},
	}
	f.add(cmd, io)
	return cmd
}

// errChanges ends a command that found changes, which is no error.
var errChanges = errors.New("there are changes")

func (f *daemonFlags) printDiff(ctx context.Context, io IO, c *client.Conn, words []string) error {
	names := [2]string{words[0], words[0] + " (running)"}
	var texts [2][]byte
	for i := range texts {
		var def *xml.Network
		var err error
		if i < len(words) {
			names[i] = words[i]
			def, err = f.definitionOf(ctx, io, c, words[i])
		} else {
			def, err = runningOf(ctx, c, words[0])
		}
		if err != nil {
			return err
		}
		texts[i] = []byte(def.Format(xml.Inactive))
	}
	if len(words) == 1 { // from what runs to what will
		names[0], names[1], texts[0], texts[1] = names[1], names[0], texts[1], texts[0]
	}
	found := diff.Diff(names[0], texts[0], names[1], texts[1])
	if len(found) == 0 {
		return nil
	}
	p := painterFor(io.Out)
	var out strings.Builder
	for line := range strings.Lines(string(found)) {
		text := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "diff "): // says nothing that the next lines do not
			continue
		case strings.HasPrefix(line, "+"):
			text = p.green(text)
		case strings.HasPrefix(line, "-"):
			text = p.red(text)
		}
		out.WriteString(text + "\n")
	}
	if err := write(io.Out, out.String()); err != nil {
		return err
	}
	return errChanges
}

// isFile reports whether a word names a file, and no network.
func isFile(word string) bool {
	return word == "-" || strings.Contains(word, "/") || strings.HasSuffix(word, ".xml")
}

// definitionOf returns the definition that a word means.
func (f *daemonFlags) definitionOf(ctx context.Context, io IO, c *client.Conn, word string) (*xml.Network, error) {
	if isFile(word) {
		doc, err := readDocument(word, io.In)
		if err != nil {
			return nil, err
		}
		return doc.network()
	}
	if name, number, ok := strings.Cut(word, "@"); ok {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: behind @ is the number of a definition, as in \"virbr history %s\"", word, name)
		}
		return f.revision(ctx, c, name, n)
	}
	n, err := c.Lookup(ctx, word)
	if err != nil {
		return nil, err
	}
	return c.Definition(ctx, n, !n.Persistent)
}

func runningOf(ctx context.Context, c *client.Conn, word string) (*xml.Network, error) {
	n, err := c.Lookup(ctx, word)
	if err != nil {
		return nil, err
	}
	if !n.Active {
		return nil, fmt.Errorf("network %s does not run; name a second definition to compare with", n.Name)
	}
	return c.Definition(ctx, n, true)
}
