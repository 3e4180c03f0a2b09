package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// maxFile is how many bytes a file of ours may have: libvirt's own bound for a
// document. What is larger is refused unread.
const maxFile = 10 << 20

// Dirs are the places of the driver's files. All but Own are libvirt's, in
// libvirt's formats, so that either daemon can take over from the other.
type Dirs struct {
	Config  string // persistent definitions and autostart links: /etc/libvirt/qemu/networks
	State   string // live state, ports, pid files: /run/libvirt/network
	Dnsmasq string // dnsmasq's files: /var/lib/libvirt/dnsmasq
	Hooks   string // people's scripts: /etc/libvirt/hooks
	Own     string // undo records: /run/virbr
	Lib     string // what was chosen for networks: /var/lib/virbr
}

// SystemDirs returns the directories of the system's daemon.
func SystemDirs() Dirs {
	return Dirs{
		Config:  "/etc/libvirt/qemu/networks",
		State:   "/run/libvirt/network",
		Dnsmasq: "/var/lib/libvirt/dnsmasq",
		Hooks:   "/etc/libvirt/hooks",
		Own:     "/run/virbr",
		Lib:     "/var/lib/virbr",
	}
}

func (d Dirs) config(name string) string    { return filepath.Join(d.Config, name+".xml") }
func (d Dirs) autostart(name string) string { return filepath.Join(d.Config, "autostart", name+".xml") }
func (d Dirs) status(name string) string    { return filepath.Join(d.State, name+".xml") }
func (d Dirs) ports(name string) string     { return filepath.Join(d.State, portsParent(name), "ports") }
func (d Dirs) daemonPID() string            { return filepath.Join(d.State, "driver.pid") }
func (d Dirs) autostarted() string          { return filepath.Join(d.State, "autostarted") }
func (d Dirs) undo(uuid xml.UUID) string    { return filepath.Join(d.undos(), uuid.String()+".json") }
func (d Dirs) undos() string                { return filepath.Join(d.Own, "networks") }
func (d Dirs) plan() plan.Dirs              { return plan.Dirs{Run: d.State, Dnsmasq: d.Dnsmasq} }
func (d Dirs) served() dnsmasq.Dirs         { return dnsmasq.Dirs(d.plan()) }

// make makes the directories that the driver writes to.
func (d Dirs) make() error {
	for _, dir := range []string{d.Config, d.State, d.Dnsmasq, d.Own} {
		if err := disk.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the driver's directories: %w", err)
		}
	}
	if err := disk.MkdirAll(d.undos(), 0o700); err != nil {
		return fmt.Errorf("making the driver's directories: %w", err)
	}
	return nil
}

// readFile reads a file of ours, or of libvirt's.
func readFile(path string) ([]byte, error) { return disk.Read(path, maxFile) }

// writeFile replaces a file, for root alone.
func writeFile(path string, data []byte) error { return disk.Write(path, data, 0o600) }

// remove removes files; those that are missing are no error.
func remove(paths ...string) error {
	return insist(func() error { return disk.Remove(paths...) })
}

// insist does once more what failed and must be done: the kernel may have been
// short of something for a moment.
func insist(do func() error) error {
	err := do()
	if err == nil {
		return nil
	}
	if again := do(); again == nil {
		return nil
	}
	return err
}

// ask is insist for what has an answer.
func ask[T any](question func() (T, error)) (answer T, err error) {
	err = insist(func() (err error) { answer, err = question(); return err })
	return answer, err
}

// checkName refuses the names that would lead out of a directory or to one of
// the driver's own files. Slashes are refused by the parser.
func checkName(name string) error {
	switch {
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/\x00"):
		return &Error{Kind: KindInvalidArg, Msg: fmt.Sprintf("network name %q cannot be a file name", name)}
	case name == "driver": // its dnsmasq would write over driver.pid
		return &Error{Kind: KindInvalidArg, Msg: fmt.Sprintf("network name %q is taken by a file of the driver itself", name)}
	}
	return nil
}

// aside is what the name of a directory in [Dirs.State] ends in that would be in the
// way of a file there.
const aside = "+ports"

// portsParent returns the name of the directory of a network's ports: the network's,
// as with libvirt, but where that would be the name of a file: "foo.xml" is foo's
// status, "foo.pid" its dnsmasq's, "autostarted" the daemon's. No two names have one
// directory.
func portsParent(name string) string {
	switch ext := filepath.Ext(name); {
	case ext == ".xml", ext == ".pid", name == "autostarted", strings.HasSuffix(name, aside):
		return name + aside
	}
	return name
}

// clearWay puts directories of ports aside that libvirt's daemon, or an older virbrd,
// made where a file of another network may have to be.
func (d Dirs) clearWay() error {
	entries, err := os.ReadDir(d.State)
	if err != nil {
		return fmt.Errorf("looking for directories of ports: %w", err)
	}
	var errs []error
	for _, e := range entries {
		to := filepath.Dir(d.ports(e.Name()))
		if _, err := os.Lstat(filepath.Join(d.State, e.Name(), "ports")); err != nil || filepath.Base(to) == e.Name() || strings.HasSuffix(e.Name(), aside) {
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

// clearPorts removes the port files of a network. The directory stays, as with
// libvirt.
func (d Dirs) clearPorts(name string) error {
	found, err := disk.Stems(d.ports(name), ".xml")
	if err != nil {
		return err
	}
	for i, stem := range found {
		found[i] = filepath.Join(d.ports(name), stem+".xml")
	}
	return remove(found...)
}

// clearServed removes dnsmasq's files of a network that is gone for good, its
// leases too.
func (d Dirs) clearServed(name, bridge string) error {
	dirs := d.served()
	files := []string{
		dirs.Hosts(name), dirs.AddnHosts(name), dirs.Conf(name),
		filepath.Join(d.Dnsmasq, name+".leases"), // of old libvirts
	}
	if bridge == "" || strings.Contains(bridge, "/") {
		return remove(files...)
	}
	files = append(files, dirs.Status(bridge), dirs.Status(bridge)+".new", dirs.MACs(bridge), dirs.Numbering(bridge),
		dirs.Leases(bridge), dirs.Leases(bridge)+".new", dirs.LeasesLock(bridge), dirs.Reload(bridge))
	return errors.Join(remove(files...), insist(func() error { return disk.RemoveAll(dirs.Numbered(bridge)) }))
}
