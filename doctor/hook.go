package doctor

import (
	"cmp"

	"github.com/virbr/virbr/driver/plan"
)

// Hook is what virbr's hook is on this host: it adds to networks that libvirt's own
// daemon runs, and starts an agent that follows their guests.
type Hook struct {
	Scripts []string // of libvirt's hooks directory, those that call it
	Agent   Process  // PID 0: it does not run
}

// What the hook reports, and a daemon resolves, has one form.
type (
	Resolved = plan.Resolved
	Uplink   = plan.ResolvedUplink
)

// Resolutions is what the forwards, public addresses and uplinks of a network resolve to.
type Resolutions struct {
	Forwards, Publics []Resolved
	Uplinks           []Uplink
}

// hooked reports whether the network's extensions are for the hook to add.
func (w *walker) hooked() bool { return w.f.keeper(w.n) == KeeperLibvirt }

// hook looks at who adds the network's extensions to it.
func (w *walker) hook() bool {
	n := w.n
	switch {
	case !w.hooked() || !n.Extended && n.Added == nil:
		return false
	case len(w.f.Hook.Scripts) == 0:
		w.tell(hookMissing, Finding{
			Text:     "the network has extensions, but libvirt's daemon runs it and does not call virbr's hook, so nothing puts them in force",
			Evidence: []string{"no script in libvirt's hooks directory calls virbrd hook", "extensions in " + cmp.Or(n.File, "the network's metadata")},
			Mend:     "virbrd hook --install", Note: "this adds them to running networks now; libvirt itself finds hooks when it starts or is reloaded",
		})
		return true
	case n.Added == nil:
		w.tell(hookUncalled, Finding{
			Text:     "the network has extensions, but the hook was not called when it started, so they are not in force",
			Evidence: []string{"no report of the hook about the network", "it is called by " + w.f.Hook.Scripts[0]}, Mend: w.apply(),
			Note: "libvirt finds hooks when it starts or is reloaded",
		})
		return true
	}
	if n.Added.Error != "" {
		w.tell(hookFailed, Finding{
			Text: "the network's extensions could not be put in force; what was in force before still is", Evidence: []string{n.Added.Error},
			Mend: w.apply(),
			Note: "see to the reason first: change what is in " + cmp.Or(n.File, "the network's metadata, by virsh net-edit,") + " or on the host",
		})
	}
	if w.f.Hook.Agent.PID == 0 {
		w.tell(agentDead, Finding{
			Text:     "virbr's agent does not run: forwards do not follow guests, and rules that others remove stay away",
			Evidence: []string{"nobody holds the agent's lock"}, Mend: w.apply(),
		})
	} else {
		w.say(w.f.Hook.Agent.String() + " follows guests")
	}
	return true
}

// apply is the command that puts extensions in force now, and starts the agent.
func (w *walker) apply() string { return "virbrd hook --apply " + operand(w.n.Name) }
