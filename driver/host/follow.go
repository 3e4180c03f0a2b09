package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/policy"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// maxSeen is how many neighbours, and how many addresses, are remembered. What
// guests may fill is emptied when it is full: then everything is told once more.
const maxSeen = 1 << 16

// follower hears of neighbours, addresses and default routes. It knows the neighbours and addresses that were told, so that what the
// kernel says again and again is told once: each neighbour goes through half a
// dozen states a minute, and each router advertisement renews an address.
type follower struct {
	host       *Host
	news       *channel
	neighbours map[onLink]xml.MAC
	addresses  map[onLink]uint8        // flags
	up         map[int]int             // flags of links, as they were last seen, of those in [carries]
	ports      map[int]int             // bridges of links that are ports
	links      map[int]followedLink    // those that went, until that was told
	gone       []int                   // links that went since the last tale
	changed    map[followedChange]bool // since the last tale
}

// onLink is an address on a link.
type onLink struct {
	link    int
	address netip.Addr
}

// followedLink is a link as it was when it was last told of.
type followedLink struct {
	name   string
	bridge bool
}

// followedChange is a change of a link; of link 0: of all.
type followedChange struct {
	kind step.ChangeKind
	link int
}

func (h *Host) openFollower() (*follower, error) {
	c, err := openChannel(unix.NETLINK_ROUTE, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err == nil {
		err = c.filter(routesOfInterest())
	}
	if err != nil {
		return nil, fmt.Errorf("following neighbours and addresses: %w", err)
	}
	return &follower{
		host: h, news: c,
		neighbours: make(map[onLink]xml.MAC), addresses: make(map[onLink]uint8), up: make(map[int]int), ports: make(map[int]int),
		links: make(map[int]followedLink), changed: make(map[followedChange]bool),
	}, nil
}

// run tells of neighbours on bridges and of addresses until ctx ends. What the
// kernel says in one go, or within a moment after that, is told once for each link.
func (f *follower) run(ctx context.Context, tell func(step.Change)) error {
	stop := context.AfterFunc(ctx, f.news.interrupt)
	defer stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	if err := f.list(ctx); err != nil {
		return err
	}
	for {
		more, err := true, f.news.receive(f.hear)
		for err == nil && more && len(f.changed) < maxRecent {
			more, err = f.news.next(false, f.hear)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.ENOBUFS):
			if err := f.lost(ctx); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("following neighbours and addresses: %w", err)
		}
		f.tale(tell)
		rest.Reset(moment)
		select {
		case <-rest.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hear takes one message of the kernel.
func (f *follower) hear(m syscall.NetlinkMessage) {
	switch m.Header.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if n, ok := parseNeighbour(m.Data); ok {
			n.alive = n.alive && m.Header.Type == unix.RTM_NEWNEIGH
			f.neighbour(n)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if a, flags, ok := parseAddress(m.Data); ok {
			f.address(a, flags, m.Header.Type == unix.RTM_NEWADDR)
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		f.link(m.Data, m.Header.Type == unix.RTM_NEWLINK)
	case unix.RTM_NEWNETCONF:
		if link, ok := parseForwarding(m.Data); ok {
			f.changed[followedChange{step.ChangeForwarding, link}] = true
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if link, ok := parseDefault(m.Data); ok {
			f.changed[followedChange{step.ChangeAddresses, link}] = true
		}
		f.changed[followedChange{kind: step.ChangeRoutes}] = true
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		f.changed[followedChange{kind: step.ChangeRoutes}] = true
	}
}

// link takes that a link came, went, or was switched on or off. The kernel says so of
// a link with each of its ports, too; then nothing has changed.
func (f *follower) link(m []byte, there bool) {
	if len(m) < unix.SizeofIfInfomsg {
		return
	}
	index, flags := number(m[4:]), 0
	if there {
		flags = number(m[8:]) & carries
	}
	f.name(m, there)
	f.port(index, m, there)
	was, seen := f.up[index]
	if !there {
		delete(f.up, index)
	} else {
		if len(f.up) >= maxSeen {
			clear(f.up)
		}
		f.up[index] = flags
	}
	if up := flags&unix.IFF_UP != 0; (was&unix.IFF_UP != 0) != up || !seen && there && !up {
		f.changed[followedChange{step.ChangeAddresses, index}] = true
	}
	if was != flags || !seen {
		f.changed[followedChange{kind: step.ChangeRoutes}] = true
	}
}

// name takes what a link is called. One that goes is known until that was told.
func (f *follower) name(m []byte, there bool) {
	switch l := parseLink(m); {
	case m[0] != unix.AF_UNSPEC:
	case there:
		f.links[l.index] = followedLink{l.name, l.kind == "bridge"}
		f.gone = slices.DeleteFunc(f.gone, func(index int) bool { return index == l.index })
	default:
		f.gone = append(f.gone, l.index)
	}
}

// list reads the links that there are.
func (f *follower) list(ctx context.Context) error {
	links, err := f.host.seenLinks(ctx)
	for index, l := range links {
		f.links[index], f.up[index] = followedLink{l.name, l.kind == "bridge"}, l.flags
	}
	return err
}

// port takes that a link became a port of a bridge, or is none any more. What is said of
// family AF_BRIDGE is said once more of the link itself.
func (f *follower) port(index int, m []byte, there bool) {
	if m[0] != unix.AF_UNSPEC {
		return
	}
	was, is := f.ports[index], 0
	if there {
		is = parseLink(m).master
	}
	if was == is {
		return
	}
	if len(f.ports) >= maxSeen {
		clear(f.ports)
	}
	f.ports[index] = is
	if is == 0 {
		delete(f.ports, index)
	}
	for _, bridge := range []int{was, is} {
		if bridge != 0 {
			f.changed[followedChange{step.ChangePorts, bridge}] = true
		}
	}
}

// parseForwarding reads a RTM_NEWNETCONF message (struct netconfmsg has one byte, and
// padding) and returns the link whose forwarding it is about; 0: of the whole host. Not
// ok: it is about something else. Each new link brings one.
func parseForwarding(m []byte) (link int, ok bool) {
	const header = 4
	const ifindex, forwarding = 1, 2 // NETCONFA_IFINDEX, NETCONFA_FORWARDING
	if len(m) < header {
		return 0, false
	}
	for typ, value := range attributes(m[header:]) {
		switch typ {
		case ifindex:
			link = max(int(int32(number(value))), 0) // NETCONFA_IFINDEX_ALL, NETCONFA_IFINDEX_DEFAULT
		case forwarding:
			ok = true
		}
	}
	return link, ok
}

func (f *follower) neighbour(n seenNeighbour) {
	key := onLink{n.link, n.address}
	mac, seen := f.neighbours[key]
	if n.alive == seen && mac == n.mac || !n.alive && !seen {
		return
	}
	f.changed[followedChange{step.ChangeNeighbours, n.link}] = true
	if !n.alive {
		delete(f.neighbours, key)
		return
	}
	if len(f.neighbours) >= maxSeen {
		clear(f.neighbours)
	}
	f.neighbours[key] = n.mac
}

// shown are the flags of an address that matter to those who use it.
const shown = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED

func (f *follower) address(a onLink, flags uint8, there bool) {
	old, seen := f.addresses[a]
	if there && seen && old == flags&shown {
		return
	}
	f.changed[followedChange{step.ChangeAddresses, a.link}] = true
	if !there {
		delete(f.addresses, a)
		return
	}
	if len(f.addresses) >= maxSeen {
		clear(f.addresses)
	}
	f.addresses[a] = flags & shown
}

// lost says that anything may have happened.
func (f *follower) lost(ctx context.Context) error {
	clear(f.links)
	clear(f.neighbours)
	clear(f.addresses)
	f.changed[followedChange{kind: step.ChangeNeighbours}] = true
	f.changed[followedChange{kind: step.ChangeAddresses}] = true
	f.changed[followedChange{kind: step.ChangeForwarding}] = true
	f.changed[followedChange{kind: step.ChangePorts}] = true
	f.changed[followedChange{kind: step.ChangeRoutes}] = true
	return f.list(ctx)
}

// tale tells what has changed by the names of links. Neighbours matter on bridges
// only; a link that was never seen before it went had none that anybody asked for.
func (f *follower) tale(tell func(step.Change)) {
	for c := range f.changed {
		l := f.links[c.link]
		switch {
		case c.link == 0:
			tell(step.Change{Kind: c.kind})
		case l.name == "", (c.kind == step.ChangeNeighbours || c.kind == step.ChangePorts) && !l.bridge:
		default:
			tell(step.Change{Kind: c.kind, Link: l.name})
		}
	}
	for _, index := range f.gone {
		delete(f.links, index)
	}
	f.gone = f.gone[:0]
	clear(f.changed)
}

// parseAddress reads a RTM_NEWADDR or RTM_DELADDR message. Not ok: it is not
// about an IP address.
func parseAddress(m []byte) (a onLink, flags uint8, ok bool) {
	if len(m) < unix.SizeofIfAddrmsg || m[0] != unix.AF_INET && m[0] != unix.AF_INET6 {
		return a, 0, false
	}
	a.link, flags = number(m[4:]), m[2]
	for typ, value := range attributes(m[unix.SizeofIfAddrmsg:]) {
		switch typ {
		case unix.IFA_LOCAL:
			a.address, _ = netip.AddrFromSlice(value)
		case unix.IFA_ADDRESS: // of the other end, where there is one
			if !a.address.IsValid() {
				a.address, _ = netip.AddrFromSlice(value)
			}
		case unix.IFA_FLAGS:
			if len(value) == 4 {
				flags = uint8(binary.NativeEndian.Uint32(value))
			}
		}
	}
	return a, flags, a.address.IsValid()
}

// parseDefault reads a RTM_NEWROUTE or RTM_DELROUTE message and returns the link of
// a default route; 0: of several. Not ok: it is not of the main table, or leads
// to less.
func parseDefault(m []byte) (link int, ok bool) {
	if len(m) < unix.SizeofRtMsg || m[1] != 0 || m[5] == policy.Protocol || m[4] != unix.RT_TABLE_MAIN || m[0] != unix.AF_INET && m[0] != unix.AF_INET6 {
		return 0, false
	}
	return number(attribute(m[unix.SizeofRtMsg:], unix.RTA_OIF)), true
}

// routesOfInterest is a classic BPF program for an rtnetlink socket: of the news of
// routes, of which a router of the Internet has a million, it takes those of ours and
// of those to everywhere, and all else. It reads struct nlmsghdr, whose type is at byte
// 4, and struct rtmsg behind it, whose rtm_dst_len is at byte 17 and whose rtm_protocol
// is at byte 21.
func routesOfInterest() []unix.SockFilter {
	const (
		load16 = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		load8  = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		longer = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K
	)
	return []unix.SockFilter{
		{Code: load16, K: 4},
		{Code: equal, K: wire16(unix.RTM_NEWROUTE), Jt: 1},
		{Code: equal, K: wire16(unix.RTM_DELROUTE), Jf: 4},
		{Code: load8, K: 17},
		{Code: longer, K: uint32(policy.Short(true)), Jf: 2},
		{Code: load8, K: 21},
		{Code: equal, K: policy.Protocol, Jf: 1},
		{Code: answer, K: 1<<32 - 1},
		{Code: answer, K: 0},
	}
}
