package graft

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// Dirs are the places of files.
type Dirs struct {
	Config  string // extensions of networks, for a libvirt that keeps no metadata: /etc/virbr/networks
	State   string // libvirt's status files: /run/libvirt/network
	Dnsmasq string // where libvirt's dnsmasq keeps leases: /var/lib/libvirt/dnsmasq
	Own     string // undo records, reports, locks and calls of the agent: /run/virbr/hook
	Lib     string // files of dnsmasq processes of our own: /var/lib/virbr/dnsmasq
}

// SystemDirs returns the directories of the system's libvirt.
func SystemDirs() Dirs {
	return Dirs{
		Config:  "/etc/virbr/networks",
		State:   "/run/libvirt/network",
		Dnsmasq: "/var/lib/libvirt/dnsmasq",
		Own:     "/run/virbr/hook",
		Lib:     "/var/lib/virbr/dnsmasq",
	}
}

func (d Dirs) file(network string) string   { return filepath.Join(d.Config, network+".xml") }
func (d Dirs) status(network string) string { return filepath.Join(d.State, network+".xml") }
func (d Dirs) records() string              { return filepath.Join(d.Own, "undo") }
func (d Dirs) record(uuid xml.UUID) string  { return filepath.Join(d.records(), uuid.String()+".json") }
func (d Dirs) report(network string) string { return filepath.Join(d.reports(), network+".json") }
func (d Dirs) reports() string              { return filepath.Join(d.Own, "networks") }
func (d Dirs) lock() string                 { return filepath.Join(d.Own, "lock") }
func (d Dirs) agent() string                { return filepath.Join(d.Own, "agent.pid") }
func (d Dirs) bells() string                { return filepath.Join(d.Own, "calls") }
func (d Dirs) bell(network string) string   { return filepath.Join(d.bells(), network+".xml") }
func (d Dirs) plan() plan.Dirs              { return plan.Dirs{Run: d.Own, Dnsmasq: d.Lib} }
func (d Dirs) theirs() plan.Dirs            { return plan.Dirs{Run: d.State, Dnsmasq: d.Dnsmasq} }

// make makes the directories that are written to. Others may read reports.
func (d Dirs) make() error {
	for dir, mode := range map[string]fs.FileMode{d.Own: 0o755, d.reports(): 0o755, d.Lib: 0o755, d.records(): 0o700, d.bells(): 0o700} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return fmt.Errorf("making a directory for what is added to networks: %w", err)
		}
	}
	return nil
}

// maxFile is how many bytes of a file are read: more than any document may have.
const maxFile = 16 << 20

// readFile reads a regular file of at most maxFile bytes. Links are followed.
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
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("reading %q: larger than %d bytes", path, maxFile)
	}
	return data, err
}

// writeFile replaces a file at once: readers see all of the old text or all of the
// new. The host lock is held, so there is one writer.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	temp := path + ".new"
	if err := remove(temp); err != nil { // left by a crash; never write through a link
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode) // the umask has no say
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, remove(temp))
	}
	return nil
}

// remove removes a file; a missing one is no error.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// stems returns the names of a directory's files that end in suffix, without it. A
// missing directory is empty.
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
