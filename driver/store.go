package driver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

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
func (d Dirs) ports(name string) string     { return filepath.Join(d.State, name, "ports") }
func (d Dirs) daemonPID() string            { return filepath.Join(d.State, "driver.pid") }
func (d Dirs) autostarted() string          { return filepath.Join(d.State, "autostarted") }
func (d Dirs) undo(uuid xml.UUID) string    { return filepath.Join(d.undos(), uuid.String()+".json") }
func (d Dirs) undos() string                { return filepath.Join(d.Own, "networks") }
func (d Dirs) leaseLock(bridge string) string {
	return filepath.Join(d.Own, bridge+".leases.lock") // of the lease helper
}
func (d Dirs) plan() plan.Dirs      { return plan.Dirs{Run: d.State, Dnsmasq: d.Dnsmasq} }
func (d Dirs) served() dnsmasq.Dirs { return dnsmasq.Dirs(d.plan()) }

// make makes the directories that the driver writes to.
func (d Dirs) make() error {
	for _, dir := range []string{d.Config, d.State, d.Dnsmasq, d.Own} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the driver's directories: %w", err)
		}
	}
	if err := os.MkdirAll(d.undos(), 0o700); err != nil {
		return fmt.Errorf("making the driver's directories: %w", err)
	}
	return nil
}

// readFile reads a regular file of at most maxFile bytes. Links are followed:
// some systems keep their configuration elsewhere.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not block us
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %q: not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("reading %q: larger than %d bytes", path, maxFile)
	}
	return data, nil
}

// writeFile replaces a file at once: a reader, also one after a crash, sees all
// of the old text or all of the new. Its mode is 0600 whatever the umask.
func writeFile(path string, data []byte) error {
	temp := tempName(path)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, remove(temp))
	}
	return nil
}

// remove removes a file; a missing one is no error.
func remove(path string) error {
	return insist(func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
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

// stems returns the names of a directory's files that end in suffix, without
// it, sorted. A missing directory is empty.
func stems(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if stem, ok := strings.CutSuffix(e.Name(), suffix); ok && stem != "" && !e.IsDir() {
			found = append(found, stem)
		}
	}
	return found, nil
}

// checkName refuses the names that would lead out of a directory or to one of
// the driver's own files. Slashes are refused by the parser.
func checkName(name string) error {
	switch {
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/\x00"):
		return &Error{Kind: KindInvalidArg, Msg: fmt.Sprintf("network name %q cannot be a file name", name)}
	case name == "driver", name == "autostarted":
		return &Error{Kind: KindInvalidArg, Msg: fmt.Sprintf("network name %q is taken by a file of the driver itself", name)}
	}
	return nil
}

// clearPorts removes the port files of a network. The directory stays, as with
// libvirt.
func (d Dirs) clearPorts(name string) error {
	found, err := stems(d.ports(name), ".xml")
	if err != nil {
		return err
	}
	var errs []error
	for _, stem := range found {
		errs = append(errs, remove(filepath.Join(d.ports(name), stem+".xml")))
	}
	return errors.Join(errs...)
}

// clearServed removes dnsmasq's files of a network that is gone for good, its
// leases too.
func (d Dirs) clearServed(name, bridge string) error {
	dirs := d.served()
	errs := []error{
		remove(dirs.Hosts(name)),
		remove(dirs.AddnHosts(name)),
		remove(dirs.Conf(name)),
		remove(filepath.Join(d.Dnsmasq, name+".leases")), // of old libvirts
	}
	if bridge != "" && !strings.Contains(bridge, "/") {
		errs = append(errs, remove(dirs.Status(bridge)), remove(dirs.Status(bridge)+".new"), remove(d.leaseLock(bridge)),
			remove(dirs.MACs(bridge)), os.RemoveAll(dirs.Numbered(bridge)))
	}
	return errors.Join(errs...)
}
