package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/leases"
	"github.com/virbr/virbr/xml"
)

// sweep finishes what a daemon was at when it died: an undo record without a
// running network is of a start, a stop or an undefining that was cut short.
func (d *Driver) sweep(ctx context.Context) {
	names, err := disk.Stems(d.dirs.undos(), ".json")
	if err != nil {
		d.log.Error("listing undo records", "err", err)
	}
	d.sweepMemories()
	d.sweepAutostart()
	for _, name := range names {
		uuid, ok := xml.ParseUUID(name)
		if !ok || uuid.String() != name {
			continue
		}
		if _, v, err := d.find(Ref{UUID: uuid}); err == nil && v.active() {
			continue
		}
		d.warn("taking back what a daemon was at", Ref{UUID: uuid}, d.finish(ctx, Ref{UUID: uuid}))
	}
}

// finish takes back what is left of a network that does not run, if anything is.
// It is refused where the network's status file is there: guests may be in it.
func (d *Driver) finish(ctx context.Context, ref Ref) error {
	r, ok, err := d.readRecord(ref.UUID)
	if err != nil {
		d.log.Error("an undo record cannot be read; what it takes back stays", "uuid", ref.UUID.String(), "err", err)
		return nil
	}
	if !ok {
		return nil
	}
	ref.Name = r.network
	if err := checkName(ref.Name); err != nil {
		return err
	}
	if _, err := os.Lstat(d.dirs.status(ref.Name)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("leaving network %q as it is: its status file %q cannot be read", ref.Name, d.dirs.status(ref.Name))
	}
	d.log.Info("taking back an unfinished start or stop", "network", ref.Name, "uuid", ref.UUID.String())
	left, errs := d.unwind(ctx, ref, r.ops)
	errs = append(errs, remove(d.dirs.memory(ref.UUID)), d.dirs.clearPorts(ref.Name))
	if d.unknown(ref) {
		errs = append(errs, d.clean(ref, r.bridge))
	}
	return errors.Join(append(errs, r.settle(left))...)
}

// unknown reports whether a network that does not run has no definition either,
// not even one that cannot be read.
func (d *Driver) unknown(ref Ref) bool {
	if _, v, err := d.find(ref); err == nil && v.persistent() {
		return false
	}
	_, err := os.Lstat(d.dirs.config(ref.Name))
	return errors.Is(err, fs.ErrNotExist)
}

// settle ends a record, or keeps what could not be undone.
func (r *record) settle(left []step.Op) error {
	if len(left) == 0 {
		return remove(r.path)
	}
	r.ops = left
	return r.save()
}

// sweepAutostart removes the links to definitions that are gone: who undefined
// them died before he came to that.
func (d *Driver) sweepAutostart() {
	dir := filepath.Dir(d.dirs.autostart("any"))
	names, err := disk.Stems(dir, ".xml")
	d.warn("listing autostart links", Ref{}, err)
	for _, name := range names {
		link := d.dirs.autostart(name)
		config, err := filepath.Abs(d.dirs.config(name))
		if err != nil {
			continue
		}
		target, err := os.Readlink(link)
		if _, missing := os.Lstat(config); err == nil && target == config && errors.Is(missing, fs.ErrNotExist) {
			d.warn("removing the autostart link of an undefined network", Ref{Name: name}, remove(link))
		}
	}
}

// clearTemps removes the temporary files that a daemon left when it died. Only
// one that has the lock may do that.
func (d Dirs) clearTemps(log *slog.Logger) {
	dirs := []string{d.Config, d.State, d.Dnsmasq, d.undos(), d.memories(), d.detached(), d.Lib, d.choices()}
	networks, err := os.ReadDir(d.State)
	if err != nil {
		log.Warn("looking for temporary files", "err", err)
	}
	for _, e := range networks {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(d.State, e.Name(), "ports"))
		}
	}
	for _, dir := range slices.Compact(dirs) {
		entries, _ := os.ReadDir(dir) // what is not there has none
		for _, e := range entries {
			if !e.Type().IsRegular() || !disk.Temporary(e.Name()) {
				continue
			}
			if err := remove(filepath.Join(dir, e.Name())); err != nil {
				log.Warn("removing a temporary file", "err", err)
			}
		}
	}
	if err := leases.Sweep(d.served()); err != nil {
		log.Warn("removing temporary lease files", "err", err)
	}
}
