package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// netlinkPatience is how long the kernel may take for one request. It answers
// within milliseconds; the limit keeps a broken kernel from holding us for ever.
const netlinkPatience = 30 * time.Second

// Config is what a Host needs.
type Config struct {
	Log *slog.Logger // nil: discard

	// LeaseHelper is the path of the program that dnsmasq calls for each
	// lease (--dhcp-script). dnsmasq passes it to a shell at times, so only
	// letters, digits and /._+- may be in it. Required for StartDnsmasq.
	LeaseHelper string

	// SystemBus is the D-Bus address of firewalld and systemd-resolved.
	// "": the system's own bus, and none where its socket is missing.
	SystemBus string

	// KeepLimits: limits of the kernel are not raised where they are too low
	// for one more network; its start is refused then.
	KeepLimits bool

	// Sysfs is where SR-IOV devices are looked up. "": /sys. In a tree of a
	// test's own any link may be a physical function.
	Sysfs string

	// Leases is the directory of the lease files that Watch follows:
	// BRIDGE.status, as libvirt's and our lease helper write them. It is made
	// where it is missing. "": they are not followed.
	Leases string

	// Shared: other processes change networks as well, as virbrd's hook beside its
	// agent. Nothing is restored that was not asked for again.
	Shared bool

	// State is a directory for what must be known until the next boot, as
	// sysctls are. "": it is forgotten when the process ends.
	State string
}

// Host is this machine, in the network namespace of the thread that called New.
// Its methods may be called by several goroutines at once.
type Host struct {
	cfg   Config
	log   *slog.Logger
	nl    *socket         // changes
	dumps *socket         // lists; strict, so that filters work in the kernel
	tc    *netlink.Handle // queues and filters
	fw    *fwnetlink.Conn // kept open: closing it after a deletion costs 20 ms
	fd    int             // a socket to ask for indexes

	runners map[reflect.Type]runner
	sysfs   sysfs

	links     links // as they were when last looked at
	addresses addresses
	table     table // so, too
	snoopers  snoopers
	claims    claims

	unlinks sync.WaitGroup // removals that the kernel has not finished

	bus     bus
	dnsmasq dnsmasqProbe
	starts  byPIDFile[aside]   // that were begun, and that nobody has waited for yet
	leaving byPIDFile[process] // that were asked to leave; they remove their pid files, by which they could be found
	deaths  deaths

	checksum   checksum
	flowtables flowtables
	guards     guards

	elsewhere elsewhere
	routers   routers
	policies  policies
	beside    beside
}

// New opens what the host is reached by. Close gives it back.
func New(cfg Config) (*Host, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := checkHelper(cfg.LeaseHelper); err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, log: cfg.Log, sysfs: sysfs{root: cfg.Sysfs}, fd: -1, runners: index(runners)}
	h.bus.address = cfg.SystemBus
	if err := h.open(); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func (h *Host) open() (err error) {
	if h.nl, err = openSocket(false); err != nil {
		return err
	}
	if h.dumps, err = openSocket(true); err != nil {
		return err
	}
	for _, s := range []struct {
		news   **channel
		groups []int
	}{
		{&h.links.news, []int{unix.RTNLGRP_LINK}},
		{&h.addresses.news, []int{unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR}},
		{&h.table.news, []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_NEXTHOP}},
		{&h.policies.news, []int{unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE}},
	} {
		if *s.news, err = openChannel(unix.NETLINK_ROUTE, s.groups...); err != nil {
			return err
		}
	}
	if err = h.policies.news.filter(routesOfInterest()); err != nil {
		return err
	}
	if err = h.deaths.open(); err != nil {
		return err
	}
	if h.tc, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	if err = h.tc.SetSocketTimeout(netlinkPatience); err != nil {
		return fmt.Errorf("setting the timeout of netlink: %w", err)
	}
	if h.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	if h.fw, err = fwnetlink.Open(0); err != nil {
		return fmt.Errorf("opening nftables: %w", err)
	}
	return nil
}

// Close gives back what New opened. What ops did to the host stays.
func (h *Host) Close() {
	h.starts.end((*aside).end)
	h.leaving.end((*process).close)
	h.snoopers.close()
	h.unlinks.Wait()
	h.nl.close()
	h.dumps.close()
	h.links.news.close()
	h.addresses.news.close()
	h.table.news.close()
	h.policies.news.close()
	h.deaths.close()
	if h.tc != nil {
		h.tc.Close()
	}
	if h.fd >= 0 {
		_ = unix.Close(h.fd)
	}
	if h.fw != nil {
		_ = h.fw.Close()
	}
	h.bus.close()
}

// checkHelper refuses a path that a shell would read as more than a path.
func checkHelper(path string) error {
	odd := func(r rune) bool {
		return !strings.ContainsRune("/._+-", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	if path != "" && (!filepath.IsAbs(path) || filepath.Clean(path) != path || strings.ContainsFunc(path, odd)) {
		return fmt.Errorf("checking the lease helper %q: not a plain absolute path", path)
	}
	return nil
}

// retries is how often an interrupted dump is started again. On a host where
// links come and go all the time no dump may be quiet, and what the last one
// saw is as true as any.
const retries = 10

// whole calls dump until the kernel says that nothing changed while it ran.
func (h *Host) whole(ctx context.Context, what string, dump func() error) error {
	for range retries {
		err := dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	h.log.WarnContext(ctx, "host changes faster than it can be read; going on with what was seen", "what", what)
	return nil
}
