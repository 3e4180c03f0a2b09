package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/plan"
)

// Facts reads what plans need to know: one dump of the links and one of the
// main table per family. A dnsmasq that cannot be asked for its version is
// reported without one; the reason is logged.
func (h *Host) Facts(ctx context.Context) (plan.Facts, error) {
	if err := ctx.Err(); err != nil {
		return plan.Facts{}, err
	}
	links, names, err := h.links(ctx)
	if err != nil {
		return plan.Facts{}, err
	}
	facts := plan.Facts{Links: links, AcceptRA: map[string]int{}, VFs: h.sysfs.virtualFunctions(links)}
	if _, err := os.Stat(path.Join(sysctlRoot, "net/ipv6")); errors.Is(err, fs.ErrNotExist) {
		facts.NoIPv6 = true
	}
	if facts.Routes, err = h.routes(ctx, names, facts.NoIPv6); err != nil {
		return plan.Facts{}, err
	}
	acceptRA(facts)
	facts.Dnsmasq, err = h.dnsmasq.facts(ctx)
	if err != nil {
		h.log.WarnContext(ctx, "asking dnsmasq for its version", "err", err)
	}
	return facts, ctx.Err()
}

// The parts of a dump of links that nobody needs here, and that cost the most.
const rtextFilterSkipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h

// links returns the links by name, and the names by index.
func (h *Host) links(ctx context.Context) (map[string]plan.Link, map[int]string, error) {
	var seen []seenLink
	err := h.whole(ctx, "links", func() error {
		seen = seen[:0]
		req := h.dumps.request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(rtextFilterSkipStats)))
		return req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, func(m []byte) bool {
			seen = append(seen, parseLink(m))
			return true
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listing links: %w", err)
	}
	names := make(map[int]string, len(seen))
	for _, l := range seen {
		names[l.index] = l.name
	}
	links := make(map[string]plan.Link, len(seen))
	for _, l := range seen {
		links[l.name] = plan.Link{Index: l.index, Kind: l.kind, Master: names[l.master]}
	}
	return links, names, nil
}

// seenLink is a link as its dump has it.
type seenLink struct {
	name, kind    string
	index, master int
}

// parseLink reads a RTM_NEWLINK message as far as it can be read. The few
// attributes are picked out in place: there are dozens a link, and thousands of
// links.
func parseLink(m []byte) seenLink {
	if len(m) < unix.SizeofIfInfomsg {
		return seenLink{}
	}
	l := seenLink{index: number(m[4:])}
	for typ, value := range attributes(m[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.name = text(value)
		case unix.IFLA_MASTER:
			l.master = number(value)
		case unix.IFLA_LINKINFO:
			for typ, value := range attributes(value) {
				if typ == unix.IFLA_INFO_KIND {
					l.kind = text(value)
				}
			}
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

// routes returns the main tables of both families.
func (h *Host) routes(ctx context.Context, names map[int]string, noIPv6 bool) ([]plan.Route, error) {
	v4, err := h.dumpRoutes(ctx, unix.AF_INET)
	if err != nil {
		return nil, err
	}
	var v6 []route
	if !noIPv6 {
		if v6, err = h.dumpRoutes(ctx, unix.AF_INET6); err != nil {
			return nil, err
		}
	}
	advertised := learned(v6)
	list := make([]plan.Route, 0, len(v4)+len(v6))
	for _, r := range append(v4, v6...) {
		link := names[r.link]
		list = append(list, plan.Route{
			Dest: r.dest, Link: link, Gateway: r.gateway,
			FromRA: r.dest.Addr().Is6() && (r.protocol == unix.RTPROT_RA || advertised[advertisedRoute{r.dest, link}]),
		})
	}
	return list, nil
}

// acceptRA fills in the setting of the links that live on advertised routes. A
// link that is gone by now has none.
func acceptRA(facts plan.Facts) {
	if facts.NoIPv6 {
		return
	}
	want := []string{"all"}
	for _, r := range facts.Routes {
		if r.FromRA && checkLink(r.Link) == nil {
			want = append(want, r.Link)
		}
	}
	for _, name := range want {
		if n, err := readSysctl(path.Join("net/ipv6/conf", name, "accept_ra")); err == nil {
			facts.AcceptRA[name] = n
		}
	}
}
