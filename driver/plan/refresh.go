package plan

import (
	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/xml"
)

// Firewall returns the steps of a start that concern the firewall and what leads
// to guests, to be done again for a running network. All of them replace what is
// there.
func Firewall(def *xml.Network, reach *Reach) ([]Step, error) {
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
func (p *Plan) Firewall() []Step {
	var list []Step
	for _, s := range p.Steps {
		switch s.Undo.(type) {
		case UnsetZone, DelRules, UnfillChecksums:
			list = append(list, s)
		default:
			if Follows(s.Undo) {
				list = append(list, s)
			}
		}
	}
	return list
}

// Serve returns the steps of a start that write dnsmasq's files and start it;
// none where the network needs none. For a network whose dnsmasq died, or to
// see what the files of a living one should hold.
func Serve(def *xml.Network, facts Facts, dirs Dirs) ([]Step, error) {
	c := &compiler{def: def, ips: def.Subnets(), facts: facts, dirs: dnsmasq.Dirs(dirs), bridge: def.Bridge.Name}
	if err := c.named(); err != nil {
		return nil, err
	}
	err := c.dnsmasq()
	return c.steps, err
}

// Files returns what a start writes for dnsmasq; nothing where
// the network needs no dnsmasq.
func Files(def *xml.Network, dirs Dirs) ([]WriteFile, error) {
	if !dnsmasq.Wanted(def) {
		return nil, nil
	}
	c := &compiler{def: def, ips: def.Subnets(), dirs: dnsmasq.Dirs(dirs)}
	files, err := dnsmasq.Compile(def, c.dirs)
	if err != nil {
		return nil, err
	}
	c.addFiles(files)
	ops := make([]WriteFile, 0, len(c.steps))
	for _, s := range c.steps {
		ops = append(ops, s.Do.(WriteFile))
	}
	return ops, nil
}

// Router returns the steps of a start that switch IPv6 on or off for the bridge,
// and make the host a router. None has an undo.
func Router(def *xml.Network, reach *Reach, facts Facts) ([]Step, error) {
	c := &compiler{def: def, ips: def.Subnets(), reach: reach, facts: facts, bridge: def.Bridge.Name}
	for _, part := range []func() error{c.named, c.ipv6, c.forwarding} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return c.steps, nil
}

// Addresses returns the steps of a start that give the bridge its addresses.
func Addresses(def *xml.Network) ([]Step, error) {
	c := &compiler{def: def, ips: def.Subnets(), bridge: def.Bridge.Name}
	if err := c.named(); err != nil {
		return nil, err
	}
	err := c.addresses()
	return c.steps, err
}
