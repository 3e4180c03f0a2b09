package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/policy"
)

// readRules reads the rules of routing of a family.
func (h *Host) readRules(ctx context.Context, family int) ([]policy.Rule, error) {
	var list []policy.Rule
	err := h.list(ctx, "rules of routing", unix.RTM_GETRULE, func() { list = nil }, func(m []byte) {
		if len(m) >= unix.SizeofRtMsg {
			list = append(list, parseRule(m))
		}
	}, &nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family)}})
	if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing rules of routing: %w", err)
	}
	return list, nil
}

// The kernel's numbers (linux/fib_rules.h).
const (
	fibToTable = 1 // FR_ACT_TO_TBL
	fibInvert  = 2 // FIB_RULE_INVERT

	fraL3mdev   = 19
	fraProtocol = 21
)

// parseRule reads a message of a rule: struct fib_rule_hdr, which is laid out as struct
// rtmsg, and attributes. What ours do not have makes it an other one.
func parseRule(m []byte) policy.Rule {
	r := policy.Rule{Suppress: -1, Table: uint32(m[4])}
	r.Other = m[2] != 0 || m[3] != 0 || m[7] != fibToTable || number(m[8:])&fibInvert != 0
	for typ, value := range attributes(m[unix.SizeofRtMsg:]) {
		switch typ {
		case nl.FRA_PRIORITY:
			r.Priority = uint32(number(value))
		case nl.FRA_TABLE:
			r.Table = uint32(number(value))
		case nl.FRA_FWMARK:
			r.Mark = uint32(number(value))
		case nl.FRA_FWMASK:
			r.Mask = uint32(number(value))
		case nl.FRA_IIFNAME:
			r.In = text(value)
		case nl.FRA_DST:
			a, _ := netip.AddrFromSlice(value)
			r.To = netip.PrefixFrom(a, int(m[1]))
		case nl.FRA_SUPPRESS_PREFIXLEN:
			r.Suppress = int(int32(number(value)))
		case fraProtocol:
			if len(value) > 0 {
				r.Protocol = value[0]
			}
		case nl.FRA_SUPPRESS_IFGROUP:
			r.Other = r.Other || int32(number(value)) != -1
		case fraL3mdev:
			r.Other = r.Other || len(value) > 0 && value[0] != 0
		case unix.RTA_PAD:
		default:
			r.Other = true
		}
	}
	if m[7] != fibToTable {
		r.Table = 0
	}
	return r
}

// policyRule adds a rule, or deletes it. One that is there, or is not, is no error.
func (h *Host) policyRule(family int, r policy.Rule, add bool) error {
	command, flags := unix.RTM_DELRULE, 0
	if add {
		command, flags = unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL
	}
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family), Type: fibToTable}}
	if r.To.IsValid() {
		msg.Dst_len = uint8(r.To.Bits())
	}
	body := attrs{msg}
	body.put(nl.FRA_PRIORITY, nl.Uint32Attr(r.Priority))
	body.put(nl.FRA_TABLE, nl.Uint32Attr(r.Table))
	body.put(fraProtocol, []byte{r.Protocol})
	if r.To.IsValid() {
		body.put(nl.FRA_DST, r.To.Addr().AsSlice())
	}
	if r.In != "" {
		body.put(nl.FRA_IIFNAME, nl.ZeroTerminated(r.In))
	}
	if r.Mask != 0 {
		body.put(nl.FRA_FWMARK, nl.Uint32Attr(r.Mark))
		body.put(nl.FRA_FWMASK, nl.Uint32Attr(r.Mask))
	}
	if r.Suppress >= 0 {
		body.put(nl.FRA_SUPPRESS_PREFIXLEN, nl.Uint32Attr(uint32(r.Suppress)))
	}
	err := h.nl.change(command, flags, body...)
	if add && errors.Is(err, syscall.EEXIST) || !add && errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("changing rule %d of routing: %w", r.Priority, err)
	}
	return nil
}

// The metrics of our routes: what refuses comes last.
const (
	policyMetric = 1
	refuseMetric = math.MaxUint32
)

