package step

var zoneOps = []Op{SetZone{}, UnsetZone{}}

// SetZone puts an interface into a firewalld zone. An empty Zone means
// libvirt's own choice: "libvirt-routed" for Routed networks where firewalld
// has it, else "libvirt", and nothing where firewalld does not run.
type SetZone struct {
	Link, Zone string
	Routed     bool
	Network    string // the network's name, for messages

	// Own: where firewalld lacks libvirt's zones, virbr's own is taken, and made
	// if need be. Otherwise that is an error.
	Own bool `json:",omitzero"`
}

func (o SetZone) kind() kind {
	return kind{tag: "set-zone", key: "zone " + word(o.Link), scope: ScopeFirewall}
}

func (o SetZone) String() string {
	zone := "libvirt (if firewalld runs)"
	switch {
	case o.Zone != "":
		zone = word(o.Zone)
	case o.Routed:
		zone = "libvirt-routed (if firewalld runs)"
	}
	return "zone set " + word(o.Link) + " " + zone
}

// UnsetZone takes an interface out of its firewalld zone.
type UnsetZone struct{ Link string }

func (o UnsetZone) kind() kind {
	return kind{tag: "unset-zone", key: "zone " + word(o.Link), scope: ScopeFirewall, phase: PhaseZone}
}

func (o UnsetZone) String() string { return "zone unset " + word(o.Link) }
