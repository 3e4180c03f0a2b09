package host

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/driver/step"
)

// Observe fills in what the kernel and its services tell of the host and of the networks
// in the facts. What cannot be read is told there; the error is that the host does not
// even tell its links and routes.
func (h *Host) Observe(ctx context.Context, facts *doctor.Facts, dirs dnsmasq.Dirs) (err error) {
	if facts.Plan, err = h.Facts(ctx); err != nil {
		return err
	}
	s := &survey{h: h, facts: facts}
	if err := s.links(ctx); err != nil {
		return err
	}
	s.sysctls()
	s.missed("listening sockets", s.listeners(ctx))
	s.missed("the package of dnsmasq", s.dnsmasqPackage(ctx))
	s.missed("limits", s.limits(ctx))
	for i := range facts.Networks {
		if n := &facts.Networks[i]; n.Def != nil && n.Active {
			s.network(n, dirs)
		}
	}
	s.missed("firewalld", s.firewalld(ctx))
	s.filters(ctx)
	return ctx.Err()
}

// survey fills in facts.
type survey struct {
	h     *Host
	facts *doctor.Facts
	names map[int]string // of links, by their index
}

// missed notes what could not be looked at.
func (s *survey) missed(what string, err error) {
	if err != nil {
		s.facts.Unchecked = append(s.facts.Unchecked, fmt.Sprintf("%s: %v", what, err))
	}
}

// links reads the interfaces, their addresses and the routers among their neighbours.
func (s *survey) links(ctx context.Context) (err error) {
	if _, s.names, err = s.h.readLinks(ctx); err != nil {
		return err
	}
	list, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	err = s.h.eachAddress(ctx, 0, func() {
		s.facts.Links = map[string]doctor.Link{}
		for _, l := range list {
			known := s.facts.Plan.Links[l.Name]
			s.facts.Links[l.Name] = doctor.Link{Up: l.Flags&net.FlagUp != 0, STP: s.stp(l.Name, known.Kind), PortState: s.portState(l.Name, known.Master)}
		}
	}, func(m []byte, a onLink, flags uint8) {
		name := s.names[a.link]
		link, known := s.facts.Links[name]
		if !known {
			return
		}
		link.Addresses = append(link.Addresses, netip.PrefixFrom(a.address, int(m[1]))) // ifa_prefixlen
		switch {
		case flags&unix.IFA_F_DADFAILED != 0:
			link.Duplicate = append(link.Duplicate, a.address)
		case flags&unix.IFA_F_TENTATIVE != 0:
			link.Tentative = append(link.Tentative, a.address)
		}
		s.facts.Links[name] = link
	})
	s.missed("routers", s.routers(s.names))
	return err
}

func (s *survey) stp(link, kind string) string {
	if kind == "bridge" && s.h.sysfs.word(link, "bridge/stp_state") != "0" {
		return "on"
	}
	return ""
}

// portState is that of a bridge's port (BR_STATE_*, linux/if_bridge.h).
func (s *survey) portState(link, master string) string {
	if master == "" {
		return ""
	}
	states := map[string]string{"0": "disabled", "1": "listening", "2": "learning", "3": "forwarding", "4": "blocking"}
	return states[s.h.sysfs.word(link, "brport/state")]
}

// word reads a one-word attribute of a network interface; "": there is none.
func (s sysfs) word(link, attr string) string {
	if checkLink(link) != nil {
		return ""
	}
	data, err := os.ReadFile(s.path("class/net", link, attr))
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

// listeners reads the sockets that wait on ports, and whose they are.
func (s *survey) listeners(ctx context.Context) error {
	list, err := s.h.Listeners(ctx)
	owners := socketOwners(ctx, 0) // behind it: a socket that is new has an owner by now
	known := map[uint32]doctor.Process{}
	for i, l := range list {
		if _, ok := known[l.Inode]; !ok {
			known[l.Inode] = Describe(owners[l.Inode])
		}
		list[i].Process = known[l.Inode]
	}
	s.facts.Listeners = list
	return err
}
