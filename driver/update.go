package driver

import (
	"context"
	"slices"

	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

// Update makes one net-update edit in the running definition, the persistent
// one or both. What it changes on the host is only what differs: a firewall
// that stays the same is not touched, dnsmasq is left alone, told to read its
// hosts files or started anew, as its files demand. An error leaves host, files
// and definitions as they were.
//
// As with libvirt the hook's failure is the call's only where nothing running
// was changed, and takes nothing back.
func (d *Driver) Update(ctx context.Context, net Ref, req UpdateRequest) error {
	n, v, err := d.change(ctx, net, "updating")
	if err != nil {
		return err
	}
	defer n.end()
	live, err := d.rewrite(ctx, n, v, req.Affect, edited(func(def *xml.Network) error {
		return def.Update(req.Command, req.Section, req.ParentIndex, []byte(req.Document))
	}), false)
	if err != nil {
		return err
	}
	d.log.Info("network updated", "network", n.ref.Name, "uuid", n.ref.UUID.String(),
		"step", req.Command.String()+" "+req.Section.String())
	if err := d.updated(ctx, n); !live {
		return err
	}
	return nil
}

// updated runs the hook. That it ran is written down, for it marks the network.
func (d *Driver) updated(ctx context.Context, n *network) error {
	was := n.view.Load()
	next := *was
	err := d.hook(ctx, n, hooks.OpUpdated, &next)
	d.warn("the updated hook failed", n.ref, err)
	if was.active() && next.status.HookScript != was.status.HookScript {
		n.view.Store(&next)
		d.warn("writing down that a hook ran", n.ref, d.saveStatus(&next))
	}
	return err
}

// affected says which definitions a change is for.
func (v *view) affected(a Affect) (live, config bool, err error) {
	live, config = a&AffectLive != 0, a&AffectConfig != 0
	if !live && !config {
		live, config = v.active(), !v.active()
	}
	if live && !v.active() {
		return false, false, &Error{Kind: KindOperationInvalid, Msg: "network is not running"}
	}
	if config && !v.persistent() {
		return false, false, &Error{Kind: KindOperationInvalid, Msg: "cannot change persistent config of a transient network"}
	}
	return live, config, nil
}

// rewrite makes an edit in the definitions that it is for, carries it out on
// the host and on disk, and lets everybody see it; all of that, or nothing. The
// turn of n is held. It reports whether the running definition was one of them.
//
// Extend says that the edit is of the extensions in the metadata: those that
// cannot be read, or contradict the network, are refused. Otherwise those that did so
// before are nobody's business.
func (d *Driver) rewrite(ctx context.Context, n *network, v *view, a Affect, made edit, extend bool) (live bool, err error) {
	live, config, err := v.affected(a)
	if err != nil {
		return false, err
	}
	defer d.unclaimPrefix(n)
	if live {
		err = usable(v.live)
	}
	if config && err == nil {
		err = usable(v.config)
	}
	if err != nil {
		return false, err
	}
	next := *v
	if live {
		next.live, err = made(v.live, 0)
		switch {
		case err != nil:
		case extend:
			next.live, err = d.adapt(ctx, n, v, next.live)
		default:
			err = keepsExtensions(v.live, next.live)
		}
		if err != nil {
			return false, err
		}
	}
	if config {
		if next.config, err = made(v.config, xml.Inactive); err != nil {
			return false, err
		}
		if err := d.reconfigure(n, v, &next, extend); err != nil {
			return false, err
		}
	}
	c := &conversion{d: d, n: n, from: v, to: &next}
	if err := c.run(ctx); err != nil {
		return false, err
	}
	n.view.Store(&next)
	d.recordViews(ctx, n, v, &next)
	return live, nil
}

// reconfigure checks what an edit made of the persistent definition as strictly as
// the running one is checked.
func (d *Driver) reconfigure(n *network, v, next *view, extend bool) error {
	if !extend {
		if err := keepsExtensions(v.config, next.config); err != nil {
			return err
		}
		d.setConfig(n, next, next.config)
		return nil
	}
	made, _, err := checkExtended(next.config)
	if err != nil {
		return err
	}
	next.made = made
	if !made.OwnsBridge() {
		return nil
	}
	return d.claimPrefix(n, made, (*view).defs)
}

// edit makes another definition of one, which it leaves as it is. The form is that
// in which it will be written.
type edit func(def *xml.Network, form xml.FormatFlags) (*xml.Network, error)

// edited returns an edit whose result is as it will be read from its file: what
// cannot be written and read again does not become a definition.
func edited(change func(*xml.Network) error) edit {
	return func(def *xml.Network, form xml.FormatFlags) (*xml.Network, error) {
		draft := def.Clone()
		if err := change(draft); err != nil {
			return nil, err
		}
		made, err := xml.ParseNetwork([]byte(draft.Format(form)))
		if err != nil {
			return nil, err
		}
		keepCounts(made, draft)
		return made, nil
	}
}

// fewTags is how many tags of metadata can be written and read again for sure: a
// document may have three times as many nodes, and a definition without metadata
// has few.
const fewTags = 50_000

// extendedBy returns an edit of the extensions alone. It is [edited], but for the
// time that it takes to read ten thousand forwards again, which were checked when
// they were made.
func extendedBy(change func(*xml.Network) error) edit {
	return func(def *xml.Network, form xml.FormatFlags) (*xml.Network, error) {
		made := *def
		if err := change(&made); err != nil {
			return nil, err
		}
		if made.Metadata.Tags() > fewTags {
			return edited(change)(def, form)
		}
		return &made, nil
	}
}

// keepCounts carries over what a running definition has beyond its document's
// input: how many ports use the network and its devices, and the physical
// function that these are of. libvirt loses it here.
func keepCounts(made, draft *xml.Network) {
	made.Connections = draft.Connections
	made.Forward.PF = draft.Forward.PF
	for i := range made.Forward.Interfaces {
		in := &made.Forward.Interfaces[i]
		at := slices.IndexFunc(draft.Forward.Interfaces, func(o xml.ForwardInterface) bool {
			return o.Dev == in.Dev && (o.PCI == nil) == (in.PCI == nil) && (o.PCI == nil || *o.PCI == *in.PCI)
		})
		if at >= 0 {
			in.Connections = draft.Forward.Interfaces[at].Connections
		}
	}
}
