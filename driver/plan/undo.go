package plan

import (
	"slices"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Stop returns the ops that stop a running network for which there is no undo
// record, because another daemon started it. All of them tolerate what is not
// there.
func Stop(def *xml.Network, resolution *Resolution, dirs Dirs) []step.Op {
	bridge := def.Bridge.Name
	var ops []step.Op
	if shaped(def) {
		ops = append(ops, step.UnshapeNetwork{Bridge: bridge})
	}
	if !def.OwnsBridge() {
		return ops
	}
	if dnsmasq.Wanted(def) || def.Fault != nil && def.Fault.Partial {
		ops = append(ops, step.StopDnsmasq{PidFile: dnsmasq.Dirs(dirs).PidFile(def.Name)})
	}
	ops = append(ops, step.SetDown{Link: bridge})
	steps, err := Firewall(def, resolution)
	if err != nil { // of a definition that is no longer accepted: what it may have
		steps = append(steps, step.Step{Undo: step.UnfillChecksums{Bridge: bridge}}, step.Step{Undo: step.DelRules{Bridge: bridge}}, step.Step{Undo: step.UnacceptInForeignTables{Bridge: bridge}})
	}
	for _, s := range slices.Backward(steps) {
		if s.Undo != nil {
			ops = append(ops, s.Undo)
		}
	}
	return step.StopOrder(append(ops, step.DelLink{Name: bridge}))
}
