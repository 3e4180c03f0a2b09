package plan

import (
	"cmp"
	"path"
	"slices"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/xml"
)

// Undo returns the ops that take back a plan that was applied in full, in the
// order in which they are to run: the undo record of a network.
func (p *Plan) Undo() []Op {
	var ops []Op
	for _, s := range slices.Backward(p.Steps) {
		if s.Undo != nil {
			ops = append(ops, s.Undo)
		}
	}
	return StopOrder(ops)
}

// Stop returns the ops that stop a running network for which there is no undo
// record, because another daemon started it. All of them tolerate what is not
// there.
func Stop(def *xml.Network, reach *Reach, dirs Dirs) []Op {
	bridge := def.Bridge.Name
	var ops []Op
	if shaped(def) {
		ops = append(ops, UnshapeNetwork{Bridge: bridge})
	}
	if !def.OwnsBridge() {
		return ops
	}
	if dnsmasq.Wanted(def) || def.Fault != nil && def.Fault.Partial {
		ops = append(ops, StopDnsmasq{PidFile: dnsmasq.Dirs(dirs).PidFile(def.Name)})
	}
	ops = append(ops, SetDown{Link: bridge})
	steps, err := Firewall(def, reach)
	if err != nil { // of a definition that is no longer accepted: what it may have
		steps = append(steps, Step{Undo: UnfillChecksums{Bridge: bridge}}, Step{Undo: DelRules{Bridge: bridge}}, Step{Undo: UnacceptElsewhere{Bridge: bridge}})
	}
	for _, s := range slices.Backward(steps) {
		if s.Undo != nil {
			ops = append(ops, s.Undo)
		}
	}
	return StopOrder(append(ops, DelLink{Name: bridge}))
}

// StopOrder returns undo ops in the order of libvirt's networkShutdownNetwork,
// each once: limits, dnsmasq, link down, rules, zone, bridge. Records that were
// put together from several plans, as after live changes, need it.
func StopOrder(ops []Op) []Op {
	var out []Op
	for _, op := range ops {
		if !slices.Contains(out, op) {
			out = append(out, op)
		}
	}
	slices.SortStableFunc(out, func(a, b Op) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// Follows reports whether an undo op is about what comes and goes while a network
// runs: with guests, and with what the extensions say.
func Follows(undo Op) bool {
	switch op := undo.(type) {
	case UnrouteGuest, UnrouteLoopback, UnproxyNeighbour, UnacceptElsewhere, UnsnoopGuests, UnhearRouters:
		return true
	case SetSysctl: // of earlier versions
		return path.Base(op.Key) == "route_localnet"
	}
	return false
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

// rank is an undo op's place in the order of stop. Other ops come first.
func rank(op Op) int {
	switch op.(type) {
	case UnshapeNetwork:
		return 1
	case StopDnsmasq:
		return 2
	case SetDown:
		return 3
	case UnfillChecksums:
		return 4
	case DelRules, UnacceptElsewhere, SetSysctl:
		return 5
	case UnsetZone:
		return 6
	case DelLink:
		return 7
	}
	return 0
}
