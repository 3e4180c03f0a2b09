package overlay

import (
	"context"
	"fmt"
	"time"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/leases"
)

// resolution finds out where the guests of a network are that its extensions are about.
func (e *Engine) resolution(ctx context.Context, t *target, before plan.Memory) (*plan.Resolution, error) {
	ext, err := t.def.Extensions()
	if err != nil {
		return nil, err
	}
	seen, err := e.observe(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("looking for the guests of network %q: %w", t.def.Name, err)
	}
	return plan.NewResolution(t.made, ext, *seen, before), nil
}

func (e *Engine) observe(ctx context.Context, t *target) (*plan.Observations, error) {
	bridge := t.def.Bridge.Name
	seen := &plan.Observations{Asked: e.asked[t.def.UUID], Now: time.Now().Unix(), Routes: t.facts.Routes, Links: t.facts.Links, Uplinks: map[string][]step.Neighbour{}}
	var err error
	for _, dirs := range []dnsmasq.Dirs{e.dirs.Served(), e.files.Served()} {
		list, err := readLeases(dirs, bridge)
		if err != nil {
			return nil, err
		}
		seen.Leases = append(seen.Leases, list...)
	}
	ports, _ := e.dirs.Ports(t.def.Name) // libvirt's, since 5.5; what we cannot read is no guest
	for _, p := range ports {
		seen.Ports = append(seen.Ports, plan.PortOf(p))
	}
	if seen.Devices, err = e.sys.Addresses(ctx); err != nil {
		return nil, err
	}
	if _, there := t.facts.Links[bridge]; there {
		if seen.Members, err = e.sys.BridgePorts(ctx, bridge); err != nil {
			return nil, err
		}
		if seen.Neighbours, err = e.sys.Neighbours(ctx, bridge); err != nil {
			return nil, err
		}
	}
	if seen.Defaults, err = e.sys.Defaults(ctx); err != nil {
		return nil, err
	}
	for _, link := range plan.Uplinks(t.made, t.facts.Routes) {
		if seen.Uplinks[link], err = e.sys.Neighbours(ctx, link); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// readLeases reads the leases of a bridge. A file that libvirt's helper left half
// written is one without leases, as it is for libvirt.
func readLeases(dirs dnsmasq.Dirs, bridge string) ([]dnsmasq.Entry, error) {
	data, err := leases.Read(dirs, bridge)
	if err != nil {
		return nil, err
	}
	list, err := dnsmasq.ParseLeases(dirs.Status(bridge), data)
	if err != nil {
		return nil, nil //nolint:nilerr // it is written anew with the next lease
	}
	return list, nil
}
