package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// addresses knows the addresses of the host's links. As with [links] they are dumped
// once, and what changes is read when somebody asks: of links whose addresses are
// others, these are dumped again, as only a dump tells their order.
type addresses struct {
	mu      sync.Mutex // guards what follows
	news    *channel
	known   map[int][]seenAddress // by link
	stale   map[int]bool          // links to be dumped again
	current bool                  // known was dumped, and no notification was lost since
}

// seenAddress is an address of a link.
type seenAddress struct {
	address netip.Addr
	flags   uint8
}

// fewStale is how many links are dumped one by one; a dump of all costs less than more.
const fewStale = 16

// Addresses returns the addresses of each of the host's links by name, in the
// kernel's order, those that are not yet known to be unique left out.
func (h *Host) Addresses(ctx context.Context) (map[string][]netip.Addr, error) {
	_, names, err := h.readLinks(ctx)
	if err != nil {
		return nil, err
	}
	a := &h.addresses
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := h.lookLocked(ctx); err != nil {
		return nil, err
	}
	list := make(map[string][]netip.Addr, len(names))
	for index, name := range names {
		var unique []netip.Addr
		for _, seen := range a.known[index] {
			if seen.flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
				unique = append(unique, seen.address)
			}
		}
		list[name] = unique
	}
	return list, nil
}

// lookLocked reads what has changed since the last look.
func (h *Host) lookLocked(ctx context.Context) error {
	a := &h.addresses
	whole := a.news.drain(func(m syscall.NetlinkMessage) {
		if of, _, ok := parseAddress(m.Data); ok && a.current {
			a.stale[of.link] = true
		}
	})
	links := []int{0}
	if a.current = a.current && whole && len(a.stale) <= fewStale; a.current {
		links = nil
		for index := range a.stale {
			links = append(links, index)
		}
	}
	for _, index := range links {
		err := h.eachAddress(ctx, index, func() {
			if index == 0 {
				a.known, a.stale = map[int][]seenAddress{}, map[int]bool{}
			}
			delete(a.known, index)
		}, func(_ []byte, at onLink, flags uint8) {
			a.known[at.link] = append(a.known[at.link], seenAddress{at.address, flags})
		})
		if err != nil && !errors.Is(err, syscall.ENODEV) {
			a.current = false
			return err
		}
		delete(a.stale, index)
	}
	a.current = true
	return nil
}

// eachAddress calls do for each address of a link, or of all where the index is 0, and
// start before the first, each time that it starts. m is the kernel's message.
func (h *Host) eachAddress(ctx context.Context, link int, start func(), do func(m []byte, a onLink, flags uint8)) error {
	msg := nl.NewIfAddrmsg(unix.AF_UNSPEC)
	msg.Index = uint32(link)
	err := h.list(ctx, "addresses", unix.RTM_GETADDR, start, func(m []byte) {
		if a, flags, ok := parseAddress(m); ok && (link == 0 || a.link == link) {
			do(m, a, flags)
		}
	}, msg)
	if err != nil {
		return fmt.Errorf("listing addresses: %w", err)
	}
	return nil
}
