package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/xml"
)

// Dirs are the directories of all files. Those of libvirt hold them in libvirt's
// formats. Below Own and Lib the hook mode has directories of its own: there the
// networks are libvirt's daemon's.
type Dirs struct {
	Config  string // persistent definitions and autostart links: /etc/libvirt/qemu/networks
	State   string // live state, ports, pid files: /run/libvirt/network
	Dnsmasq string // dnsmasq's files: /var/lib/libvirt/dnsmasq
	Hooks   string // people's scripts: /etc/libvirt/hooks
	Own     string // undo records, locks, reports: /run/virbr
	Lib     string // what was chosen for networks: /var/lib/virbr
	Added   string // extensions of networks whose libvirt keeps no metadata: /etc/virbr/networks
}

// System returns the directories of the system's daemon.
func System() Dirs {
	return Dirs{
		Config:  "/etc/libvirt/qemu/networks",
		State:   "/run/libvirt/network",
		Dnsmasq: "/var/lib/libvirt/dnsmasq",
		Hooks:   "/etc/libvirt/hooks",
		Own:     "/run/virbr",
		Lib:     "/var/lib/virbr",
		Added:   "/etc/virbr/networks",
	}
}

// DefinitionFile is where a persistent definition is.
func (d Dirs) DefinitionFile(name string) string { return filepath.Join(d.Config, name+".xml") }

// StatusFile is where a running network's live state is.
func (d Dirs) StatusFile(name string) string { return filepath.Join(d.State, name+".xml") }

// DriverLock is the pid file by which network daemons, libvirt's too, exclude each
// other. DaemonLock is virbrd's alone, AgentLock the hook mode's agent's.
func (d Dirs) DriverLock() string { return filepath.Join(d.State, "driver.pid") }

// DaemonLock is the pid file that a running virbrd locks, and nobody else: the
// other pid files are libvirt's, and its daemons lock them as well.
func (d Dirs) DaemonLock() string { return filepath.Join(d.Own, "virbrd.pid") }

// History is the directory of the definitions that networks had.
func (d Dirs) History() string { return filepath.Join(d.Lib, "history") }

// Served returns the directories of the networks' dnsmasq processes.
func (d Dirs) Served() dnsmasq.Dirs { return dnsmasq.Dirs{Run: d.State, Dnsmasq: d.Dnsmasq} }

func (d Dirs) autostartLink(name string) string {
	return filepath.Join(d.Config, "autostart", name+".xml")
}
func (d Dirs) autostarted() string      { return filepath.Join(d.State, "autostarted") }
func (d Dirs) ports(name string) string { return filepath.Join(d.State, portsParent(name), "ports") }
func (d Dirs) portFile(network string, uuid xml.UUID) string {
	return filepath.Join(d.ports(network), uuid.String()+".xml")
}

// Make makes the directories that the daemon writes to.
func (d Dirs) Make() error {
	err := makeDirs(0o755, d.Config, d.State, d.Dnsmasq, d.Own)
	if err == nil {
		err = makeDirs(0o700, d.records(), d.Failures().dir)
	}
	return err
}

func makeDirs(mode fs.FileMode, dirs ...string) error {
	for _, dir := range dirs {
		if err := disk.MkdirAll(dir, mode); err != nil {
			return fmt.Errorf("making the directories of networks: %w", err)
		}
	}
	return nil
}

// CheckName refuses the names of networks that would lead out of a directory or to
// one of the daemon's own files. Slashes are refused by the parser.
func CheckName(name string) error {
	switch {
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("network name %q cannot be a file name", name)
	case name == "driver": // its dnsmasq would write over driver.pid
		return fmt.Errorf("network name %q is taken by a file of the driver itself", name)
	}
	return nil
}

// portsSuffix is what the name of a directory in [Dirs.State] ends in that would be
// where another network's file has to be.
const portsSuffix = "+ports"

// portsParent returns the name of the directory of a network's ports: the network's,
// as with libvirt, but where that would be the name of a file: "foo.xml" is foo's
// status, "foo.pid" its dnsmasq's, "autostarted" the daemon's. No two names have one
// directory.
func portsParent(name string) string {
	switch ext := filepath.Ext(name); {
	case ext == ".xml", ext == ".pid", name == "autostarted", strings.HasSuffix(name, portsSuffix):
		return name + portsSuffix
	}
	return name
}

// MovePorts renames the directories of ports that libvirt's daemon, or an older
// virbrd, made where a file of another network may have to be.
func (d Dirs) MovePorts() error {
	entries, err := os.ReadDir(d.State)
	if err != nil {
		return fmt.Errorf("looking for directories of ports: %w", err)
	}
	var errs []error
	for _, e := range entries {
		to := filepath.Dir(d.ports(e.Name()))
		if _, err := os.Lstat(filepath.Join(d.State, e.Name(), "ports")); err != nil || filepath.Base(to) == e.Name() || strings.HasSuffix(e.Name(), portsSuffix) {
			continue
		}
		err := os.RemoveAll(to) // older than the other, which libvirt's daemon has used since
		if err == nil {
			err = os.Rename(filepath.Join(d.State, e.Name()), to)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
