package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan prints virbr(1). Packages are made with it, so that the page says what
// --help says.
func newMan(io IO) *cobra.Command {
	return &cobra.Command{
		Use:    "man DATE",
		Short:  "Print the manual page virbr(1), in mdoc(7)",
		Hidden: true,
		Args:   exactly("DATE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return write(io.Out, manual(cmd.Root(), args[0]))
		},
	}
}

// page is a manual page in the making.
type page struct{ strings.Builder }

// macro writes a line of mdoc; words are escaped.
func (p *page) macro(name string, words ...string) {
	p.WriteString("." + name)
	for _, w := range words {
		fmt.Fprintf(p, " %q", roff(w))
	}
	p.WriteByte('\n')
}

// text writes paragraphs. What is indented stays as it is.
func (p *page) text(s string) {
	for paragraph := range strings.SplitSeq(strings.Trim(s, "\n"), "\n\n") {
		if strings.HasPrefix(paragraph, "  ") {
			p.example(paragraph)
			continue
		}
		p.macro("Pp")
		for line := range strings.Lines(paragraph) {
			p.WriteString(roff(strings.TrimSuffix(line, "\n")) + "\n")
		}
	}
}

func (p *page) example(s string) {
	p.WriteString(".Bd -literal -offset indent\n")
	for line := range strings.Lines(s) {
		p.WriteString(roff(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "  ")) + "\n")
	}
	p.macro("Ed")
}

// roff escapes a line of text: backslashes, hyphens that people may copy, and
// what begins like a macro.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, `"`, `\(dq`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

func manual(root *cobra.Command, date string) string {
	p := &page{}
	p.WriteString(".Dd " + roff(date) + "\n.Dt VIRBR 1\n.Os virbr\n.Sh NAME\n.Nm virbr\n.Nd ")
	p.WriteString(roff(strings.ToLower(root.Short[:1])+root.Short[1:]) + "\n")
	p.WriteString(".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar argument ...\n.Sh DESCRIPTION\n")
	p.text(root.Long)
	p.WriteString(".Sh COMMANDS\n")
	for _, cmd := range root.Commands() {
		p.command(cmd)
	}
	p.WriteString(".Sh EXIT STATUS\n0 for success, 1 when the work could not be done or a checked file is wrong, 2 for a\n" +
		"command line that makes no sense or a host that could not be looked at.\n.Sh EXAMPLES\n")
	p.example(root.Example)
	p.WriteString(".Sh SEE ALSO\n.Xr virsh 1 ,\n.Xr virbr\\-xml 5 ,\n.Xr virbrd 8\n")
	return p.String()
}

// command writes a command, and those below it.
func (p *page) command(cmd *cobra.Command) {
	if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
		return
	}
	if len(cmd.Commands()) == 0 || cmd.Long != "" {
		p.macro("Ss", strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		p.text(text)
		p.flags(cmd.NonInheritedFlags())
		if cmd.Example != "" {
			p.example(cmd.Example)
		}
	}
	for _, sub := range cmd.Commands() {
		p.command(sub)
	}
}

func (p *page) flags(set *pflag.FlagSet) {
	if !set.HasAvailableFlags() {
		return
	}
	p.WriteString(".Bl -tag -width indent\n")
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		p.macro("It", name)
		p.WriteString(roff(usage) + "\n")
	})
	p.macro("El")
}
