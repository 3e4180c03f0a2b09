package driver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/virbr/virbr/xml"
)

// matches reports whether a network passes the filter.
func (f ListFilter) matches(v *view) bool {
	pair := func(yes, no ListFilter, is bool) bool {
		if f&(yes|no) == 0 {
			return true
		}
		return is && f&yes != 0 || !is && f&no != 0
	}
	return pair(ListActive, ListInactive, v.active()) &&
		pair(ListPersistent, ListTransient, v.persistent()) &&
		pair(ListAutostart, ListNoAutostart, v.autostart)
}

// List returns the networks that pass the filter, by name. Zero passes all.
func (d *Driver) List(_ context.Context, filter ListFilter) ([]Ref, error) {
	var refs []Ref
	for _, n := range d.networks() {
		if v := n.view.Load(); v != nil && filter.matches(v) {
			refs = append(refs, n.ref)
		}
	}
	slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs, nil
}

// LookupByName returns the network of a name, or an Error of KindNoNetwork.
func (d *Driver) LookupByName(_ context.Context, name string) (Ref, error) {
	d.mu.RLock()
	n := d.byName[name]
	d.mu.RUnlock()
	if n == nil || n.view.Load() == nil {
		return Ref{}, &Error{Kind: KindNoNetwork, Msg: fmt.Sprintf("no network with matching name '%s'", name)}
	}
	return n.ref, nil
}

// LookupByUUID returns the network of a UUID, or an Error of KindNoNetwork.
func (d *Driver) LookupByUUID(_ context.Context, uuid xml.UUID) (Ref, error) {
	d.mu.RLock()
	n := d.byUUID[uuid]
	d.mu.RUnlock()
	if n == nil || n.view.Load() == nil {
		return Ref{}, &Error{Kind: KindNoNetwork, Msg: fmt.Sprintf("no network with matching uuid '%s'", uuid)}
	}
	return n.ref, nil
}

// XML returns the canonical document of a network: the running definition with
// what is only known while it runs, or, with inactive, what the next start
// will use.
func (d *Driver) XML(_ context.Context, net Ref, inactive bool) (string, error) {
	_, v, err := d.find(net)
	if err != nil {
		return "", err
	}
	if inactive && v.config != nil {
		return v.config.Format(xml.Inactive), nil
	}
	if inactive {
		return v.live.Format(xml.Inactive), nil
	}
	return v.def().Format(0), nil
}

// BridgeName returns the bridge of a network.
func (d *Driver) BridgeName(_ context.Context, net Ref) (string, error) {
	n, v, err := d.find(net)
	if err != nil {
		return "", err
	}
	if name := v.def().Bridge.Name; name != "" {
		return name, nil
	}
	return "", &Error{Kind: KindInternal, Msg: fmt.Sprintf("network '%s' does not have a bridge name.", n.ref.Name)}
}

// Autostart reports whether a network starts with the daemon.
func (d *Driver) Autostart(_ context.Context, net Ref) (bool, error) {
	_, v, err := d.find(net)
	if err != nil {
		return false, err
	}
	return v.autostart, nil
}

// IsActive reports whether a network runs.
func (d *Driver) IsActive(_ context.Context, net Ref) (bool, error) {
	_, v, err := d.find(net)
	if err != nil {
		return false, err
	}
	return v.active(), nil
}

// IsPersistent reports whether a network has a definition on disk.
func (d *Driver) IsPersistent(_ context.Context, net Ref) (bool, error) {
	_, v, err := d.find(net)
	if err != nil {
		return false, err
	}
	return v.persistent(), nil
}
