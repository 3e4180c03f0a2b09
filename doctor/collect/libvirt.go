package collect

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/virbr/virbr/disk"
)

// Where libvirt's packages keep programs and modules, and systemd its units.
const (
	networkModule = "libvirt_driver_network.so"
	movedAside    = ".distrib" // dpkg-divert(1)
	virbrdConf    = "/etc/virbr/virbrd.conf"
)

var (
	moduleDirs  = []string{"/usr/lib/*/libvirt/connection-driver", "/usr/lib*/libvirt/connection-driver"}
	programDirs = []string{"/usr/sbin", "/usr/bin"}
	unitDirs    = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"}
)

// maxMaps bounds the list of what a process has mapped, in bytes.
const maxMaps = 8 << 20

// libvirt finds how libvirt's daemon comes by its networks.
func (c *collector) libvirt() {
	l := &c.facts.Libvirt
	run := filepath.Dir(filepath.Dir(c.dirs.State)) // of /run/libvirt/network
	l.Monolithic, l.Modular = installed("libvirtd"), installed("virtqemud")
	for _, dir := range moduleDirs {
		files, _ := filepath.Glob(filepath.Join(dir, networkModule)) // the patterns are sound
		for _, file := range files {
			l.Module = file
			if _, err := os.Lstat(file + movedAside); err == nil {
				l.Original = file + movedAside
			}
		}
	}
	l.Libvirtd = c.holder(filepath.Join(run, "libvirtd.pid"))
	if l.Libvirtd.PID != 0 {
		l.Loaded, l.Beside = loaded(l.Libvirtd.PID, networkModule), loaded(l.Libvirtd.PID, networkModule+movedAside)
	}
	l.Disabled = moduleDisabled()
	l.Listens = listens(filepath.Join(filepath.Dir(c.dirs.State), "virtnetworkd-sock"))
	l.Ordered = unitSays("libvirtd.service", "After=", "virbrd.socket")
	masked, err := os.Readlink("/etc/systemd/system/virbrd.service.d/libvirtd.conf")
	l.Excluded = (err != nil || masked != os.DevNull) && unitSays("virbrd.service", "Conflicts=", "libvirtd.service")
}

func installed(program string) bool {
	for _, dir := range programDirs {
		if _, err := os.Stat(filepath.Join(dir, program)); err == nil {
			return true
		}
	}
	return false
}

// loaded reports whether a process has mapped a file of that name.
func loaded(pid int, name string) bool {
	maps, err := disk.Read(fmt.Sprintf("/proc/%d/maps", pid), maxMaps)
	if err != nil {
		return false
	}
	for line := range bytes.Lines(maps) {
		if strings.HasSuffix(strings.TrimSuffix(strings.TrimSpace(string(line)), " (deleted)"), "/"+name) {
			return true
		}
	}
	return false
}

// moduleDisabled reads one key of virbrd.conf as virbr's module does: the first
// assignment counts.
func moduleDisabled() bool {
	text, err := disk.Read(virbrdConf, maxResolv)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(line, "=")
		if ok && strings.TrimSpace(key) == "libvirtd_module" {
			value = strings.TrimSpace(value)
			return strings.HasPrefix(value, `"disabled"`) || strings.HasPrefix(value, "'disabled'")
		}
	}
	return false
}

// listens reports whether somebody takes connections on a socket.
func listens(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// unitSays reports whether a unit or a drop-in of it has a setting with a word.
func unitSays(unit, setting, word string) bool {
	for _, dir := range unitDirs {
		files, _ := filepath.Glob(filepath.Join(dir, unit+".d", "*.conf"))
		for _, file := range append(files, filepath.Join(dir, unit)) {
			text, err := disk.Read(file, maxResolv)
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(text)) {
				if rest, ok := strings.CutPrefix(strings.TrimSpace(line), setting); ok && strings.Contains(" "+rest+" ", " "+word+" ") {
					return true
				}
			}
		}
	}
	return false
}
