package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// links knows the links of the namespace. The kernel needs some ten
// microseconds to describe one, so with a thousand of them a dump would take as
// long as all the rest of a network's start. Therefore they are dumped once;
// after that the kernel's notifications, which it queues before a change is
// over, are read when somebody asks.
type links struct {
	mu      sync.Mutex // guards what follows
	news    *channel
	known   map[int]seenLink // by index
	current bool             // known was dumped, and no notification was lost since

	// What is made of known. New links are added to it; all else makes it anew.
	byName  map[string]step.Link
	names   map[int]string // by index
	derived bool           // both are up to date
}

// readLinks returns the links by name, and the names by index.
func (h *Host) readLinks(ctx context.Context) (map[string]step.Link, map[int]string, error) {
	l := &h.links
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := h.lookForLinksLocked(ctx); err != nil {
		return nil, nil, err
	}
	if !l.derived {
		l.deriveLocked()
	}
	return maps.Clone(l.byName), maps.Clone(l.names), nil // the caller's; a clone costs little
}

// seenLinks returns the links by index.
func (h *Host) seenLinks(ctx context.Context) (map[int]seenLink, error) {
	h.links.mu.Lock()
	defer h.links.mu.Unlock()
	err := h.lookForLinksLocked(ctx)
	return maps.Clone(h.links.known), err
}

// lookForLinksLocked reads what has changed since the last look.
func (h *Host) lookForLinksLocked(ctx context.Context) error {
	l := &h.links
	if !l.news.drain(l.apply) {
		l.current = false // what was lost is seen by a dump
	}
	if l.current {
		return nil
	}
	return h.dumpLinksLocked(ctx)
}

// deriveLocked makes the maps of known.
func (l *links) deriveLocked() {
	l.names, l.byName, l.derived = make(map[int]string, len(l.known)), make(map[string]step.Link, len(l.known)), true
	for index, link := range l.known {
		l.names[index] = link.name
	}
	for _, link := range l.known {
		l.nameLocked(link)
	}
}

// nameLocked adds a link by its name. Its master is known: the kernel tells of that
// first.
func (l *links) nameLocked(link seenLink) {
	l.byName[link.name] = step.Link{Index: link.index, Kind: link.kind, Master: l.names[link.master], MAC: link.mac, Up: link.flags == carries}
}

// apply takes a notification into account. Those of family AF_BRIDGE are about
// ports: the end of one is no link's end.
func (l *links) apply(m syscall.NetlinkMessage) {
	if !l.current || len(m.Data) < unix.SizeofIfInfomsg || m.Data[0] != unix.AF_UNSPEC {
		return
	}
	link := parseLink(m.Data)
	switch m.Header.Type {
	case unix.RTM_NEWLINK:
		before, known := l.known[link.index]
		l.known[link.index] = link
		l.derived = l.derived && (!known || before.name == link.name) // a new name may be that of others' master
		if l.derived {
			l.names[link.index] = link.name
			l.nameLocked(link)
		}
	case unix.RTM_DELLINK:
		delete(l.known, link.index)
		l.derived = false // it may be others' master
	}
}

// rtextFilterSkipStats leaves the counters out of a dump of links, which nobody
// needs here and which cost the most (RTEXT_FILTER_SKIP_STATS,
// linux/rtnetlink.h).
const rtextFilterSkipStats = 1 << 3

// dumpLinksLocked reads all links. Notifications of changes since the dump began
// come after it and are read with the next look.
func (h *Host) dumpLinksLocked(ctx context.Context) error {
	err := h.list(ctx, "links", unix.RTM_GETLINK, func() {
		h.links.known, h.links.derived = map[int]seenLink{}, false
	}, func(m []byte) {
		link := parseLink(m)
		h.links.known[link.index] = link
	}, nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(rtextFilterSkipStats)))
	h.links.current = err == nil
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	return nil
}

// seenLink is a link as the kernel describes it.
type seenLink struct {
	name, kind    string
	index, master int
	mac           xml.MAC
	flags         int // those of carries
}

// carries are the flags of a link that something can be sent by: it is up, and is not
// known to have no carrier (Documentation/networking/operstates.rst).
const carries = unix.IFF_UP | unix.IFF_RUNNING

// parseLink reads a RTM_NEWLINK message as far as it can be read. The few
// attributes are picked out in place: there are dozens a link, and thousands of
// links.
func parseLink(m []byte) seenLink {
	if len(m) < unix.SizeofIfInfomsg {
		return seenLink{}
	}
	l := seenLink{index: number(m[4:]), flags: number(m[8:]) & carries}
	for typ, value := range attributes(m[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.name = text(value)
		case unix.IFLA_ADDRESS:
			if len(value) == len(l.mac) {
				l.mac = xml.MAC(value)
			}
		case unix.IFLA_MASTER:
			l.master = number(value)
		case unix.IFLA_LINKINFO:
			l.kind = text(attribute(value, unix.IFLA_INFO_KIND))
		}
	}
	return l
}

// attributes yields the netlink attributes of b: struct nlattr with values that
// are padded to four bytes.
func attributes(b []byte) func(yield func(typ uint16, value []byte) bool) {
	const header = unix.SizeofNlAttr
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= header {
			size := int(binary.NativeEndian.Uint16(b))
			if size < header || size > len(b) {
				return
			}
			typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(typ, b[header:size]) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// text returns an attribute's string, which ends with a zero byte or not.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
