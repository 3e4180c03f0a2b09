package plan

import (
	"path"
	"slices"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Kept returns the steps of a start whose results a running network needs for as long as
// it runs, but for the bridge itself and what filters and leads to guests: that the
// bridge is up, its attributes, addresses, routes and limits, that the host forwards, and
// dnsmasq. Whether the host has a dnsmasq that will do is left open where there are no
// facts. All that [Running] has is here, too: a change of it may have been cut short.
func Kept(live *xml.Network, resolution *Resolution, facts *step.Facts, dirs Dirs) ([]step.Step, error) {
	c := &compiler{def: live, ips: live.Subnets(), resolution: resolution, dirs: dnsmasq.Dirs(dirs), bridge: live.Bridge.Name}
	parts := []func() error{c.named, c.mtu, c.ipv6, c.up, c.removableAddresses, c.routesLast}
	if live.Forward.Mode.Routed() {
		parts = append(parts, c.forwarding, c.forwardingOfBridge)
	}
	parts = append(parts, func() error { return c.serve(facts) }, c.spanning, c.bandwidth)
	for _, part := range parts {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return c.steps, nil
}

// routesLast moves routes behind the addresses that they need.
func (c *compiler) routesLast() error {
	isRoute := func(s step.Step) bool { _, route := s.Do.(step.AddRoute); return route }
	routes := slices.DeleteFunc(slices.Clone(c.steps), func(s step.Step) bool { return !isRoute(s) })
	c.steps = append(slices.DeleteFunc(c.steps, isRoute), routes...)
	return nil
}

// forwardingOfBridge has IPv4 forwarded from the bridge, where somebody switched that off
// for this link.
func (c *compiler) forwardingOfBridge() error {
	if i := slices.IndexFunc(c.steps, func(s step.Step) bool { op, ok := s.Do.(step.SetSysctl); return ok && op.Key == "net/ipv4/ip_forward" }); i >= 0 {
		own := step.Step{Do: step.SetSysctl{Key: path.Join("net/ipv4/conf", c.bridge, "forwarding"), Value: "1", IfExists: true}}
		c.steps = slices.Insert(c.steps, i+1, own)
	}
	return nil
}
