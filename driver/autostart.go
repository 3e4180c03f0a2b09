package driver

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/virbr/virbr/disk"
)

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
		err = d.linkAutostart(n)
	} else {
		err = d.removeAutostart(n)
	}
	if err != nil {
		return err
	}
	next := *v
	next.autostart = on
	n.view.Store(&next)
	return nil
}

// linkAutostart makes the link. One that is there already does not lead to the
// definition, or the network would have autostart: it is replaced.
func (d *Driver) linkAutostart(n *network) error {
	config, link := d.dirs.config(n.ref.Name), d.dirs.autostart(n.ref.Name)
	if err := disk.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return systemError(err, "cannot create autostart directory '%s'", filepath.Dir(link))
	}
	target, err := filepath.Abs(config)
	if err != nil {
		return systemError(err, "Failed to create symlink '%s' to '%s'", link, config)
	}
	err = disk.Symlink(target, link)
	if st, lerr := os.Lstat(link); errors.Is(err, fs.ErrExist) && lerr == nil && st.Mode()&fs.ModeSymlink != 0 {
		if err = remove(link); err == nil {
			err = disk.Symlink(target, link)
		}
	}
	if err != nil {
		return systemError(err, "Failed to create symlink '%s' to '%s'", link, target)
	}
	return nil
}

func (d *Driver) removeAutostart(n *network) error {
	link := d.dirs.autostart(n.ref.Name)
	if err := remove(link); err != nil {
		return systemError(err, "Failed to delete symlink '%s'", link)
	}
	return nil
}

// readAutostart reports whether the link leads to the definition, whatever
// way the link is written.
func (d *Driver) readAutostart(name string) bool {
	link, err := os.Stat(d.dirs.autostart(name))
	if err != nil {
		return false
	}
	config, err := os.Stat(d.dirs.config(name))
	return err == nil && os.SameFile(link, config)
}
