package state

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/leases"
)

// RemoveServed removes dnsmasq's files of a network that is gone for good, with a
// bridge its leases too.
func (d Dirs) RemoveServed(name, bridge string) error {
	dirs := d.Served()
	files := []string{
		dirs.Hosts(name), dirs.AddnHosts(name), dirs.Conf(name),
		filepath.Join(d.Dnsmasq, name+".leases"), // of old libvirts
	}
	if bridge == "" || strings.Contains(bridge, "/") {
		return remove(files...)
	}
	files = append(files, dirs.Status(bridge), dirs.Status(bridge)+".new", dirs.MACs(bridge), dirs.Numbering(bridge),
		dirs.Leases(bridge), dirs.Leases(bridge)+".new", dirs.LeasesLock(bridge), dirs.Reload(bridge))
	err := remove(files...)
	if disk.RemoveAll(dirs.Numbered(bridge)) != nil { // short of something, perhaps
		err = errors.Join(err, disk.RemoveAll(dirs.Numbered(bridge)))
	}
	return err
}

// RemoveTemporary removes the temporary files that a daemon left when it died. Only
// one that has the lock may do that.
func (d Dirs) RemoveTemporary(log *slog.Logger) {
	dirs := []string{d.Config, d.State, d.Dnsmasq, d.records(), d.Learned().dir, d.Detached().dir, d.Applying().dir, d.Lib, d.choices().dir}
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
		if err := removeTemporary(dir); err != nil {
			log.Warn("removing a temporary file", "err", err)
		}
	}
	if err := leases.Sweep(d.Served()); err != nil {
		log.Warn("removing temporary lease files", "err", err)
	}
}

func removeTemporary(dir string) error {
	entries, _ := os.ReadDir(dir) // what is not there has none
	var left []string
	for _, e := range entries {
		if e.Type().IsRegular() && disk.Temporary(e.Name()) {
			left = append(left, filepath.Join(dir, e.Name()))
		}
	}
	return remove(left...)
}
