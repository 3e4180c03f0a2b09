package host

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
)

// routers is for which networks the host became a router for IPv6 and goes on
// hearing routers itself, on links that come later, too.
type routers struct {
	mu      sync.Mutex // guards what follows
	bridges map[string]bool
	made    bool // we made the host a router: nobody decided before what it hears
}

// hearRouters has the host hear router advertisements though it forwards: accept_ra 2
// instead of 1 (Documentation/networking/ip-sysctl.rst). A link where somebody else
// handles them, as NetworkManager and systemd-networkd do, has 0 and is left alone. It
// is done before the host becomes a router, which costs it its routes otherwise.
func (h *Host) hearRouters(ctx context.Context, op step.HearRouters) error {
	const doing = "hearing routers beside"
	if err := checkLink(op.Bridge); err != nil {
		return opError(doing, op.Bridge, err)
	}
	r := &h.routers
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.made {
		made, err := h.becomesRouter()
		if err != nil {
			return opError(doing, op.Bridge, err)
		}
		r.made = made
	}
	if r.bridges == nil {
		r.bridges = map[string]bool{}
	}
	r.bridges[op.Bridge] = true
	routes, err := h.dumpRoutes(ctx, unix.AF_INET6)
	if err == nil {
		err = h.hearLocked(ctx, routes)
	}
	return opError(doing, op.Bridge, err)
}

// unhearRouters ends hearRouters for links that come later. The others stay as they
// are, for the host stays a router.
func (h *Host) unhearRouters(op step.UnhearRouters) error {
	r := &h.routers
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.bridges, op.Bridge)
	return nil
}

// becomesRouter reports whether the host is no router yet, or only is since we made it
// one, which is kept until the next boot as the sysctl is.
func (h *Host) becomesRouter() (bool, error) {
	on, err := readSysctl("net/ipv6/conf/all/forwarding")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || h.cfg.State == "" {
		return on == 0, err
	}
	mark := filepath.Join(h.cfg.State, "router")
	if on == 0 {
		return true, disk.Write(mark, nil, 0o600)
	}
	_, err = os.Lstat(mark)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// hearAgain looks at the links again: one has got an address.
func (h *Host) hearAgain(ctx context.Context) {
	r := &h.routers
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.bridges) == 0 {
		return
	}
	if err := h.hearLocked(ctx, nil); err != nil {
		h.log.WarnContext(ctx, "the host may not hear IPv6 routers", "err", err)
	}
}

// hearLocked has the host hear routers on the links that have some of the routes from
// advertisements, and on network cards.
func (h *Host) hearLocked(ctx context.Context, routes []route) error {
	links, names, err := h.readLinks(ctx)
	if err != nil {
		return err
	}
	list := map[string]bool{}
	if h.routers.made {
		for _, name := range plan.Cards(links) {
			list[name] = true
		}
	}
	learnt := learned(routes)
	for _, route := range routes {
		if name := names[route.link]; route.protocol == unix.RTPROT_RA || learnt[advertisedRoute{route.dest, name}] {
			list[name] = true
		}
	}
	var errs []error
	for name := range list {
		if !h.routers.bridges[name] && checkLink(name) == nil {
			errs = append(errs, h.hearOn(ctx, name))
		}
	}
	return errors.Join(errs...)
}

// hearOn has the host hear routers on a link, and asks for them: what they said before
// was not heard.
func (h *Host) hearOn(ctx context.Context, name string) error {
	key := path.Join("net/ipv6/conf", name, "accept_ra")
	value, err := readSysctl(key)
	if errors.Is(err, fs.ErrNotExist) || err == nil && value != 1 {
		return nil // gone, or somebody else's business
	}
	if err == nil {
		err = setSysctl(step.SetSysctl{Key: key, Value: strconv.Itoa(2), IfExists: true})
	}
	if err != nil {
		return err
	}
	h.log.InfoContext(ctx, "the host goes on hearing IPv6 routers, though it forwards", "link", name, "sysctl", key)
	if link, err := net.InterfaceByName(name); err == nil {
		if err := solicit(link); err != nil { // no address yet: the kernel asks when there is one
			h.log.DebugContext(ctx, "asking for routers", "link", name, "err", err)
		}
	}
	return nil
}

// solicit sends a router solicitation (RFC 4861 section 4.1). Without the link's own
// address in it a router answers to all.
func solicit(link *net.Interface) error {
	const solicitation = 133
	return toNodes(link, netip.IPv6LinkLocalAllRouters(), slices.Concat([]byte{solicitation}, make([]byte, 7)))
}
