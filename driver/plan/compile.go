package plan

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// Compile returns the steps that start a network on a host with the given
// facts and its extensions resolved there (nil: it has none). The definition must be complete: names, MAC address and UUID chosen.
// Steps and errors come in the order of libvirt's networkStartNetworkVirtual
// and networkStartNetworkBridge, so what libvirt would report first is
// reported first. An error is an *[Error], an *[xml.Error] or of package
// firewall.
func Compile(def *xml.Network, resolution *Resolution, facts step.Facts, dirs Dirs) (*Plan, error) {
	c := &compiler{def: def, ips: def.Subnets(), resolution: resolution, facts: facts, dirs: dnsmasq.Dirs(dirs), bridge: def.Bridge.Name}
	var parts []func() error
	switch def.Forward.Mode {
	case xml.ForwardNone, xml.ForwardNAT, xml.ForwardRoute, xml.ForwardOpen:
		parts = []func() error{
			c.subnets, c.clashes, c.advertisable, c.link, c.ipv6, c.firewall, c.addresses, c.up,
			c.forwarding, c.answers, c.routing, c.dnsmasq, c.register, c.bandwidth,
		}
	case xml.ForwardBridge:
		parts = []func() error{c.pool}
		if def.Bridge.Create {
			parts = []func() error{
				c.subnets, c.clashes, c.advertisable, c.link, c.ipv6, c.guardPorts, c.addresses, c.up, c.answers, c.dnsmasq, c.register, c.bandwidth,
			}
		} else if c.bridge != "" {
			parts = []func() error{c.named, c.bandwidth, c.vlanFiltering}
		}
	case xml.ForwardPrivate, xml.ForwardVEPA, xml.ForwardPassthrough, xml.ForwardHostdev:
		parts = []func() error{c.pool}
	default:
		return nil, refuse(KindInternal, "unknown forward mode %d", def.Forward.Mode)
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return &Plan{Steps: c.overlapped()}, nil
}

// overlapped returns the steps with the start of dnsmasq moved before those of the
// firewall: it takes longer than all else together, and the kernel checks the rules
// in the meantime. Nobody is on the bridge yet. Errors still come in libvirt's
// order: the firewall's first.
func (c *compiler) overlapped() []step.Step {
	at := slices.IndexFunc(c.steps, func(s step.Step) bool { _, ok := s.Do.(step.StartDnsmasq); return ok })
	if at < 0 || c.guard.from == c.guard.to {
		return c.steps
	}
	start, undo := c.steps[at].Do.(step.StartDnsmasq), c.steps[at].Undo
	start.Aside = true
	return slices.Concat(
		c.steps[:c.guard.from], c.steps[c.guard.to:at],
		[]step.Step{{Do: start, Undo: undo}}, c.steps[c.guard.from:c.guard.to], []step.Step{{Do: step.AwaitDnsmasq{PidFile: start.PidFile}}},
		c.steps[at+1:],
	)
}

// compiler collects the steps of one plan.
type compiler struct {
	def        *xml.Network
	ips        []xml.IP    // with what is advertised
	resolution *Resolution // nil: no extensions
	facts      step.Facts
	dirs       dnsmasq.Dirs
	bridge     string
	rules      *firewall.Network // that a step installs; nil: none
	steps      []step.Step
	guard      struct{ from, to int } // which of the steps are the firewall's
}

func (c *compiler) add(steps ...step.Step) { c.steps = append(c.steps, steps...) }

// do adds a step that has no undo of its own: the bridge's removal is its undo,
// or it is left behind on purpose. Fail is libvirt's wording.
func (c *compiler) do(op step.Op, fail string, args ...any) {
	c.add(step.Step{Do: op, Fail: fmt.Sprintf(fail, args...)})
}

// named refuses a bridge name that the kernel would not take, before it becomes
// part of a path below /proc/sys or /sys. IFNAMSIZ is 16, with the final zero. A
// bridge that is not ours may be named by an alias, "br0:1".
func (c *compiler) named() error {
	if c.bridge == "" {
		return refuse(KindInternal, "network '%s' has no bridge name defined", c.def.Name)
	}
	bad := func(r rune) bool { return r <= ' ' || r == '/' || r == ':' && c.def.OwnsBridge() || r == 0x7f }
	if len(c.bridge) > 15 || c.bridge == "." || c.bridge == ".." || strings.ContainsFunc(c.bridge, bad) {
		return refuse(KindUnsupported, "invalid bridge name %q in network '%s'", c.bridge, c.def.Name)
	}
	return nil
}

// link makes the bridge. The delay is set while STP is still off: the kernel
// refuses small values with STP on. Libvirt's delay is in seconds, the
// kernel's in centiseconds.
func (c *compiler) link() error {
	if err := c.named(); err != nil {
		return err
	}
	c.add(step.Step{
		Do:   step.AddBridge{Name: c.bridge, MAC: c.def.MAC},
		Undo: step.DelLink{Name: c.bridge}, // fails with EEXIST for a bridge of somebody else, so never deletes that
		Fail: "error creating bridge interface " + c.bridge,
	})
	if c.def.MTU > 0 {
		c.do(step.SetMTU{Link: c.bridge, MTU: c.def.MTU}, "Cannot set interface MTU on '%s'", c.bridge)
	}
	stp := uint64(1)
	if c.def.Bridge.NoSTP {
		stp = 0
	}
	c.do(step.SetBridge{Bridge: c.bridge, Attr: "forward_delay", Value: forwardDelay(c.def)}, "Unable to set bridge %s forward_delay", c.bridge)
	c.do(step.SetBridge{Bridge: c.bridge, Attr: "stp_state", Value: stp}, "Unable to set bridge %s stp_state", c.bridge)
	return nil
}

// forwardDelay is a bridge's delay in centiseconds, which is no more than the kernel
// has bits for.
func forwardDelay(def *xml.Network) uint64 { return min(def.Bridge.Delay, (1<<32)/100) * 100 }

// ipv6 keeps the host from configuring itself by what guests advertise, and
// IPv6 off the bridge where the network has no IPv6 address.
func (c *compiler) ipv6() error {
	if c.facts.NoIPv6 {
		return nil
	}
	disable := "1"
	if c.has(netip.Addr.Is6) {
		disable = "0"
	}
	for _, s := range []struct{ name, value string }{{"disable_ipv6", disable}, {"accept_ra", "0"}, {"autoconf", "0"}} {
		key := path.Join("net/ipv6/conf", c.bridge, s.name)
		c.do(step.SetSysctl{Key: key, Value: s.value, IfExists: true}, "cannot write to '/proc/sys/%s' on bridge '%s'", key, c.bridge)
	}
	return nil
}

// has reports whether an <ip> of the network is of a family.
func (c *compiler) has(family func(netip.Addr) bool) bool {
	for i := range c.ips {
		if family(c.ips[i].Address) {
			return true
		}
	}
	return false
}

// zoned reports whether a network's bridge is put into a firewalld zone.
func zoned(def *xml.Network) bool {
	return def.Forward.Mode.Routed() && def.Forward.Mode != xml.ForwardOpen || def.Bridge.Zone != ""
}

func (c *compiler) firewall() error {
	c.guard.from = len(c.steps)
	err := c.protect()
	c.guard.to = len(c.steps)
	return err
}

// guardPorts keeps the guests of a bridge honest on which nothing else is filtered.
func (c *compiler) guardPorts() error {
	rules, err := firewall.Compile(c.def, c.resolution.ext(), c.resolution.where())
	if err == nil && rules != nil {
		c.install(rules)
	}
	return err
}

// protect adds the steps of the firewall.
func (c *compiler) protect() error {
	if zoned(c.def) || c.def.Forward.Mode == xml.ForwardOpen && c.coexists() {
		routed := c.def.Forward.Mode == xml.ForwardRoute && c.def.Bridge.Zone == ""
		c.add(step.Step{
			Do:   step.SetZone{Link: c.bridge, Zone: c.def.Bridge.Zone, Routed: routed, Network: c.def.Name, Own: c.coexists()},
			Undo: step.UnsetZone{Link: c.bridge},
		})
	}
	rules, err := firewall.Compile(c.def, c.resolution.ext(), c.resolution.where())
	if err != nil || rules == nil {
		return err
	}
	c.install(rules)
	if len(rules.Chains) == 0 { // of mode open, whose ports only are guarded
		return nil
	}
	c.accept(c.def)
	for i := range c.def.IPs {
		if ip := &c.def.IPs[i]; ip.Address.Is4() && ip.HasDHCP() {
			c.add(step.Step{Do: step.FillChecksums{Bridge: c.bridge}, Undo: step.UnfillChecksums{Bridge: c.bridge}, Tolerate: true})
			break
		}
	}
	return nil
}

func (c *compiler) addresses() error {
	for i := range c.ips {
		ip := &c.ips[i]
		if !ip.Address.IsValid() {
			continue
		}
		subnet, err := c.subnet(ip)
		if err != nil {
			return err
		}
		op := step.AddAddress{Link: c.bridge, Address: netip.PrefixFrom(ip.Address, subnet.Bits())}
		op.Routeless = i >= len(c.def.IPs) && c.def.Advertise != nil && c.def.Advertise.ProxyNDP != ""
		op.Deprecated = c.def.Advertise != nil && slices.Contains(c.def.Advertise.Deprecated, op.Address)
		fail := fmt.Sprintf("Failed to add IP address %s", op.Address)
		if ip.Address.Is4() {
			op.Broadcast = xml.LastOf(subnet)
			fail += fmt.Sprintf(" bcast %s", op.Broadcast)
		}
		c.do(op, "%s to %s", fail, c.bridge)
	}
	return c.vlanFiltering()
}

// vlanFiltering gives the forwarding table of the bridge into the hands of who
// plugs guests in.
func (c *compiler) vlanFiltering() error {
	if c.def.Bridge.MACTableManager == "libvirt" {
		c.do(step.SetBridge{Bridge: c.bridge, Attr: "vlan_filtering", Value: 1}, "Unable to set bridge %s vlan_filtering via ioctl", c.bridge)
	}
	return nil
}

// up brings the bridge up, with the guests on it that were there before; static
// routes need that. A guest or a route that the kernel refuses does not stop a network.
func (c *compiler) up() error {
	for _, m := range c.facts.Members {
		c.add(step.Step{Do: step.PlugMember{Bridge: c.bridge, Member: m}, Tolerate: true})
	}
	c.add(step.Step{
		Do:   step.SetUp{Link: c.bridge},
		Undo: step.SetDown{Link: c.bridge},
		Fail: fmt.Sprintf("Cannot set interface flags on '%s'", c.bridge),
	})
	return c.routes()
}

func (c *compiler) routes() error {
	for i := range c.def.Routes {
		dest, err := destination(&c.def.Routes[i])
		if err != nil {
			return err
		}
		r := &c.def.Routes[i]
		c.add(step.Step{Do: step.AddRoute{Link: c.bridge, Dest: dest, Gateway: r.Gateway, Metric: max(r.Metric, 1)}, Tolerate: true})
	}
	return nil
}

// forwarding makes the host a router, for good: who else relies on it by the
// time the network stops is not known.
func (c *compiler) forwarding() error {
	if c.def.Forward.Mode == xml.ForwardNone && !c.resolution.reaches() {
		return nil
	}
	const fail = "failed to enable IP forwarding"
	v4, v6 := c.has(netip.Addr.Is4), c.has(netip.Addr.Is6)
	if v6 {
		if err := c.advertised(); err != nil {
			return err
		}
		c.hear()
	}
	if v4 {
		c.do(step.SetSysctl{Key: "net/ipv4/ip_forward", Value: "1"}, fail)
	}
	if v6 {
		c.do(step.SetSysctl{Key: "net/ipv6/conf/all/forwarding", Value: "1"}, fail)
	}
	return nil
}

// register tells systemd-resolved who serves the network's domain.
func (c *compiler) register() error {
	if c.def.Domain.Name == "" || c.def.Domain.Register != xml.Yes {
		return nil
	}
	for i := range c.ips {
		if server := c.ips[i].Address; server.IsValid() {
			c.add(step.Step{Do: step.RegisterDNS{Link: c.bridge, Domain: c.def.Domain.Name, Server: server}})
			return nil
		}
	}
	return nil
}

func shaped(def *xml.Network) bool {
	return def.Bandwidth != nil && (def.Bandwidth.Inbound != nil || def.Bandwidth.Outbound != nil)
}

func (c *compiler) bandwidth() error {
	if shaped(c.def) {
		c.add(step.Step{Do: step.ShapeNetwork{Bridge: c.bridge, Bandwidth: *c.def.Bandwidth}, Undo: step.UnshapeNetwork{Bridge: c.bridge}})
	}
	return nil
}

func (c *compiler) pool() error {
	_, err := pool(c.def, c.facts)
	return err
}
