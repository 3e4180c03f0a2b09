package plan

import (
	"slices"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Firewall returns the steps of a start that concern the firewall and what leads
// to guests, to be done again for a running network. All of them replace what is
// there.
func Firewall(def *xml.Network, reach *Reach) ([]step.Step, error) {
	c := &compiler{def: def, ips: def.Subnets(), reach: reach, bridge: def.Bridge.Name}
	if err := c.named(); err != nil {
		return nil, err
	}
	if def.Forward.Mode.Routed() {
		if err := c.firewall(); err != nil {
			return nil, err
		}
		c.hear()
	}
	err := c.answers()
	return c.steps, err
}

// Firewall returns the steps of a whole start that [Firewall] returns.
func (p *Plan) Firewall() []step.Step {
	return slices.DeleteFunc(slices.Clone(p.Steps), func(s step.Step) bool {
		scope := step.ScopeOf(s.Do)
		return s.Undo == nil || scope != step.ScopeFirewall && scope != step.ScopeGuests
	})
}

// Serve returns the steps of a start that write dnsmasq's files and start it;
// none where the network needs none. For a network whose dnsmasq died, or to
// see what the files of a living one should hold.
func Serve(def *xml.Network, facts step.Facts, dirs Dirs) ([]step.Step, error) {
	c := &compiler{def: def, ips: def.Subnets(), facts: facts, dirs: dnsmasq.Dirs(dirs), bridge: def.Bridge.Name}
	if err := c.named(); err != nil {
		return nil, err
	}
	err := c.dnsmasq()
	return c.steps, err
}

// Files returns what a start writes for dnsmasq; nothing where
// the network needs no dnsmasq.
func Files(def *xml.Network, dirs Dirs) ([]step.WriteFile, error) {
	if !dnsmasq.Wanted(def) {
		return nil, nil
	}
	c := &compiler{def: def, ips: def.Subnets(), dirs: dnsmasq.Dirs(dirs)}
	files, err := dnsmasq.Compile(def, c.dirs)
	if err != nil {
		return nil, err
	}
	c.addFiles(files)
	ops := make([]step.WriteFile, 0, len(c.steps))
	for _, s := range c.steps {
		ops = append(ops, s.Do.(step.WriteFile))
	}
	return ops, nil
}

// Router returns the steps of a start that switch IPv6 on or off for the bridge,
// and make the host a router. None has an undo.
func Router(def *xml.Network, reach *Reach, facts step.Facts) ([]step.Step, error) {
	c := &compiler{def: def, ips: def.Subnets(), reach: reach, facts: facts, bridge: def.Bridge.Name}
	for _, part := range []func() error{c.named, c.ipv6, c.forwarding} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return c.steps, nil
}

// Addresses returns the steps of a start that give the bridge its addresses.
func Addresses(def *xml.Network) ([]step.Step, error) {
	c := &compiler{def: def, ips: def.Subnets(), bridge: def.Bridge.Name}
	if err := c.named(); err != nil {
		return nil, err
	}
	err := c.addresses()
	return c.steps, err
}
