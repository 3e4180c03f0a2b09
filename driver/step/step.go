package step

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Op is one small change to the host. Each op prints as one line and survives
// a round trip through JSON (see [MarshalOps]), because records are data.
type Op interface {
	String() string
	kind() kind // closes the set: every op is declared in this package
}

// kind is what is fixed about an op, but for the key.
type kind struct {
	tag   string // its name in JSON, for ever: records of older versions are read by newer ones
	key   string // see [Key]
	scope Scope
	phase Phase // of an op that takes something back
	once  bool  // see [Repeatable]
}

// Scope is what part of a network an op is about.
type Scope uint8

// The scopes.
const (
	ScopeLink     Scope = iota // that the bridge is there and up, and its attributes
	ScopeAddress               // its addresses and routes
	ScopeFirewall              // rules of ours, the firewalld zone, checksums
	ScopeGuests                // what comes and goes while a network runs: with guests, and with its extensions
	ScopeService               // dnsmasq, its files, and who is told of it
	ScopeShape                 // limits of bandwidth
	ScopeHost                  // settings of the host that stay
	ScopeMoment                // nothing that lasts
)

// Phase is when something is taken back while a network stops, in the order of
// libvirt's networkShutdownNetwork.
type Phase uint8

// The phases, in order.
const (
	PhaseFirst Phase = iota
	PhaseShape
	PhaseDnsmasq
	PhaseDown
	PhaseChecksums
	PhaseRules
	PhaseRouting
	PhaseZone
	PhaseLink
)

// Key names what an op is about: ops with the same key make, change and remove the
// same thing.
func Key(op Op) string { return op.kind().key }

// ScopeOf returns what part of a network an op is about.
func ScopeOf(op Op) Scope { return op.kind().scope }

// PhaseOf returns when an op takes something back.
func PhaseOf(op Op) Phase { return op.kind().phase }

// SwitchesOff reports whether an op, where it changes something, takes away what other
// ops rely on until they are undone.
func SwitchesOff(op Op) bool {
	o, ok := op.(SetSysctl)
	return ok && path.Base(o.Key) == "disable_ipv6" && o.Value == "1"
}

// Repeatable reports whether an op may be done where it is in force already.
func Repeatable(op Op) bool { return !op.kind().once }

// Step is one op and how to take it back.
type Step struct {
	Do   Op
	Undo Op // nil: left behind on purpose, or undone by an earlier step's undo

	// Tolerate: a failure is logged and the rest goes on, as libvirt does.
	Tolerate bool

	// Fail is libvirt's wording for the failure of this step, to which the
	// errno's text is appended: "error creating bridge interface virbr0".
	// Empty: the op's own error stands.
	Fail string
}

// Ahead returns the undo op of a step that may not have been done: as written
// down before it is begun, for whoever comes after a crash.
func (s Step) Ahead() Op {
	made, bridge := s.Do.(AddBridge)
	gone, link := s.Undo.(DelLink)
	if bridge && link {
		gone.MAC = made.MAC
		return gone
	}
	return s.Undo
}

// Key names what a step is about.
func (s Step) Key() string {
	if s.Do == nil {
		return Key(s.Undo)
	}
	return Key(s.Do)
}

// Lasting reports whether what an op undoes would stay when the bridge goes. Only such
// steps have to be in a record for longer than they are being done.
func Lasting(undo Op) bool {
	scope := ScopeOf(undo)
	return scope != ScopeAddress && (scope != ScopeLink || PhaseOf(undo) != PhaseFirst)
}

// Undos returns what undoes steps, the last first.
func Undos(steps []Step) []Op {
	var ops []Op
	for _, s := range slices.Backward(steps) {
		if s.Undo != nil {
			ops = append(ops, s.Undo)
		}
	}
	return ops
}

// UndoSteps returns steps of which only the undo is known. The first op is that of the
// last step.
func UndoSteps(undo []Op) []Step {
	var steps []Step
	for _, op := range slices.Backward(undo) {
		steps = append(steps, Step{Undo: op})
	}
	return steps
}

// StopOrder returns undo ops in the order of their phases, one for each key: the
// first.
func StopOrder(ops []Op) []Op {
	seen := make(map[string]bool, len(ops))
	var out []Op
	for _, op := range ops {
		if key := Key(op); !seen[key] {
			seen[key] = true
			out = append(out, op)
		}
	}
	slices.SortStableFunc(out, func(a, b Op) int { return cmp.Compare(a.kind().phase, b.kind().phase) })
	return out
}

// word returns text as one printable word, quoted where it would not be one.
func word(text string) string {
	plain := func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r == 0x7f || !strconv.IsPrint(r) }
	if text == "" || strings.ContainsFunc(text, plain) {
		return strconv.Quote(text)
	}
	return text
}
