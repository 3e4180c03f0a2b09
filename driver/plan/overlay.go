package plan

import (
	"net/netip"
	"path"
	"slices"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// Overlaid returns a definition of another daemon's network with what its
// extensions add, or says why they cannot be added. What they leave open is still
// to be chosen (see [xml.Network.Choose]).
func Overlaid(def *xml.Network) (*xml.Network, error) {
	made, err := def.Extended()
	if err != nil {
		return nil, err
	}
	ext, err := def.Extensions()
	if err != nil {
		return nil, err
	}
	for i := range def.IPs {
		ip := &def.IPs[i]
		switch {
		case ext.Advertise != nil && ip.Is6():
			return nil, refuse(KindUnsupported, "network '%s' has the IPv6 address %s, which libvirt advertises: remove that <ip>, or <virbr:ipv6>", def.Name, ip.Address)
		case ext.Auto:
			return nil, refuse(KindUnsupported, "network '%s' has the address %s: <virbr:ip type='auto'/> is for networks without one", def.Name, ip.Address)
		}
	}
	if a := ext.Advertise; a != nil && a.Uplink != "" {
		return nil, refuse(KindUnsupported, "network '%s': the prefix that the router on uplink='%s' delegates is asked for by virbrd, which does not run this network; write a prefix that is routed to this host, or 'ula'", def.Name, a.Uplink)
	}
	if a := ext.Advertise; a != nil && a.HostID != "" && dnsmasq.Wanted(def) {
		return nil, refuse(KindUnsupported, "network '%s': hostid='%s' needs the leases of a dnsmasq that libvirt runs; use dhcp='stateful' or dhcp='stateless'", def.Name, a.HostID)
	}
	if ext.Advertise != nil || ext.Auto || ext.Create {
		if err := made.Validate(); err != nil {
			return nil, err
		}
	}
	return made, CheckResolution(made, ext)
}

// Overlay returns the steps that add to a network of another daemon what its
// extensions ask for, in an order in which they can be done while it runs. Def is
// its definition, made the result of [Overlaid] with everything chosen; the resolution is
// that of made. A bridge that the extensions make is there before that
// daemon needs it.
func Overlay(def, made *xml.Network, resolution *Resolution, facts step.Facts, dirs Dirs) (*Plan, error) {
	if made.Bridge.Create {
		return Compile(made, resolution, facts, dirs)
	}
	ours := beside(def, made)
	c := &compiler{def: ours, ips: ours.Subnets(), facts: facts, dirs: dnsmasq.Dirs(dirs), bridge: def.Bridge.Name, resolution: resolution}
	if err := c.named(); err != nil {
		return nil, err
	}
	parts := []func() error{}
	if len(c.ips) > 0 {
		parts = append(parts, c.subnets, c.advertisable, c.wake)
	}
	parts = append(parts, c.overlayRules(made), c.removableAddresses)
	if len(c.ips) > 0 {
		parts = append(parts, c.forwarding)
	}
	parts = append(parts, c.answers, c.overlayRouting(made))
	if len(c.ips) > 0 {
		parts = append(parts, c.dnsmasq)
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return &Plan{Steps: c.steps}, nil
}

// Revived returns a resolution that was written down without its definition, which is
// the running one that [NewResolution] was given.
func (r *Resolution) Revived(def *xml.Network) *Resolution {
	c := *r
	c.def, c.taken, c.leads = def, new(taken), new(leads)
	return &c
}

// beside returns the part of an extended network that its own daemon knows nothing
// of. Where that runs a dnsmasq, ours leaves names to it.
func beside(def, made *xml.Network) *xml.Network {
	ours := made.Clone()
	ours.IPs = slices.Clone(made.IPs[len(def.IPs):])
	ours.Domain.Register = xml.Unset
	if !dnsmasq.Wanted(def) {
		return ours
	}
	ours.DNS = xml.DNS{Enable: xml.No}
	ours.DnsmasqOptions = nil
	if made.Advertise == nil || def.DNS.Enable == xml.No {
		return ours
	}
	if p, ok := made.Advertise.Address(); ok { // where their dnsmasq listens, too
		ours.DnsmasqOptions = []string{"dhcp-option=option6:dns-server,[" + p.Addr().String() + "]"}
	}
	return ours
}

// wake has the bridge of a network without IPv6 have it. Its own daemon switched
// it off.
func (c *compiler) wake() error {
	before := len(c.steps)
	if err := c.ipv6(); err != nil {
		return err
	}
	for i := range c.steps[before:] {
		s := &c.steps[before+i]
		op, ok := s.Do.(step.SetSysctl)
		if ok && path.Base(op.Key) == "disable_ipv6" {
			if op.Value == "1" { // not ours to switch off
				c.steps = slices.Delete(c.steps, before+i, before+i+1)
				break
			}
			op.Value = "1"
			s.Undo = op
		}
	}
	return nil
}

// overlayRules returns the rules that the other daemon's lack.
func (c *compiler) overlayRules(made *xml.Network) func() error {
	return func() error {
		rules, err := firewall.CompileExtension(made, c.resolution.ext(), c.resolution.where())
		if err != nil {
			return err
		}
		if rules != nil {
			c.install(rules)
		}
		c.pass(made)
		return nil
	}
}

// pass has what our rules decide about pass those of others, and of libvirt, which
// has none in mode open.
func (c *compiler) pass(made *xml.Network) {
	ext := c.resolution.ext()
	if made.Forward.Mode != xml.ForwardOpen && len(ext.Forwards)+len(ext.Publics)+len(c.ips) > 0 {
		op := step.AcceptInLibvirtChains{Bridge: c.bridge}
		for i := range c.ips {
			if subnet, ok := c.ips[i].Subnet(); ok && subnet.Addr().Is6() {
				op.Own = append(op.Own, subnet)
			}
		}
		for i := range ext.Publics {
			if p := &ext.Publics[i]; p.Stateless {
				op.Stray = append(op.Stray, c.resolution.Where.Guests[p.Guest]...)
			}
		}
		slices.SortFunc(op.Stray, netip.Addr.Compare)
		op.Stray = slices.Compact(op.Stray)
		c.add(step.Step{Do: op, Undo: step.UnacceptInLibvirtChains{Bridge: c.bridge}})
	}
	c.accept(made)
}

// removableAddresses gives the bridge addresses that may go before it does.
func (c *compiler) removableAddresses() error {
	before := len(c.steps)
	if err := c.addresses(); err != nil {
		return err
	}
	c.steps = slices.DeleteFunc(c.steps, func(s step.Step) bool { _, other := s.Do.(step.SetBridge); return other })
	for i := range c.steps[before:] {
		s := &c.steps[before+i]
		if op, ok := s.Do.(step.AddAddress); ok {
			s.Undo = step.DelAddress{Link: op.Link, Address: op.Address}
		}
	}
	return nil
}
