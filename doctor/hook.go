package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
)

// Hook is what virbr's hook is on this host: it adds to networks that libvirt's own
// daemon runs, and starts an agent that follows their guests.
type Hook struct {
	Scripts []string // of libvirt's hooks directory, those that call it
	Agent   Process  // PID 0: it does not run
}

// Added is what came of a network's extensions where the hook adds them: what it and
// its agent report.
type Added struct {
	From    string   `json:"from"` // "metadata" or "file"
	File    string   `json:"file"`
	Error   string   `json:"error"` // "": it is as it should be; else what was there before is still in force
	Notes   []string `json:"notes"`
	Waiting []string `json:"waiting"` // guests whose address is not known

	Forwards []Resolved `json:"forwards"` // that are in force, or wait
	Publics  []Resolved `json:"publics"`
	Uplinks  []Uplink   `json:"uplinks"`
}

// Uplink is what an uplink comes to in one family.
type Uplink struct {
	XML     string     `json:"xml"` // <virbr:uplink>
	IPv6    bool       `json:"ipv6"`
	Used    bool       `json:"used"`  // guests leave by it
	Since   int64      `json:"since"` // seconds since the epoch, where they do
	Gateway netip.Addr `json:"gateway"`
	Reason  string     `json:"reason"` // why it cannot carry the family
}

// Resolutions is what the forwards, public addresses and uplinks of a network resolve to.
type Resolutions struct {
	Forwards, Publics []Resolved
	Uplinks           []Uplink
}

// Resolved is what a forward or a public address comes to.
type Resolved struct {
	XML       string       `json:"xml"` // <virbr:portForward>, <virbr:address>
	Active    bool         `json:"active"`
	Addresses []netip.Addr `json:"addresses"` // of the guest
	Reason    string       `json:"reason"`    // why it is not active, or not all of it
}

// ParseAdded reads a report of the hook's.
func ParseAdded(data []byte) (*Added, error) {
	a := &Added{}
	if err := json.Unmarshal(data, a); err != nil {
		return nil, fmt.Errorf("reading a report of the hook: %w", err)
	}
	return a, nil
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
