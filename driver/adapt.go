package driver

import (
	"context"
	"reflect"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// adapt returns an edited running definition with what the elements of its
// metadata that may also stand in the network itself have come to. An advertised
// prefix can change while the network runs; one that stands in the network itself
// counts as before.
func (d *Driver) adapt(ctx context.Context, n *network, v *view, to *xml.Network) (*xml.Network, error) {
	now, err := to.Extensions()
	if err != nil {
		return nil, err
	}
	was := d.extensions(n.ref, v.live)
	for _, fixed := range []struct {
		name     string
		was, now bool
	}{{"ip", was.Auto, now.Auto}, {"bridge", was.Create, now.Create}} {
		if fixed.was != fixed.now {
			return nil, unchangeable(n.ref, fixed.name)
		}
	}
	if !reflect.DeepEqual(was.Advertise, now.Advertise) && !v.advertisesItself(was.Advertise) {
		if to, err = d.readvertise(ctx, n, to, now.Clone().Advertise); err != nil {
			return nil, err
		}
	}
	return to, plan.CheckResolution(to, now)
}

// advertisesItself reports whether the running network's advertised prefix is
// written in the network itself, and is not what its metadata came to.
func (v *view) advertisesItself(metadata *xml.Advertise) bool {
	a := v.live.Advertise
	if a == nil {
		return false
	}
	if metadata == nil || v.config != nil && v.config.Advertise != nil {
		return true
	}
	return a.Prefix != metadata.Prefix && a.From != metadata.Prefix
}

// readvertise gives a running definition another advertised prefix, or none.
func (d *Driver) readvertise(ctx context.Context, n *network, to *xml.Network, a *xml.Advertise) (*xml.Network, error) {
	was := to.Advertise
	made := *to
	made.Advertise = a
	if a == nil {
		return &made, nil // a conversion tells guests
	}
	if err := made.Validate(); err != nil {
		return nil, err
	}
	facts, err := d.sys.Facts(ctx)
	if err != nil {
		return nil, err
	}
	chosen, err := d.choose(ctx, n, &made, facts)
	if err != nil {
		return nil, err
	}
	if err := d.claimPrefix(n, chosen, (*view).running); err != nil {
		return nil, err
	}
	if _, err := plan.Compile(chosen, nil, facts, plan.Dirs(d.dirs.Served())); err != nil { // whether the host can have it
		return nil, err
	}
	d.warnUnrouted(ctx, n.ref, &xml.Network{Advertise: was}, chosen)
	return d.succeed(n, was, chosen)
}

func unchangeable(n Ref, element string) error {
	return &Error{Kind: KindOperationUnsupported, Msg: "element 'virbr:" + element + "' of network '" + n.Name +
		"' cannot change while it runs: change the persistent definition and start the network anew"}
}
