package driver

import (
	"context"
	"net/netip"
	"time"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/policy"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// checkExtended is [plan.Extended] for definitions that come from a client or are to
// start: extensions that contradict the network are refused, too.
func checkExtended(def *xml.Network) (*xml.Network, *xml.Extensions, error) {
	made, ext, err := plan.Extended(def)
	if err != nil {
		return nil, nil, err
	}
	return made, ext, plan.CheckResolution(made, ext)
}

// setConfig sets the persistent definition of a view that nobody sees yet. It may
// have been accepted by libvirt, which does not look into metadata.
func (d *Driver) setConfig(n *network, v *view, def *xml.Network) {
	v.config = def
	made, _, err := checkExtended(def)
	if err != nil {
		d.warn("the network cannot start with the extensions in its metadata", n.ref, err)
		made = def
	}
	v.made = made
}

// keepsExtensions refuses a change of a definition after which its extensions
// contradict it and would be lost. Where they did before they cannot be lost.
func keepsExtensions(from, to *xml.Network) error {
	_, _, err := checkExtended(to)
	if err == nil {
		return nil
	}
	if _, _, before := checkExtended(from); before != nil {
		return nil
	}
	return err
}

// extensions returns those of a running network, in which the elements that may
// stand in the network itself have had their effect.
func (d *Driver) extensions(n Ref, live *xml.Network) *xml.Extensions {
	ext, err := live.Extensions()
	if err != nil {
		d.warn("extensions in the network's metadata have no effect", n, err)
		return &xml.Extensions{}
	}
	return ext
}

// survey finds out what the extensions of a running network come to now. What the
// host does not tell counts as not there, and is logged. Facts may be nil, and asked
// where nobody was asked. What other networks take of its subnets stays what it was.
func (d *Driver) survey(ctx context.Context, n *network, v *view, ext *xml.Extensions, facts *step.Facts, asked *plan.Asked) *plan.Resolution {
	r := d.look(ctx, n, v, ext, facts, asked)
	if v.resolution != nil {
		r.Where.Narrower = v.resolution.Where.Narrower
	}
	return r
}

// look is survey without regard to other networks.
func (d *Driver) look(ctx context.Context, n *network, v *view, ext *xml.Extensions, facts *step.Facts, asked *plan.Asked) *plan.Resolution {
	live := v.live
	proxied := live.Advertise != nil && live.Advertise.ProxyNDP != ""
	if !live.OwnsBridge() {
		return &plan.Resolution{Ext: ext}
	}
	seen := plan.Observations{Now: time.Now().Unix(), Asked: asked}
	for _, p := range v.ports {
		seen.Ports = append(seen.Ports, plan.PortOf(p))
	}
	if plan.Guards(live, ext) {
		d.members(ctx, n, live, &seen)
	}
	if len(ext.Forwards)+len(ext.Publics)+len(ext.Uplinks) == 0 && !proxied && !ext.Firewall.Offload && !plan.Learns(ext) {
		return plan.NewGuarded(live, ext, seen)
	}
	var err error
	seen.Leases, err = retried(func() ([]dnsmasq.Entry, error) { return d.readLeases(live.Bridge.Name) })
	d.warn("looking for guests without the leases", n.ref, err)
	if proxied || len(ext.Publics)+len(ext.Uplinks) > 0 {
		if facts == nil {
			read, err := d.sys.Facts(ctx)
			d.warn("looking for guests without the host's routes", n.ref, err)
			facts = &read
		}
		seen.Routes, seen.Links = facts.Routes, facts.Links
	}
	if ext.Firewall.Offload {
		seen.Bridges = d.bridges()
	}
	d.watched(ctx, n, live, ext, &seen)
	return plan.NewResolution(live, ext, seen, d.memory(n, v))
}

// bridges returns those of running networks.
func (d *Driver) bridges() []string {
	var list []string
	for _, n := range d.networks() {
		if v := n.view.Load(); v != nil && v.active() && v.live.OwnsBridge() {
			list = append(list, v.live.Bridge.Name)
		}
	}
	return list
}

// members adds the ports of a network's bridge.
func (d *Driver) members(ctx context.Context, n *network, live *xml.Network, seen *plan.Observations) {
	if d.cfg.Watcher == nil {
		return
	}
	var err error
	seen.Members, err = retried(func() ([]step.BridgePort, error) { return d.cfg.Watcher.BridgePorts(ctx, live.Bridge.Name) })
	d.warn("guarding ports without the bridge's", n.ref, err)
}

// watched adds what the Watcher knows.
func (d *Driver) watched(ctx context.Context, n *network, live *xml.Network, ext *xml.Extensions, seen *plan.Observations) {
	w := d.cfg.Watcher
	if w == nil {
		return
	}
	near, err := retried(func() ([]Neighbour, error) { return w.Neighbours(ctx, live.Bridge.Name) })
	if err != nil { // no bridge yet
		d.log.Debug("looking for guests without their bridge", "network", n.ref.Name, "err", err)
	}
	seen.Neighbours = near
	seen.Devices, err = retried(func() (map[string][]netip.Addr, error) { return w.Addresses(ctx) })
	d.warn("looking for guests without the host's addresses", n.ref, err)
	if len(ext.Uplinks) > 0 {
		seen.Defaults, err = retried(func() ([2][]policy.Default, error) { return w.Defaults(ctx) })
		d.warn("looking for uplinks without the host's default routes", n.ref, err)
	}
	for _, link := range plan.Uplinks(live, seen.Routes) {
		list, err := retried(func() ([]Neighbour, error) { return w.Neighbours(ctx, link) })
		d.warn("looking for guests without the uplink's neighbours", n.ref, err)
		if seen.Uplinks == nil {
			seen.Uplinks = make(map[string][]step.Neighbour)
		}
		seen.Uplinks[link] = list
	}
}

// resolutionOf returns the resolution of a view whose running definition is another than
// that of an earlier one.
func (d *Driver) resolutionOf(ctx context.Context, n *network, from, to *view) *plan.Resolution {
	var ext *xml.Extensions
	if from.resolution != nil && from.live != nil && from.live.Metadata == to.live.Metadata {
		ext = from.resolution.Ext
	} else {
		ext = d.extensions(n.ref, to.live)
	}
	return d.survey(ctx, n, to, ext, nil, nil)
}

// restore makes the part of a view that is not on disk: where guests are, and the
// steps that lead to them. Narrower are subnets of others within the network's own.
func (d *Driver) restore(ctx context.Context, n *network, v *view, facts *step.Facts, narrower []netip.Prefix) (err error) {
	v.resolution = d.survey(ctx, n, v, d.extensions(n.ref, v.live), facts, nil)
	v.resolution.Where.Narrower = narrower
	v.steps, err = plan.Firewall(v.live, v.resolution)
	return err
}
