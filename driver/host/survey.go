package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/driver/step"
)

// Survey reads all that the doctor asks of a host, and changes nothing. What
// cannot be read is told in the facts; the error is that the host does not even
// tell its links and routes.
func (h *Host) Survey(ctx context.Context, places doctor.Places) (*doctor.Facts, error) {
	facts := &doctor.Facts{Checked: time.Now().Unix()}
	var err error
	if facts.Plan, err = h.Facts(ctx); err != nil {
		return nil, err
	}
	s := &survey{h: h, facts: facts, places: places}
	if err := s.links(ctx); err != nil {
		return nil, err
	}
	s.sysctls()
	s.missed("listening sockets", s.listeners(ctx))
	s.resolv()
	s.daemons()
	s.missed("the package of dnsmasq", s.dnsmasqPackage(ctx))
	s.libvirt()
	s.missed("limits", s.limits(ctx))
	s.modules()
	s.hook()
	s.networks()
	s.missed("firewalld", s.firewalld(ctx))
	s.filters(ctx)
	return facts, ctx.Err()
}

// survey fills in facts.
type survey struct {
	h      *Host
	facts  *doctor.Facts
	places doctor.Places
	names  map[int]string // of links, by their index
}

// missed notes what could not be looked at.
func (s *survey) missed(what string, err error) {
	if err != nil {
		s.facts.Unchecked = append(s.facts.Unchecked, fmt.Sprintf("%s: %v", what, err))
	}
}

// links reads the interfaces, their addresses and the routers among their
// neighbours.
func (s *survey) links(ctx context.Context) error {
	s.facts.Links = map[string]doctor.Link{}
	names := map[int]string{}
	s.names = names
	err := s.h.whole(ctx, "links", func() error {
		list, err := s.h.tc.LinkList()
		for _, l := range list {
			a := l.Attrs()
			names[a.Index] = a.Name
			s.facts.Links[a.Name] = doctor.Link{
				Up:        a.Flags&net.FlagUp != 0,
				STP:       s.stp(a.Name, l.Type()),
				PortState: s.portState(a.Name, a.MasterIndex),
			}
		}
		return err
	})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("listing links: %w", err)
	}
	var addrs []netlink.Addr
	err = s.h.whole(ctx, "addresses", func() (err error) {
		addrs, err = s.h.tc.AddrList(nil, netlink.FAMILY_ALL)
		return err
	})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addrs {
		addr, ok := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		link, known := s.facts.Links[names[a.LinkIndex]]
		if ok && known {
			link.Addresses = append(link.Addresses, netip.PrefixFrom(addr.Unmap(), bits))
			switch {
			case a.Flags&unix.IFA_F_DADFAILED != 0:
				link.Duplicate = append(link.Duplicate, addr)
			case a.Flags&unix.IFA_F_TENTATIVE != 0:
				link.Tentative = append(link.Tentative, addr)
			}
			s.facts.Links[names[a.LinkIndex]] = link
		}
	}
	s.missed("routers", s.routers(names))
	return nil
}

func (s *survey) stp(link, kind string) string {
	if kind == "bridge" && s.h.sysfs.word(link, "bridge/stp_state") != "0" {
		return "on"
	}
	return ""
}

// portState is that of a bridge's port (BR_STATE_*, linux/if_bridge.h).
func (s *survey) portState(link string, master int) string {
	if master == 0 {
		return ""
	}
	switch s.h.sysfs.word(link, "brport/state") {
	case "0":
		return "disabled"
	case "1":
		return "listening"
	case "2":
		return "learning"
	case "3":
		return "forwarding"
	case "4":
		return "blocking"
	}
	return ""
}

