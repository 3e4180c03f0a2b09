package collect

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/state"
)

// Collect reads all facts. What cannot be read is told in them; the error is that the
// host does not even tell its links and routes.
func Collect(ctx context.Context, h *host.Host, dirs state.Dirs) (*doctor.Facts, error) {
	c := &collector{dirs: dirs, facts: &doctor.Facts{Checked: time.Now().Unix()}}
	c.daemons()
	c.libvirt()
	c.hook()
	c.resolv()
	c.modules()
	c.networks()
	delegated, err := dirs.LoadDelegations()
	c.missed("delegated prefixes", err)
	c.facts.Delegations = delegated.Links
	err = h.Observe(ctx, c.facts, dirs.Served())
	return c.facts, err
}

// collector fills in facts.
type collector struct {
	facts *doctor.Facts
	dirs  state.Dirs
}

// missed notes what could not be read.
func (c *collector) missed(what string, err error) {
	if err != nil {
		c.facts.Unchecked = append(c.facts.Unchecked, fmt.Sprintf("%s: %v", what, err))
	}
}

// daemons finds who keeps the networks, by the locks that they hold.
func (c *collector) daemons() {
	d := &c.facts.Daemons
	_, err := os.Stat("/run/systemd/system")
	d.Systemd = err == nil
	d.Virbrd = c.holder(c.dirs.DaemonLock())
	d.Holder = c.holder(c.dirs.DriverLock())
}

// holder tells of the process that has the lock of a pid file.
func (c *collector) holder(path string) doctor.Process {
	h, err := state.LockHolder(path)
	c.missed(path, err)
	return host.Describe(h.PID)
}

// maxResolv is how much of resolv.conf is read, in bytes.
const maxResolv = 64 << 10

// resolv reads /etc/resolv.conf.
func (c *collector) resolv() {
	const file = "/etc/resolv.conf"
	r := &c.facts.Resolv
	if target, err := os.Readlink(file); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(file), target)
		}
		r.Target = target
	}
	data, err := disk.Read(file, maxResolv)
	if errors.Is(err, os.ErrNotExist) {
		r.Missing = true
		return
	}
	c.missed(file, err)
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			r.Servers = append(r.Servers, a.WithZone(""))
		}
	}
}

// modules looks for kernel modules that not every kernel has.
func (c *collector) modules() {
	c.facts.Modules = map[string]doctor.Module{}
	var uts unix.Utsname
	_ = unix.Uname(&uts)
	dir := filepath.Join("/lib/modules", unix.ByteSliceToString(uts.Release[:]))
	const limit = 8 << 20
	builtin, _ := disk.Read(filepath.Join(dir, "modules.builtin"), limit)
	loadable, err := disk.Read(filepath.Join(dir, "modules.dep"), limit)
	for _, name := range []string{"act_csum", "act_police", "sch_htb", "sch_ingress", "cls_u32", "sctp"} {
		file := "/" + name + ".ko"
		switch _, statErr := os.Stat(filepath.Join("/sys/module", name)); {
		case statErr == nil, strings.Contains(string(builtin), file):
			c.facts.Modules[name] = doctor.ModulePresent
		case strings.Contains(string(loadable), file):
			c.facts.Modules[name] = doctor.ModuleAvailable
		case err == nil:
			c.facts.Modules[name] = doctor.ModuleAbsent
		}
	}
}