// policyRoute adds a route of ours, in the place of one with the same metric, or deletes
// it. One that is gone is no error; so is one by a link that goes in this moment.
func (h *Host) policyRoute(family int, r policy.Route, add bool) error {
	command, flags, msg := unix.RTM_DELROUTE, 0, nl.NewRtDelMsg()
	if add {
		command, flags, msg = unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, nl.NewRtMsg()
	}
	msg.Family, msg.Protocol, msg.Dst_len, msg.Table = uint8(family), policy.Protocol, uint8(r.Dest.Bits()), unix.RT_TABLE_UNSPEC
	msg.Type, msg.Scope = unix.RTN_UNICAST, unix.RT_SCOPE_UNIVERSE
	metric := uint32(policyMetric)
	var index int
	switch {
	case r.Link == "":
		msg.Type, metric = unix.RTN_UNREACHABLE, refuseMetric
	default:
		var err error
		if index, err = h.index(r.Link); err != nil {
			return nil //nolint:nilerr // it has just gone, and its routes with it
		}
		if r.Gateway.IsValid() {
			msg.Flags |= unix.RTNH_F_ONLINK
		} else if family == unix.AF_INET {
			msg.Scope = unix.RT_SCOPE_LINK
		}
	}
	body := attrs{msg}
	body.put(unix.RTA_TABLE, nl.Uint32Attr(r.Table))
	body.put(unix.RTA_PRIORITY, nl.Uint32Attr(metric))
	if r.Dest.Bits() > 0 {
		body.put(unix.RTA_DST, r.Dest.Addr().AsSlice())
	}
	if index != 0 {
		body.put(unix.RTA_OIF, nl.Uint32Attr(uint32(index)))
	}
	if r.Gateway.IsValid() {
		body.put(unix.RTA_GATEWAY, r.Gateway.AsSlice())
	}
	if r.Source.IsValid() && add {
		body.put(unix.RTA_PREFSRC, r.Source.AsSlice())
	}
	err := h.nl.change(command, flags, body...)
	if !add && errors.Is(err, syscall.ESRCH) || r.Link != "" && passing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("changing route %s of table %d: %w", r.Dest, r.Table, err)
	}
	return nil
}

// ownRoute reads a route of a table of ours. Not ok: it is somebody else's, or the
// kernel's own.
func ownRoute(m []byte, names map[int]string) (policy.Route, bool) {
	if len(m) < unix.SizeofRtMsg || m[5] != policy.Protocol {
		return policy.Route{}, false
	}
	var r policy.Route
	dest := netip.IPv4Unspecified()
	if m[0] == unix.AF_INET6 {
		dest = netip.IPv6Unspecified()
	}
	for typ, value := range attributes(m[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_TABLE:
			r.Table = uint32(number(value))
		case unix.RTA_DST:
			dest, _ = netip.AddrFromSlice(value)
		case unix.RTA_OIF:
			r.Link = names[number(value)]
		case unix.RTA_GATEWAY:
			r.Gateway, _ = netip.AddrFromSlice(value)
		case unix.RTA_PREFSRC:
			r.Source, _ = netip.AddrFromSlice(value)
		}
	}
	if m[7] == unix.RTN_UNREACHABLE { // IPv6 says it is by the loopback device
		r.Link = ""
	}
	r.Dest = netip.PrefixFrom(dest, int(m[1]))
	return r, true
}

// defaultsOf reads a route if it is a way of saying "everything". A link that has lost
// its carrier carries nothing.
func defaultsOf(m []byte, table uint32, names map[int]string) ([]policy.Default, error) {
	if len(m) < unix.SizeofRtMsg || int(m[1]) > policy.Short(m[0] == unix.AF_INET6) {
		return nil, nil
	}
	ways, err := parseRoute(m)
	if err != nil {
		return nil, err
	}
	metric := uint32(number(attribute(m[unix.SizeofRtMsg:], unix.RTA_PRIORITY)))
	var list []policy.Default
	for _, w := range ways {
		if name := names[w.link]; name != "" && !w.dead {
			list = append(list, policy.Default{Link: name, Gateway: w.gateway, Table: table, Metric: metric})
		}
	}
	return list, nil
}
