package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/delegation"
	"github.com/virbr/virbr/driver/policy"
)

// rtaExpires is RTA_EXPIRES (linux/rtnetlink.h): seconds.
const rtaExpires = 23

const (
	networkdName   = "org.freedesktop.network1"
	networkdHolder = "systemd-networkd"
)

// Delegated returns the prefixes that another program of the host was delegated by a
// link, and the program; "": none configures it that can be asked. NetworkManager's own
// client tells of none (Dhcp6Config has addresses alone).
func (h *Host) Delegated(ctx context.Context, link string) (holder string, list []delegation.Prefix, err error) {
	index, err := h.index(link)
	if err != nil {
		return "", nil, nil //nolint:nilerr // nobody has a prefix of a link that is not there
	}
	// The name of an object begins with no digit: that is written in hexadecimal.
	text, err := h.askNetworkd(ctx, "Link", "/org/freedesktop/network1/link/_3"+strconv.Itoa(index))
	if errors.Is(err, errNoService) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &clock); err != nil {
		return "", nil, fmt.Errorf("reading the clock: %w", err)
	}
	boot, now := time.Duration(clock.Nano()), time.Now().Round(0)
	configures, list, err := delegation.Networkd(text, boot, now)
	if err != nil || !configures {
		return "", nil, err
	}
	if len(list) == 0 {
		if text, err = h.askNetworkd(ctx, "Manager", "/org/freedesktop/network1"); err != nil {
			return "", nil, err
		}
		if list, err = delegation.NetworkdRoutes(text, boot, now); err != nil {
			return "", nil, err
		}
	}
	return networkdHolder, list, nil
}

// askNetworkd returns what systemd-networkd says of one of its objects.
func (h *Host) askNetworkd(ctx context.Context, kind, path string) ([]byte, error) {
	object, err := h.bus.service(ctx, networkdName, dbus.ObjectPath(path))
	if err != nil {
		return nil, err
	}
	var text string
	err = call(ctx, object, networkdName+"."+kind+".Describe", nil, &text)
	return []byte(text), err
}

// Refuse has the host answer that what is delegated and no guest's is unreachable, so
// that it is not sent back to the router (RFC 7084 requirement WPD-5). The routes go by
// themselves when the prefixes end; earlier ones go at once.
func (h *Host) Refuse(ctx context.Context, list []delegation.Prefix) error {
	had, err := h.refused(ctx)
	if err != nil {
		return err
	}
	var errs []error
	var want []netip.Prefix
	for _, p := range list {
		want = append(want, p.Prefix)
		left := min(max(time.Until(p.Valid)/time.Second, 1), math.MaxInt32/1000)
		errs = append(errs, h.refuse(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, p.Prefix, uint32(left)))
	}
	for _, p := range had {
		if !slices.Contains(want, p) {
			errs = append(errs, h.refuse(unix.RTM_DELROUTE, 0, p, 0))
		}
	}
	return errors.Join(errs...)
}

// refused returns the prefixes for which there are such routes.
func (h *Host) refused(ctx context.Context) (list []netip.Prefix, err error) {
	_, err = h.dumpTable(ctx, unix.AF_INET6, unix.RT_TABLE_MAIN, func() { list = nil }, func(m []byte) error {
		if len(m) < unix.SizeofRtMsg || m[5] != policy.Protocol || m[7] != unix.RTN_UNREACHABLE {
			return nil
		}
		for typ, value := range attributes(m[unix.SizeofRtMsg:]) {
			if a, ok := netip.AddrFromSlice(value); typ == unix.RTA_DST && ok {
				list = append(list, netip.PrefixFrom(a, int(m[1])))
			}
		}
		return nil
	})
	return list, err
}

func (h *Host) refuse(command, flags int, p netip.Prefix, seconds uint32) error {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET6, Dst_len: uint8(p.Bits()), Table: unix.RT_TABLE_MAIN, Protocol: policy.Protocol, Type: unix.RTN_UNREACHABLE}}
	req := h.nl.request(command, flags|unix.NLM_F_ACK)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, p.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(refuseMetric)))
	if seconds > 0 {
		req.AddData(nl.NewRtAttr(rtaExpires, nl.Uint32Attr(seconds)))
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if command == unix.RTM_DELROUTE && errors.Is(err, syscall.ESRCH) {
		err = nil
	}
	return opError("refusing what is delegated of", fmt.Sprint(p), err)
}
