package overlay

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/virbr/virbr/disk"
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
		if err := disk.MkdirAll(dir, mode); err != nil {
			return fmt.Errorf("making a directory for what is added to networks: %w", err)
		}
	}
	return nil
}

// maxFile is how many bytes of a file are read: more than any document may have.
const maxFile = 16 << 20

func readFile(path string) ([]byte, error) { return disk.Read(path, maxFile) }

// writeFile replaces a file at once. The host lock is held, so there is one writer,
// and the next one finds what a crash has left.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	temp := path + ".new"
	if err := disk.Remove(temp); err != nil {
		return err
	}
	return disk.Replace(temp, path, data, mode)
}
