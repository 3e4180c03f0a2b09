package host

import (
	"context"
	"slices"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
)

// table knows the main table of IPv4. With a thousand networks it has a thousand
// routes, so it is dumped once; after that the kernel's notifications are read when
// somebody asks. Routes also go without one, with what they lead to; what may have
// taken some along makes the next look a dump.
//
// The main table of IPv6 is dumped each time: the kernel changes its routes'
// lifetimes without a word.
type table struct {
	mu      sync.Mutex // guards what follows
	news    *channel
	known   []entry
	current bool // known was dumped, and nothing was missed since
}

// entry is one route of the kernel's, which may have several ways.
type entry struct {
	body string // of its message: routes that differ in anything are two
	ways []route
}

// routes4 returns the main table of IPv4, with room for more routes. The names are
// those of links, by index.
func (h *Host) routes4(ctx context.Context, names map[int]string, more int) ([]step.Route, error) {
	t := &h.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.news.drain(t.applyLocked) {
		t.current = false
	}
	if !t.current {
		// What changes from now on is told, and read with the next look.
		whole, err := h.dumpTable(ctx, unix.AF_INET, unix.RT_TABLE_MAIN, func() { t.known = nil }, t.addLocked)
		if t.current = whole && err == nil; err != nil {
			return nil, err
		}
	}
	list := make([]step.Route, 0, len(t.known)+more)
	for _, e := range t.known {
		for _, r := range e.ways {
			list = append(list, step.Route{Dest: r.dest, Link: names[r.link], Gateway: r.gateway})
		}
	}
	return list, nil
}

// addLocked adds a route.
func (t *table) addLocked(m []byte) error {
	ways, err := parseRoute(m)
	t.known = append(t.known, entry{bodyOf(m), ways})
	return err
}

// findLocked returns the position of a route; -1: it is not known.
func (t *table) findLocked(m []byte) int {
	body := bodyOf(m)
	return slices.IndexFunc(t.known, func(e entry) bool { return e.body == body })
}

// bodyOf returns the message of a route without struct rtmsg's flags, which say
// whether its link has a carrier.
func bodyOf(m []byte) string {
	body := slices.Clone(m)
	if len(body) >= unix.SizeofRtMsg {
		clear(body[8:unix.SizeofRtMsg])
	}
	return string(body)
}

// applyLocked takes a notification into account.
func (t *table) applyLocked(m syscall.NetlinkMessage) {
	if !t.current {
		return
	}
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		t.current = t.routeLocked(m)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		t.current = t.linkLocked(m)
	case unix.RTM_DELADDR, unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		t.current = false
	}
}

// routeLocked takes news of a route, and reports whether it is known what has
// become of the table.
func (t *table) routeLocked(m syscall.NetlinkMessage) bool {
	if len(m.Data) < unix.SizeofRtMsg {
		return false
	}
	if msg := nl.DeserializeRtMsg(m.Data); msg.Family != unix.AF_INET || msg.Flags&unix.RTM_F_CLONED != 0 || tableOfRoute(msg, m.Data) != unix.RT_TABLE_MAIN {
		return true
	}
	i := t.findLocked(m.Data)
	switch {
	case m.Header.Type == unix.RTM_NEWROUTE && i >= 0: // the dump had it already
	case m.Header.Type == unix.RTM_NEWROUTE:
		return m.Header.Flags&unix.NLM_F_REPLACE == 0 && t.addLocked(m.Data) == nil
	case i >= 0:
		t.known = slices.Delete(t.known, i, i+1)
	}
	return i >= 0
}

// tableOfRoute returns the number of the table that a route is in.
func tableOfRoute(msg *nl.RtMsg, m []byte) int {
	if value := attribute(m[unix.SizeofRtMsg:], unix.RTA_TABLE); value != nil {
		return number(value)
	}
	return int(msg.Table)
}

// linkLocked takes news of a link, and reports whether the routes by it are still
// there: they go when it goes down, away, or into a VRF.
func (t *table) linkLocked(m syscall.NetlinkMessage) bool {
	if len(m.Data) < unix.SizeofIfInfomsg {
		return false
	}
	index, down := number(m.Data[4:]), number(m.Data[8:])&unix.IFF_UP == 0
	if m.Data[0] == unix.AF_UNSPEC && m.Header.Type == unix.RTM_NEWLINK && !down && parseLink(m.Data).master == 0 {
		return true
	}
	return !slices.ContainsFunc(t.known, func(e entry) bool {
		return slices.ContainsFunc(e.ways, func(r route) bool { return r.link == index })
	})
}
