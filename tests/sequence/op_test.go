package sequence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/virbr/virbr/xml"
)

// kind is what an op does.
type kind int

const (
	defineIt kind = iota
	create
	start
	destroy
	undefine
	autostart
	update // also of forwards
	title
	portCreate
	portDelete
	apply
	tried // applied, and undone before it was confirmed
	flush // what others do
	dropTable
	dropRule
	dropLink
	killDnsmasq
	lease
	restart // what happens to daemons
	crash
	reload
	kinds // how many there are
)

var kindNames = [kinds]string{
	"define", "create", "start", "destroy", "undefine", "autostart", "update", "title", "port-create", "port-delete", "apply", "tried",
	"flush", "drop-table", "drop-rule", "drop-link", "kill-dnsmasq", "lease", "restart", "crash", "reload",
}

// weights say how often kinds of ops come.
var weights = [kinds]int{
	defineIt: 6, create: 3, start: 10, destroy: 5, undefine: 2, autostart: 2, update: 24, title: 2, portCreate: 5, portDelete: 3, apply: 6, tried: 4,
	flush: 3, dropTable: 2, dropRule: 3, dropLink: 1, killDnsmasq: 1, lease: 5, restart: 3, crash: 2, reload: 2,
}

// meanwhile is what may happen while there is no daemon, by an op's value.
var meanwhile = [...]kind{restart, flush, dropTable, killDnsmasq, dropLink}

func (k kind) ofDaemon() bool { return k >= restart }
func (k kind) ofOthers() bool { return k >= flush && k < restart }

// op is one step of a sequence. What it does is up to it alone, so that any part
// of a sequence is one, too.
type op struct {
	Kind    kind
	Net     int
	Section section
	Command xml.UpdateCommand
	Key     int
	Value   int
	Affect  affect
	Crash   int // the daemon is killed so many microseconds after it was asked, or after its start; 0: it is not
}

// String returns the op as a line of a file of testdata.
func (o op) String() string {
	var b strings.Builder
	b.WriteString(kindNames[o.Kind])
	if o.Kind != flush && o.Kind != dropTable && (!o.Kind.ofDaemon() || o.Value > 0) {
		b.WriteString(" net=" + networks[o.Net].name)
	}
	if o.Kind == update {
		fmt.Fprintf(&b, " section=%s command=%s", sectionNames[o.Section], o.Command)
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"key", o.Key}, {"value", o.Value}, {"affect", int(o.Affect)}, {"crash", o.Crash}} {
		if n.value != 0 {
			fmt.Fprintf(&b, " %s=%d", n.name, n.value)
		}
	}
	return b.String()
}

// parseOp reads a line.
func parseOp(line string) (o op, err error) {
	words := strings.Fields(line)
	if o.Kind = kind(slices.Index(kindNames[:], words[0])); o.Kind < 0 {
		return o, fmt.Errorf("no op %q", words[0])
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		number, notNumber := strconv.Atoi(value)
		ok := notNumber == nil
		switch name {
		case "net":
			o.Net = slices.IndexFunc(networks[:], func(n outline) bool { return n.name == value })
			ok = o.Net >= 0
		case "section":
			o.Section = section(slices.Index(sectionNames[:], value))
			ok = o.Section >= 0
		case "command":
			o.Command, ok = xml.ParseUpdateCommand(value)
		case "key":
			o.Key = number
		case "value":
			o.Value = number
		case "affect":
			o.Affect = affect(number)
		case "crash":
			o.Crash = number
		default:
			ok = false
		}
		if !ok {
			return o, fmt.Errorf("no %q for op %q", word, words[0])
		}
	}
	return o, nil
}

// parseOps reads the lines of a file; # begins a comment.
func parseOps(text string) (ops []op, err error) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		o, err := parseOp(line)
		if err != nil {
			return nil, err
		}
		ops = append(ops, o)
	}
	return ops, nil
}

func lines(ops []op) string {
	var b strings.Builder
	for _, o := range ops {
		b.WriteString(o.String() + "\n")
	}
	return b.String()
}

// random returns the sequence of a seed.
func random(seed uint64, length int) []op {
	r := rand.New(rand.NewPCG(seed, 0))
	var ops []op
	for net := range networks { // or most of it would be refused
		if r.IntN(4) > 0 {
			ops = append(ops, op{Kind: defineIt, Net: net, Value: r.IntN(variants)}, op{Kind: start, Net: net})
		}
	}
	for len(ops) < length {
		ops = append(ops, randomOp(r))
	}
	return ops
}

func randomOp(r *rand.Rand) op {
	total := 0
	for _, w := range weights {
		total += w
	}
	o := op{Net: r.IntN(len(networks))}
	for at := r.IntN(total); at >= weights[o.Kind]; o.Kind++ {
		at -= weights[o.Kind]
	}
	switch o.Kind {
	case defineIt, create, apply, tried:
		o.Value = r.IntN(variants)
	case autostart:
		o.Value = r.IntN(2)
	case lease, dropRule:
		o.Key, o.Value = r.IntN(keys), r.IntN(2)
	case title:
		o.Value, o.Affect = r.IntN(3), affect(r.IntN(4))
	case portCreate, portDelete:
		o.Key = r.IntN(keys)
	case update:
		o.randomUpdate(r)
	case restart, crash:
		o.Value = max(0, r.IntN(2*len(meanwhile))-len(meanwhile))
		if o.Kind == crash && r.IntN(3) == 0 {
			o.Crash = 1<<r.IntN(16) + r.IntN(5_000) // a start of virbrd takes some twenty milliseconds
		}
	default:
	}
	if !o.Kind.ofDaemon() && !o.Kind.ofOthers() && r.IntN(12) == 0 {
		o.Crash = 1<<r.IntN(14) + r.IntN(2_000) // most calls take one or two milliseconds, a start some ten
	}
	return o
}

func (o *op) randomUpdate(r *rand.Rand) {
	o.Section, o.Key, o.Value, o.Affect = section(r.IntN(int(sections))), r.IntN(keys), r.IntN(2), affect(r.IntN(4))
	if r.IntN(4) == 0 || !networks[o.Net].forwards && o.Section == forwards {
		o.Section = hosts
	}
	if r.IntN(4) == 0 && networks[o.Net].forwards {
		o.Section = forwards
	}
	commands := []xml.UpdateCommand{xml.UpdateAddFirst, xml.UpdateAddLast, xml.UpdateAddLast, xml.UpdateDelete, xml.UpdateModify}
	if fixed[o.Section] {
		commands, o.Value = commands[:4], 0
	}
	o.Command = commands[r.IntN(len(commands))]
}
