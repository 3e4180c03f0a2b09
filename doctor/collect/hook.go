package collect

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// maxHooked is how much is read of a hook script, in bytes.
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
	hook.Agent = c.holder(c.dirs.Overlay().AgentLock())
}

// extension looks for what virbr's hook adds to a network. Where a libvirt daemon
// keeps no metadata its extensions are in a file.
func (c *collector) extension(n *doctor.Network) {
	if ext, err := n.Def.Extensions(); err != nil || !ext.IsZero() {
		n.Extended = true
	}
	file := c.dirs.Overlay().Extensions(n.Name)
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
	n.Added, err = c.dirs.Overlay().Report(n.Name)
	c.missed("what the hook reports of "+n.Name, err)
}
