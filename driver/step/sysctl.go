package step

import "path"

var sysctlOps = []Op{SetSysctl{}}

// SetSysctl writes a sysctl, given as a path below /proc/sys. With IfExists a
// missing file is no error.
type SetSysctl struct {
	Key, Value string
	IfExists   bool
}

// What is below a link's own directory goes with the link. Earlier versions of this
// program set route_localnet for networks with forwards.
func (o SetSysctl) kind() kind {
	k := kind{tag: "set-sysctl", key: "sysctl " + word(o.Key), scope: ScopeHost, phase: PhaseRules}
	switch path.Base(o.Key) {
	case "route_localnet":
		k.scope = ScopeGuests
	case "disable_ipv6", "accept_ra", "autoconf":
		k.scope = ScopeLink
	}
	return k
}

func (o SetSysctl) String() string {
	text := "sysctl " + word(o.Key) + " = " + word(o.Value)
	if o.IfExists {
		text += " (if present)"
	}
	return text
}
