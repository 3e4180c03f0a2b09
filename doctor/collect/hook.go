package collect

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// maxHooked is how much is read of a hook script and of a hook's report, in bytes.
const maxHooked = 1 << 20

// hook looks whether libvirt calls virbr's hook, and whether the agent runs.
func (c *collector) hook() {
	hook := &c.facts.Hook
	scripts, err := filepath.Glob(filepath.Join(c.dirs.Hooks, "network.d", "*"))
	c.missed(c.dirs.Hooks, err)
	for _, path := range append(scripts, filepath.Join(c.dirs.Hooks, "network")) {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		text, err := disk.Read(path, maxHooked)
		if err == nil && strings.Contains(string(text), "virbrd") && strings.Contains(string(text), "hook") {
			hook.Scripts = append(hook.Scripts, path)
		}
	}
	pid, err := flockHolder(filepath.Join(c.dirs.Own, "hook", "agent.pid"))
	c.missed("the agent's lock", err)
	hook.Agent = host.Describe(pid)
}

// flockHolder returns who has locked (flock) a file that holds his process id; 0:
// nobody has. Trying to lock it would get in the way of who is about to.
func flockHolder(path string) (int, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	pid := readPID(path)
	if !ok || pid == 0 {
		return 0, nil // not signed yet: it has only begun
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0, err
	}
	defer func() { _ = locks.Close() }()
	// "1: FLOCK  ADVISORY  WRITE 4711 00:1a:12345 0 EOF"; file systems on several
	// devices have other numbers of devices here than elsewhere.
	scanner := bufio.NewScanner(locks)
	for scanner.Scan() {
		f := strings.Fields(scanner.Text())
		if len(f) < 6 || f[1] != "FLOCK" || f[4] != strconv.Itoa(pid) {
			continue
		}
		if _, inode, ok := strings.Cut(f[5], ":"); ok && strings.HasSuffix(inode, ":"+strconv.FormatUint(stat.Ino, 10)) {
			return pid, nil
		}
	}
	return 0, scanner.Err()
}

// extension looks for what virbr's hook adds to a network. Where a libvirt daemon
// keeps no metadata its extensions are in a file.
func (c *collector) extension(n *doctor.Network) {
	if ext, err := n.Def.Extensions(); err != nil || !ext.IsZero() {
		n.Extended = true
	}
	file := filepath.Join(c.dirs.Added, n.Name+".xml")
	text, err := state.Read(file)
	if err == nil && !n.Extended && n.Started == doctor.KeeperLibvirt {
		ext, err := xml.ParseExtensions(text)
		if err == nil && !ext.IsZero() {
			err = n.Def.SetExtensions(ext)
			n.Extended, n.File = true, file
		}
		if err != nil {
			n.Extended, n.File = true, file
			c.missed(file, err)
		}
	}
	text, err = disk.Read(filepath.Join(c.dirs.Reports(), n.Name+".json"), maxHooked)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		n.Added, err = doctor.ParseAdded(text)
	}
	c.missed("what the hook reports of "+n.Name, err)
}
