package host

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/virbr/virbr/driver/plan"
)

// Holder names the program that has a listener's socket, "nginx (pid 812)": the
// one that has had it longest, of several. It looks through all processes of the
// machine, those of containers too, so it is for messages. "": nobody has it, or
// the kernel itself.
func (h *Host) Holder(ctx context.Context, l plan.Listener) string {
	if l.Inode == 0 {
		return ""
	}
	program := ""
	eachSocket(func(pid int, inode uint32) bool {
		if inode == l.Inode {
			program = programOf(pid)
		}
		return program == "" && ctx.Err() == nil
	})
	return program
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

// programOf names a process for messages. It may call itself anything.
func programOf(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("pid %d", pid)
	}
	return fmt.Sprintf("%s (pid %d)", clean(name), pid)
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
	service string     // "DNS"
	address netip.Addr // invalid: any
	dev     string
	port    uint16
	udpOnly bool
	v6      bool // of any address
}

func (w wanted) String() string {
	text := fmt.Sprintf("%s port %d", w.service, w.port)
	if w.address.IsValid() {
		text += " of " + w.address.String()
	}
	return text
}

// socketOf reads what dnsmasq could not do ("dnsmasq: failed to create listening
// socket for 192.168.122.1", network.c and dhcp.c of dnsmasq 2.90).
func socketOf(said string, dns uint16) wanted {
	switch {
	case strings.HasSuffix(said, "failed to bind DHCP server socket"):
		return wanted{service: "DHCP", port: 67, udpOnly: true}
	case strings.HasSuffix(said, "failed to bind DHCPv6 server socket"):
		return wanted{service: "DHCPv6", port: 547, udpOnly: true, v6: true}
	}
	_, object, ok := strings.Cut(said, "failed to create listening socket for ")
	if !ok {
		return wanted{}
	}
	w := wanted{service: "DNS", port: dns}
	if a, err := netip.ParseAddr(object); err == nil {
		w.address = a.WithZone("")
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
func (w wanted) blockedBy(l plan.Listener) bool {
	if l.Port != w.port || l.Proto == "sctp" || w.udpOnly && l.Proto != "udp" || l.Dev != "" && w.dev != l.Dev {
		return false
	}
	switch {
	case l.Both:
		return true
	case !w.address.IsValid():
		return l.Address.Is6() == w.v6 || w.service == "DNS"
	case l.Address.IsUnspecified():
		return l.Address.Is6() == w.address.Is6()
	}
	return l.Address.WithZone("") == w.address
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
