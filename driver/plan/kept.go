package plan

import (
	"path"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Kept returns the ops of a start whose results a running network needs for as long as
// it runs, in their order: the bridge, that it is up, its addresses and routes, and
// that the host forwards.
func Kept(live *xml.Network, reach *Reach) ([]step.Op, error) {
	c := &compiler{def: live, ips: live.Subnets(), reach: reach, bridge: live.Bridge.Name}
	if err := c.named(); err != nil {
		return nil, err
	}
	parts := []func() error{c.ipv6, c.up, c.addresses}
	if live.Forward.Mode.Routed() {
		parts = append(parts, c.forwarding)
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return nil, err
		}
	}
	ops := []step.Op{step.AddBridge{Name: c.bridge, MAC: live.MAC}}
	var routes []step.Op
	for _, s := range c.steps {
		switch op := s.Do.(type) {
		case step.SetSysctl:
			if path.Base(op.Key) == "disable_ipv6" && op.Value == "1" {
				continue // who gives the bridge an address by hand needs it
			}
			ops = append(ops, op)
			if op.Key == "net/ipv4/ip_forward" {
				ops = append(ops, step.SetSysctl{Key: path.Join("net/ipv4/conf", c.bridge, "forwarding"), Value: "1", IfExists: true})
			}
		case step.AddRoute: // an address first
			routes = append(routes, op)
		case step.SetUp, step.AddAddress, step.HearRouters:
			ops = append(ops, op)
		}
	}
	return append(ops, routes...), nil
}
