package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/topology"
)

// chart prints what the doctor found for people.
type chart struct {
	painter painter
	verbose bool
	hinted  map[string]bool // hints that were printed, by what they say
	b       strings.Builder
}

// Marks of steps and findings.
const (
	markFine    = "ok"
	markSkipped = "-"
)

func (c *chart) report(r *doctor.Report) string {
	c.heading("this host", "")
	c.steps(r, "", r.Host)
	for i := range r.Networks {
		n := &r.Networks[i]
		about := []string{}
		for _, word := range []string{n.Mode, n.Bridge} {
			if word != "" && word != "none" {
				about = append(about, word)
			}
		}
		if n.Active {
			about = append(about, "kept by "+n.Keeper)
		}
		c.heading("network "+topology.Printable(n.Network), strings.Join(about, ", "))
		c.steps(r, n.Network, n.Steps)
	}
	for _, text := range r.Unchecked {
		fmt.Fprintf(&c.b, "\nnot looked at: %s\n", topology.Printable(text))
	}
	c.summary(r)
	return c.b.String()
}

func (c *chart) heading(text, about string) {
	if c.b.Len() > 0 {
		c.b.WriteByte('\n')
	}
	c.b.WriteString(c.painter.bold(text))
	if about != "" {
		c.b.WriteString(" (" + topology.Printable(about) + ")")
	}
	c.b.WriteByte('\n')
}

// steps prints a walk: a line for each step, and below it the findings.
func (c *chart) steps(r *doctor.Report, network string, steps []doctor.Step) {
	for _, s := range steps {
		var mark string
		text := topology.Printable(s.Text)
		switch s.State {
		case "ok":
			mark = c.painter.green(markFine)
		case "skipped":
			if !c.verbose {
				continue
			}
			mark, text = markSkipped, cmp.Or(text, "nothing to look at")
		default:
			mark = c.colour(doctor.Severity(s.State), s.State)
		}
		line := fmt.Sprintf("  %-11s %s", s.Name, mark)
		if text != "" && (c.verbose || s.State == "ok") {
			line += "  " + text
		}
		c.b.WriteString(line + "\n")
		for _, f := range r.Findings {
			if f.Network == network && f.Step == s.Name {
				c.finding(f)
			}
		}
	}
}

// finding prints one. A hint is printed in short, once for all networks: most hosts have
// some, and nothing needs to be done about them.
func (c *chart) finding(f doctor.Finding) {
	const width, indent = 78, "      "
	short := f.Severity == doctor.Hint && !c.verbose
	if short {
		key := f.ID + " " + f.Text
		if c.hinted[key] {
			return
		}
		if c.hinted == nil {
			c.hinted = map[string]bool{}
		}
		c.hinted[key] = true
	}
	c.b.WriteString("    " + c.colour(f.Severity, string(f.Severity)) + " " + c.painter.bold(f.ID) + "\n")
	for _, line := range wrap(topology.Printable(f.Text), width-len(indent)) {
		c.b.WriteString(indent + line + "\n")
	}
	if short {
		return
	}
	for _, e := range f.Evidence {
		c.b.WriteString(indent + "seen: " + topology.Printable(e) + "\n")
	}
	if f.Mend != "" {
		c.b.WriteString(indent + "mend: " + c.painter.bold(topology.Printable(f.Mend)) + "\n")
	}
	for i, line := range wrap(topology.Printable(f.Note), width-len(indent)-6) {
		if i == 0 {
			c.b.WriteString(indent + "note: " + line + "\n")
		} else {
			c.b.WriteString(indent + "      " + line + "\n")
		}
	}
}

func (c *chart) colour(s doctor.Severity, text string) string {
	switch s {
	case doctor.Problem:
		return c.painter.red(text)
	case doctor.Warning:
		return c.painter.yellow(text)
	case doctor.Hint:
	}
	return text
}

func (c *chart) summary(r *doctor.Report) {
	var parts []string
	for _, s := range []doctor.Severity{doctor.Problem, doctor.Warning, doctor.Hint} {
		if n := r.Count(s); n == 1 {
			parts = append(parts, "1 "+string(s))
		} else if n > 1 {
			parts = append(parts, fmt.Sprintf("%d %ss", n, s))
		}
	}
	text := strings.Join(parts, ", ")
	nothing := "no problems found"
	if slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.ID == "rules-unexamined" }) {
		nothing = "no problems found in what could be examined"
	}
	switch {
	case len(parts) == 0 && len(r.Networks) == 0:
		text = "no networks here"
	case len(parts) == 0:
		text = c.painter.green(nothing)
	case r.Well():
		text = c.painter.green(nothing) + "; " + text
	}
	c.b.WriteString("\n" + text + "\n")
	if len(parts) > 0 {
		c.b.WriteString("virbr doctor --explain ID explains a finding\n")
	}
	if r.Count(doctor.Hint) > 0 && !c.verbose {
		c.b.WriteString("virbr doctor --verbose shows the evidence of hints, and how to fix them\n")
	}
}

// wrap breaks text into lines of at most some bytes, at blanks.
func wrap(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		if n := len(lines); n > 0 && len(lines[n-1])+1+len(word) <= width {
			lines[n-1] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
