package driver

import "context"

// SetAutostart says whether a persistent network starts with the daemon. As
// libvirt's, the sign is a symbolic link to the definition.
func (d *Driver) SetAutostart(ctx context.Context, net Ref, on bool) error {
	n, v, err := d.change(ctx, net, "setting autostart of")
	if err != nil {
		return err
	}
	defer n.end()
	if !v.persistent() {
		return &Error{Kind: KindOperationInvalid, Msg: "cannot set autostart for transient network"}
	}
	if v.autostart == on {
		return nil
	}
	if on {
		err = d.dirs.LinkAutostart(n.ref.Name)
	} else {
		err = d.dirs.UnlinkAutostart(n.ref.Name)
	}
	if err != nil {
		return err
	}
	next := *v
	next.autostart = on
	n.view.Store(&next)
	return nil
}
