package doctor

import (
	"cmp"
	"slices"
	"strings"
)

// Severity says how bad a finding is.
type Severity string

// The severities, the worst first.
const (
	Problem Severity = "problem" // guests miss something now
	Warning Severity = "warning" // they will, or some of them do
	Hint    Severity = "hint"    // worth knowing; nobody may ever notice
)

func (s Severity) rank() int { return slices.Index([]Severity{Hint, Warning, Problem}, s) }

// Finding is one thing that is wrong.
type Finding struct {
	ID       string   `json:"id"` // of its kind: see [Catalogue]
	Severity Severity `json:"severity"`
	Network  string   `json:"network,omitempty"` // "": the whole host
	Step     string   `json:"step"`
	Text     string   `json:"text"`
	Evidence []string `json:"evidence"`       // values that were seen
	Mend     string   `json:"mend,omitempty"` // a command for root's shell
	Note     string   `json:"note,omitempty"` // what to know before running it
}

// Step is one part of the path of packets.
type Step struct {
	Name  string `json:"step"`
	State string `json:"state"` // "ok", "skipped", or the worst severity of its findings
	Text  string `json:"text"`  // what was seen
}

// Walk is what was seen along the path of a network's packets.
type Walk struct {
	Network string `json:"network"`
	UUID    string `json:"uuid,omitempty"`
	Mode    string `json:"mode,omitempty"`
	Bridge  string `json:"bridge,omitempty"`
	Active  bool   `json:"active"`
	Keeper  string `json:"keeper"` // "virbrd", "libvirt" or "nobody"
	Steps   []Step `json:"steps"`
}

// Report is what was found. Its JSON form is stable: fields are only added, and
// Version says when that is not enough.
type Report struct {
	Version   int       `json:"version"` // 1
	Way       Choice    `json:"way"`
	Host      []Step    `json:"host"`
	Networks  []Walk    `json:"networks"`
	Findings  []Finding `json:"findings"`
	Unchecked []string  `json:"unchecked"` // what could not be looked at, and why
}

// Count returns how many findings of a severity there are.
func (r *Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Well reports whether there are neither problems nor warnings.
func (r *Report) Well() bool { return r.Count(Problem)+r.Count(Warning) == 0 }

// Examine follows the packets of the named networks, or of all networks where none
// is named.
func Examine(facts *Facts, names ...string) *Report {
	r := &Report{Version: 1, Host: []Step{}, Networks: []Walk{}, Findings: []Finding{}, Unchecked: []string{}}
	r.Unchecked = append(r.Unchecked, facts.Unchecked...)
	r.Way = Choose(facts)
	r.Host = host(facts, r)
	for i := range facts.Networks {
		n := &facts.Networks[i]
		if len(names) == 0 || slices.Contains(names, n.Name) {
			r.Networks = append(r.Networks, walk(facts, n, r))
		}
	}
	return r
}

// walker takes one walk.
type walker struct {
	f       *Facts
	n       *Network
	r       *Report
	network string // of findings; "": the host's
	steps   []Step
	step    string
	worst   Severity
	said    []string // what is there, of the step
}

// take does one step. It is skipped where look returns false.
func (w *walker) take(name string, look func() bool) {
	w.step, w.worst, w.said = name, "", nil
	state := "ok"
	if !look() {
		state = "skipped"
	}
	if w.worst != "" {
		state = string(w.worst)
	}
	w.steps = append(w.steps, Step{Name: name, State: state, Text: strings.Join(w.said, "; ")})
}

// say adds to what is told of a step.
func (w *walker) say(text string) { w.said = append(w.said, text) }

// tell reports a finding of a kind.
func (w *walker) tell(k Kind, f Finding) {
	f.ID, f.Network, f.Step, f.Severity = k.ID, w.network, w.step, cmp.Or(f.Severity, k.Severity)
	if f.Evidence == nil {
		f.Evidence = []string{}
	}
	w.r.Findings = append(w.r.Findings, f)
	if w.worst == "" || f.Severity.rank() > w.worst.rank() {
		w.worst = f.Severity
	}
}
