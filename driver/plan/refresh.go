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
func Firewall(def *xml.Network, resolution *Resolution) ([]step.Step, error) {
	c := &compiler{def: def, ips: def.Subnets(), resolution: resolution, bridge: def.Bridge.Name}
	if err := c.named(); err != nil {
		return nil, err
	}
	if def.Forward.Mode.Routed() {
		if err := c.firewall(); err != nil {
			return nil, err
		}
		c.hear()
	} else if def.OwnsBridge() {
		if err := c.guardPorts(); err != nil {
			return nil, err
		}
	}
	if err := c.answers(); err != nil {
		return nil, err
	}
	err := c.routing()
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
// see what the files of a living one should hold; whether the host has a dnsmasq that
// will do is left open where there are no facts.
func Serve(def *xml.Network, facts *step.Facts, dirs Dirs) ([]step.Step, error) {
	c := &compiler{def: def, ips: def.Subnets(), dirs: dnsmasq.Dirs(dirs), bridge: def.Bridge.Name}
	err := c.named()
	if err == nil {
		err = c.serve(facts)
	}
	return c.steps, err
}

// Running returns the steps of a start whose results can change while a network runs,
// in an order in which they can be done then. Led are those of [Firewall]. What was
// compiled before is compiled without facts: what the host could refuse it has
// accepted.
func Running(def *xml.Network, resolution *Resolution, led []step.Step, facts *step.Facts, dirs Dirs) ([]step.Step, error) {
	c := &compiler{def: def, ips: def.Subnets(), resolution: resolution, dirs: dnsmasq.Dirs(dirs), bridge: def.Bridge.Name}
	if facts != nil {
		c.facts = *facts
	}
	parts := []func() error{c.named, c.mtu, c.ipv6, c.removableAddresses, func() error { c.add(led...); return nil },
		func() error { return c.serve(facts) }, c.spanning, c.removableRoutes, c.bandwidth}
	if def.Forward.Mode.Routed() {
		parts = slices.Insert(parts, 3, c.forwarding)
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return c.steps, nil
}

// spanning adds the bridge's STP and delay. While STP is on the kernel takes delays
// within its bounds only, and so no order is right for all: those that a start ends
// up with are the delay before STP where that is to be on, and after it where not.
func (c *compiler) spanning() error {
	delay := step.SetBridge{Bridge: c.bridge, Attr: "forward_delay", Value: forwardDelay(c.def)}
	stp := step.SetBridge{Bridge: c.bridge, Attr: "stp_state", Value: 1}
	if c.def.Bridge.NoSTP {
		stp.Value = 0
		c.add(step.Step{Do: stp}, step.Step{Do: delay})
		return nil
	}
	delay.Value = min(max(delay.Value, minDelay), maxDelay)
	c.add(step.Step{Do: delay}, step.Step{Do: stp})
	return nil
}

// Bounds of the delay of a bridge with STP, in centiseconds (BR_MIN_FORWARD_DELAY and
// BR_MAX_FORWARD_DELAY of the kernel's net/bridge/br_private_stp.h).
const (
	minDelay = 200
	maxDelay = 3000
)

// removableRoutes adds static routes that may go before the bridge does.
func (c *compiler) removableRoutes() error {
	before := len(c.steps)
	err := c.routes()
	for i := range c.steps[before:] {
		s := &c.steps[before+i]
		s.Undo = step.DelRoute(s.Do.(step.AddRoute))
	}
	return err
}

// defaultMTU is what a bridge has without another one, in bytes.
const defaultMTU = 1500

// mtu adds the bridge's MTU, and that it has none of its own after that.
func (c *compiler) mtu() error {
	if c.def.MTU > 0 {
		c.add(step.Step{Do: step.SetMTU{Link: c.bridge, MTU: c.def.MTU}, Undo: step.SetMTU{Link: c.bridge, MTU: defaultMTU}})
	}
	return nil
}
