package host

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/virbr/virbr/driver/step"
)

// Holder names the program that has a listener's socket, "nginx (pid 812)": the
// one that has had it longest, of several. It looks through all processes of the
// machine, those of containers too, so it is for messages. "": nobody has it, or
// the kernel itself.
func (h *Host) Holder(ctx context.Context, l step.Listener) string {
	if pid := socketOwners(ctx, l.Inode)[l.Inode]; l.Inode != 0 && pid != 0 {
		return Describe(pid).String()
	}
	return ""
}

// socketOwners returns the process of one socket by its inode, or of each socket of the
// machine where none is named: of several the one with the lowest number, which mostly
// is the parent.
func socketOwners(ctx context.Context, only uint32) map[uint32]int {
	owners := map[uint32]int{}
	eachSocket(func(pid int, inode uint32) bool {
		if _, known := owners[inode]; !known && (only == 0 || only == inode) {
			owners[inode] = pid
		}
		return ctx.Err() == nil && (only == 0 || len(owners) == 0)
	})
	return owners
}

// eachSocket calls do for every socket that a process of the machine has a
// descriptor of, until it returns false. Parents come first, but for numbers that
// went round; processes that end meanwhile are left out.
func eachSocket(do func(pid int, inode uint32) bool) {
	proc, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer func() { _ = proc.Close() }()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	for _, pid := range pids {
		if !socketsOf(pid, func(inode uint32) bool { return do(pid, inode) }) {
			return
		}
	}
}

// socketsOf calls do for the sockets of a process until it returns false, which it
// returns then.
func socketsOf(pid int, do func(inode uint32) bool) bool {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return true
	}
	defer func() { _ = dir.Close() }()
	const some = 1024 // at a time: a process may have a million
	for {
		names, err := dir.Readdirnames(some)
		for _, name := range names {
			target, _ := os.Readlink(dir.Name() + "/" + name) // "": it is closed by now
			text, ok := strings.CutPrefix(target, "socket:[")
			inode, bad := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32)
			if ok && bad == nil && !do(uint32(inode)) {
				return false
			}
		}
		if err != nil {
			return true
		}
	}
}

// Describe tells of a process; a number that is none: nothing. It may call itself anything.
func Describe(pid int) step.Process {
	if pid <= 0 {
		return step.Process{}
	}
	p := step.Process{PID: pid}
	if name, err := readCapped(fmt.Sprintf("/proc/%d/comm", pid), maxPIDFile); err == nil {
		p.Name = clean(name)
	}
	if parent(pid) == 1 && p.Name != "dnsmasq" { // else the unit is that of who started it
		p.Unit = unitOf(pid)
	}
	return p
}

// parent returns the parent of a process; 0: not known.
func parent(pid int) int {
	n, _ := strconv.Atoi(statusOf(pid, "PPid"))
	return n
}

// unitOf returns the systemd service of a process by its control group; "":
// none.
func unitOf(pid int) string {
	data, err := readCapped(fmt.Sprintf("/proc/%d/cgroup", pid), maxConf)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		_, path, _ := strings.Cut(strings.TrimSpace(line), ":/")
		if rest, ok := strings.CutPrefix(path, "system.slice/"); ok && strings.HasSuffix(rest, ".service") {
			return filepath.Base(rest)
		}
	}
	return ""
}

// inUse is what dnsmasq says of a port that is taken.
const inUse = ": Address already in use"

// taken says who holds the port that dnsmasq complains about, a line for each:
// "DNS port 53 of 192.168.122.1 is taken by named (pid 812)". "": it complains
// about something else, or nobody holds it by now.
func (h *Host) taken(ctx context.Context, stderr, bridge string, dns uint16) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		said, ok := strings.CutSuffix(strings.TrimSpace(line), inUse)
		if !ok {
			continue
		}
		want := socketOf(said, dns)
		if want.service == "" {
			continue
		}
		want.dev = bridge
		if by := h.holderOf(ctx, want); by != "" {
			lines = append(lines, want.String()+" is taken by "+by+"\n")
		}
	}
	return strings.Join(lines, "")
}

// wanted is a socket that could not be had.
type wanted struct {
	service string       // "DNS"
	at      []netip.Addr // unspecified: any of the family
	dev     string
	port    uint16
	protos  []string
}

func (w wanted) String() string {
	text := fmt.Sprintf("%s port %d", w.service, w.port)
	if !w.at[0].IsUnspecified() {
		text += " of " + w.at[0].String()
	}
	return text
}

// socketOf reads what dnsmasq could not do ("dnsmasq: failed to create listening
// socket for 192.168.122.1", network.c and dhcp.c of dnsmasq 2.90).
func socketOf(said string, dns uint16) wanted {
	switch {
	case strings.HasSuffix(said, "failed to bind DHCP server socket"):
		return wanted{service: "DHCP", port: 67, protos: []string{"udp"}, at: []netip.Addr{netip.IPv4Unspecified()}}
	case strings.HasSuffix(said, "failed to bind DHCPv6 server socket"):
		return wanted{service: "DHCPv6", port: 547, protos: []string{"udp"}, at: []netip.Addr{netip.IPv6Unspecified()}}
	}
	_, object, ok := strings.Cut(said, "failed to create listening socket for ")
	if !ok {
		return wanted{}
	}
	w := wanted{service: "DNS", port: dns, protos: []string{"udp", "tcp"}, at: []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}}
	if a, err := netip.ParseAddr(object); err == nil {
		w.at = []netip.Addr{a.WithZone("")}
	}
	return w
}

// holderOf names who is in the way of a socket.
func (h *Host) holderOf(ctx context.Context, w wanted) string {
	list, err := h.Listeners(ctx)
	if err != nil {
		h.log.WarnContext(ctx, "looking for who holds a port", "err", err)
		return ""
	}
	i := slices.IndexFunc(list, w.blockedBy)
	if i < 0 {
		return ""
	}
	if by := h.Holder(ctx, list[i]); by != "" {
		return by
	}
	return "a program that could not be found"
}

// blockedBy reports whether a listener keeps a socket from being bound.
func (w wanted) blockedBy(l step.Listener) bool {
	blocks := func(a netip.Addr) bool { return l.Blocks(l.Proto, w.port, a, w.dev) }
	return slices.Contains(w.protos, l.Proto) && slices.ContainsFunc(w.at, blocks)
}

// dnsPort returns the port for DNS that a configuration of dnsmasq asks for.
func dnsPort(conf string) uint16 {
	const usual = 53
	data, err := readCapped(conf, maxConf)
	if err != nil {
		return usual
	}
	port := uint64(usual)
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "port="); ok {
			if n, err := strconv.ParseUint(value, 10, 16); err == nil {
				port = n
			}
		}
	}
	return uint16(port)
}