// word reads a one-word attribute of a network interface; "": there is none.
func (s sysfs) word(link, attr string) string {
	root := s.root
	if root == "" {
		root = "/sys"
	}
	if checkLink(link) != nil {
		return ""
	}
	data, err := os.ReadFile(path.Join(root, "class/net", link, attr))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (s *survey) routers(names map[int]string) error {
	list, err := s.h.tc.NeighList(0, netlink.FAMILY_V6)
	for _, n := range list {
		addr, ok := netip.AddrFromSlice(n.IP)
		if ok && n.Flags&netlink.NTF_ROUTER != 0 && n.State&(netlink.NUD_FAILED|netlink.NUD_INCOMPLETE) == 0 {
			s.facts.Routers = append(s.facts.Routers, doctor.Router{Link: names[n.LinkIndex], Address: addr})
		}
	}
	return err
}

// sysctls reads those that decide about packets, of all links.
func (s *survey) sysctls() {
	s.facts.Sysctls = map[string]string{}
	keys := []string{
		"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter",
		"net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables",
		"net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_sctp_timeout_established",
	}
	for name := range s.facts.Links {
		if checkLink(name) != nil {
			continue
		}
		for _, key := range []string{"forwarding", "rp_filter"} {
			keys = append(keys, path.Join("net/ipv4/conf", name, key))
		}
		for _, key := range []string{"forwarding", "force_forwarding", "accept_ra", "disable_ipv6"} {
			keys = append(keys, path.Join("net/ipv6/conf", name, key))
		}
	}
	for _, key := range keys {
		if file, err := sysctlPath(key); err == nil {
			if data, err := os.ReadFile(file); err == nil {
				s.facts.Sysctls[key] = strings.TrimSpace(string(data))
			}
		}
	}
}

// maxResolv is how much of resolv.conf is read, in bytes.
const maxResolv = 64 << 10

// resolv reads /etc/resolv.conf.
func (s *survey) resolv() {
	const file = "/etc/resolv.conf"
	r := &s.facts.Resolv
	if target, err := os.Readlink(file); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(file), target)
		}
		r.Target = target
	}
	data, err := readCapped(file, maxResolv)
	if errors.Is(err, os.ErrNotExist) {
		r.Missing = true
		return
	}
	s.missed(file, err)
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

// limits reads the bounds of the host that networks meet. Those of our own process are
// not the daemon's.
func (s *survey) limits(ctx context.Context) error {
	list, err := s.h.Limits(ctx)
	list = slices.DeleteFunc(list, func(l step.Limit) bool { return l.Kind == step.LimitTasks })
	if most, err := readLimit("net/netfilter/nf_conntrack_max"); err == nil {
		used, _ := readLimit("net/netfilter/nf_conntrack_count")
		list = append(list, step.Limit{Kind: step.LimitConnections, Key: "net/netfilter/nf_conntrack_max", Value: most, Free: most - used})
	}
	if pid := cmp.Or(s.facts.Daemons.Virbrd.PID, s.facts.Daemons.Holder.PID); pid != 0 {
		if groups := tasks(fmt.Sprintf("/proc/%d/cgroup", pid)); len(groups) > 0 {
			list = append(list, slices.MinFunc(groups, func(a, b step.Limit) int { return cmp.Compare(a.Free, b.Free) }))
		}
	}
	s.facts.Limits = list
	return err
}

// modules looks for kernel modules that not every kernel has.
func (s *survey) modules() {
	s.facts.Modules = map[string]doctor.Module{}
	var uts unix.Utsname
	_ = unix.Uname(&uts)
	dir := filepath.Join("/lib/modules", unix.ByteSliceToString(uts.Release[:]))
	const limit = 8 << 20
	builtin, _ := readCapped(filepath.Join(dir, "modules.builtin"), limit)
	loadable, err := readCapped(filepath.Join(dir, "modules.dep"), limit)
	for _, name := range []string{"act_csum", "act_police", "sch_htb", "sch_ingress", "cls_u32", "sctp"} {
		file := "/" + name + ".ko"
		switch _, statErr := os.Stat(filepath.Join("/sys/module", name)); {
		case statErr == nil, strings.Contains(string(builtin), file):
			s.facts.Modules[name] = doctor.ModulePresent
		case strings.Contains(string(loadable), file):
			s.facts.Modules[name] = doctor.ModuleAvailable
		case err == nil:
			s.facts.Modules[name] = doctor.ModuleAbsent
		}
	}
}
