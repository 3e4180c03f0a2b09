package driver

import (
	"context"
	"fmt"
	"slices"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// used counts the ports that are plugged into each device of the host, by netdev
// or PCI address.
func (p ports) used() map[string]int {
	used := make(map[string]int)
	for _, port := range p {
		if key := plugKey(&port.Plug); key != "" {
			used[key]++
		}
	}
	return used
}

// plugKey names the device of a plug; "": a bridge, or nothing.
func plugKey(g *xml.Plug) string {
	switch {
	case g.Type == xml.PlugDirect:
		return g.Dev
	case g.Type == xml.PlugHostdevPCI && g.PCI != nil:
		return g.PCI.String()
	}
	return ""
}

// entryKey names a device of a pool.
func entryKey(in xml.ForwardInterface) string {
	if in.PCI != nil {
		return in.PCI.String()
	}
	return in.Dev
}

// count returns a running definition whose counters tell how many ports are
// plugged in. They follow from the ports alone, so they cannot go wrong.
func count(live *xml.Network, list ports) *xml.Network {
	next := *live
	next.Connections = len(list)
	if len(live.Forward.Interfaces) == 0 {
		return &next
	}
	used := list.used()
	next.Forward.Interfaces = slices.Clone(live.Forward.Interfaces)
	for i := range next.Forward.Interfaces {
		in := &next.Forward.Interfaces[i]
		if in.PCI == nil {
			in.Connections = used[in.Dev]
		}
	}
	return &next
}

// pooled reports whether a network gives its guests devices out of a pool.
func pooled(live *xml.Network) bool {
	mode := live.Forward.Mode
	return !mode.Routed() && (mode != xml.ForwardBridge || live.Bridge.Name == "")
}

// checkPool refuses a definition that would give guests a PCI device that is no
// virtual function: the host may depend on such a one.
func (d *Driver) checkPool(def *xml.Network) error {
	for _, in := range def.Forward.Interfaces {
		if in.PCI != nil && !d.sys.VirtualFunction(*in.PCI) {
			return &Error{Kind: KindConfigUnsupported, Msg: fmt.Sprintf(
				"device '/sys/bus/pci/devices/%s' in network '%s' is not an SR-IOV Virtual Function", in.PCI, def.Name)}
		}
	}
	return nil
}

// expand fills in the pool of an SR-IOV physical function, where the start of
// the network did not.
func (d *Driver) expand(ctx context.Context, live *xml.Network) (*xml.Network, error) {
	if !pooled(live) || live.Forward.PF == "" || len(live.Forward.Interfaces) > 0 {
		return live, nil
	}
	facts, err := d.sys.Facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for virtual functions of %q: %w", live.Forward.PF, err)
	}
	return plan.Live(live, facts)
}

// exclusive reports whether a port must have its device for itself.
func exclusive(live *xml.Network, p *xml.Port) bool {
	switch live.Forward.Mode {
	case xml.ForwardPassthrough:
		return true
	case xml.ForwardPrivate:
		return p.VirtualPort != nil && p.VirtualPort.Type == type8021Qbh
	case xml.ForwardNone, xml.ForwardNAT, xml.ForwardRoute, xml.ForwardOpen, xml.ForwardBridge, xml.ForwardVEPA, xml.ForwardHostdev:
	}
	return false
}

// idlest returns the first of the devices that have the fewest ports: an unused
// one, if there is any.
func idlest(live *xml.Network, used map[string]int) (best xml.ForwardInterface, ok bool) {
	for _, in := range live.Forward.Interfaces {
		if (in.PCI != nil) != (live.Forward.Mode == xml.ForwardHostdev) {
			continue // not of this mode's kind; only hand-made status files have such
		}
		if !ok || used[entryKey(in)] < used[entryKey(best)] {
			best, ok = in, true
		}
	}
	return best, ok
}

// reclaim checks the plug of a port that was there before. used counts the other
// ports. Source: libvirt's networkNotifyPort.
func reclaim(live *xml.Network, used map[string]int, p *xml.Port) error {
	name, dev := live.Name, plugKey(&p.Plug)
	switch p.Plug.Type {
	case xml.PlugNone:
		return internal("Unexpectedly got a network port without a plug")
	case xml.PlugNetwork, xml.PlugBridge:
		if live.Bridge.Name == "" {
			return internal("Unexpectedly got a network port without a network bridge")
		}
	case xml.PlugDirect:
		if !contains(live, &p.Plug) {
			return internal("network '%s' doesn't have dev='%s' in use by network port '%s'", name, dev, p.UUID)
		}
		if exclusive(live, p) && used[dev] > 0 {
			return internal("network '%s' claims dev='%s' is already in use by a different port", name, dev)
		}
	case xml.PlugHostdevPCI:
		if !contains(live, &p.Plug) {
			return internal("network '%s' doesn't have PCI device %s in use by network port", name, dev)
		}
		if used[dev] > 0 {
			a := p.Plug.PCI
			return internal("network '%s' claims the PCI device at domain=%d bus=%d slot=%d function=%d is already in use by a different network port",
				name, a.Domain, a.Bus, a.Slot, a.Function)
		}
	}
	return nil
}

// release refuses to delete a port whose device is no longer in the pool.
// Source: libvirt's networkReleasePort.
func release(live *xml.Network, p *xml.Port) error {
	direct, hostdev := p.Plug.Type == xml.PlugDirect, p.Plug.Type == xml.PlugHostdevPCI
	switch {
	case !direct && !hostdev || contains(live, &p.Plug):
		return nil
	case len(live.Forward.Interfaces) == 0:
		return internal("network '%s' uses a direct/hostdev mode, but has no forward dev and no interface pool", live.Name)
	case direct:
		return internal("network '%s' doesn't have dev='%s' in use by domain", live.Name, p.Plug.Dev)
	}
	return internal("network '%s' doesn't have PCI device %s in use by domain", live.Name, plugKey(&p.Plug))
}

// contains reports whether the device of a plug is in the pool.
func contains(live *xml.Network, g *xml.Plug) bool {
	return slices.ContainsFunc(live.Forward.Interfaces, func(in xml.ForwardInterface) bool {
		return (in.PCI != nil) == (g.Type == xml.PlugHostdevPCI) && entryKey(in) == plugKey(g)
	})
}

func noPool(live *xml.Network) error {
	return internal("network '%s' uses a direct mode, but has no forward dev and no interface pool", live.Name)
}

func noneFree(live *xml.Network) error {
	return internal("network '%s' requires exclusive access to interfaces, but none are available", live.Name)
}

func internal(format string, args ...any) error {
	return &Error{Kind: KindInternal, Msg: fmt.Sprintf(format, args...)}
}
