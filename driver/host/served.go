package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/virbr/virbr/dnsmasq"
)

// maxConf is how much of a dnsmasq configuration is read, in bytes.
const maxConf = 16 << 20

// errStopped says that no dnsmasq of ours runs; the text tells why.
var errStopped = errors.New("no dnsmasq runs")

// DnsmasqAlive reports whether the pid file names a running dnsmasq that was
// started with the configuration which names that pid file. From then on Watch
// tells when it ends.
func (h *Host) DnsmasqAlive(pidFile string) bool {
	p, err := h.openDnsmasq(pidFile)
	if err != nil {
		return false
	}
	h.deaths.watch(pidFile, p)
	return true
}

// Reload has a running dnsmasq read its hosts files again.
func (h *Host) Reload(pidFile string) error {
	p, err := h.openDnsmasq(pidFile)
	if err != nil {
		return opError("reloading dnsmasq", pidFile, err)
	}
	defer p.close()
	return opError("reloading dnsmasq", pidFile, p.signal(syscall.SIGHUP))
}

// openDnsmasq opens the process of a pid file; errStopped: there is none, or
// the number is somebody else's by now.
func (h *Host) openDnsmasq(pidFile string) (*process, error) {
	pid, err := readPID(pidFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStopped, err)
	}
	p, err := openProcess(pid)
	if errors.Is(err, syscall.ESRCH) {
		return nil, fmt.Errorf("%w: %w", errStopped, err)
	}
	if err != nil {
		return nil, err
	}
	if err := h.checkDnsmasq(p, pidFile); err != nil {
		p.close()
		return nil, fmt.Errorf("%w: %w", errStopped, err)
	}
	return p, nil
}

// searchDnsmasq looks for the dnsmasq of a pid file that may not be written yet,
// among the processes of our namespaces.
func (h *Host) searchDnsmasq(pidFile string) (*process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p, err := openProcess(pid)
		if err != nil {
			continue // it has ended
		}
		if h.checkDnsmasq(p, pidFile) == nil {
			return p, nil
		}
		p.close()
	}
	return nil, fmt.Errorf("%w for %q", errStopped, pidFile)
}

// sameNamespaces reports whether a process is in our network, where it can be the
// dnsmasq of a network, and what it may do there is what it may do for us.
// (Our view of files may differ from that of one that an earlier daemon started:
// systemd gives each daemon one of its own.)
func sameNamespaces(pid int) bool {
	for _, kind := range []string{"net", "user"} {
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		ours, ourErr := os.Readlink("/proc/self/ns/" + kind)
		if err != nil || ourErr != nil || theirs != ours {
			return false
		}
	}
	return true
}

// checkDnsmasq refuses a process that is not the dnsmasq of a pid file. The pid file
// belongs to dnsmasq's user, so it may name any process, one too that
// was made for the purpose. What nobody without privileges can make is a process
// that has some: dnsmasq keeps capabilities for its sockets. Its program's
// name says nothing, for people put scripts and sandboxes in its place.
//
// That it still runs is asked last: then all that was read is its own.
func (h *Host) checkDnsmasq(p *process, pidFile string) error {
	args, err := p.arguments()
	if err != nil {
		return err
	}
	switch {
	case !servesPIDFile(args, pidFile):
		return fmt.Errorf("process %d is not the dnsmasq of %q", p.pid, pidFile)
	case !sameNamespaces(p.pid):
		return fmt.Errorf("process %d is in other namespaces", p.pid)
	case !p.privileged():
		return fmt.Errorf("process %d has no privileges", p.pid)
	case sameCommand(parent(p.pid), p.pid, args):
		return fmt.Errorf("process %d is the part of a dnsmasq that calls its lease helper", p.pid)
	case !p.running():
		return fmt.Errorf("process %d has ended", p.pid)
	}
	return nil
}

// sameCommand reports whether a parent runs the same program with the same
// arguments as a child. dnsmasq's child for its helper does not serve; libvirt has
// it run as root.
func sameCommand(parent, child int, args []string) bool {
	one, err := os.Stat(fmt.Sprintf("/proc/%d/exe", parent))
	other, otherErr := os.Stat(fmt.Sprintf("/proc/%d/exe", child))
	if err != nil || otherErr != nil || !os.SameFile(one, other) {
		return false
	}
	theirs, err := (&process{pid: parent}).arguments()
	return err == nil && slices.Equal(theirs, args)
}

// servesPIDFile reports whether a dnsmasq's command line leads to the pid file:
// by what its configuration says, or, when that is gone, by its name.
func servesPIDFile(args []string, pidFile string) bool {
	for _, arg := range args {
		conf, ok := strings.CutPrefix(arg, "--conf-file=")
		if !ok || !filepath.IsAbs(conf) {
			continue
		}
		data, err := readCapped(conf, maxConf)
		if errors.Is(err, fs.ErrNotExist) {
			return xmlName.Replace(strings.TrimSuffix(filepath.Base(conf), ".conf")) == strings.TrimSuffix(filepath.Base(pidFile), ".pid")
		}
		for line := range strings.Lines(string(data)) { // none, if it cannot be read
			if path, ok := dnsmasq.ParsePIDFile(line); ok {
				return path == pidFile || samePath(path, pidFile)
			}
		}
		return false
	}
	return false
}

// xmlName writes a network's name as libvirt has it in pid files but not in the
// configuration's name.
var xmlName = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")

// samePath reports whether two paths lead to one file (/var/run is /run).
func samePath(a, b string) bool {
	fa, errA := os.Stat(a)
	fb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(fa, fb)
}
