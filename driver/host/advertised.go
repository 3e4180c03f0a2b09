package host

import (
	"bufio"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// rtfAddrconf marks a route that the kernel made from a router advertisement
// (RTF_ADDRCONF, linux/ipv6_route.h).
const rtfAddrconf = 0x00040000

// advertisedRoute names a route of /proc/net/ipv6_route.
type advertisedRoute struct {
	dest netip.Prefix
	link string
}

// learned returns the routes that the kernel made from router advertisements
// though their protocol says "kernel": on-link prefixes have that. Netlink does
// not tell them from routes of addresses with a lifetime, /proc does. The file
// has all routes of the host, so it is read only where there may be such a
// route: they expire.
func learned(routes []route) map[advertisedRoute]bool {
	candidate := false
	for _, r := range routes {
		candidate = candidate || r.protocol == unix.RTPROT_KERNEL && r.expires
	}
	if !candidate {
		return nil
	}
	f, err := os.Open("/proc/net/ipv6_route")
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	found := map[advertisedRoute]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if r, ok := parseAdvertised(lines.Text()); ok {
			found[r] = true
		}
	}
	return found
}

// parseAdvertised reads a line: destination, prefix length in hexadecimal,
// source and its length, next hop, metric, two counters, flags, device.
func parseAdvertised(line string) (advertisedRoute, bool) {
	f := strings.Fields(line)
	if len(f) != 10 {
		return advertisedRoute{}, false
	}
	flags, err := strconv.ParseUint(f[8], 16, 32)
	if err != nil || flags&rtfAddrconf == 0 {
		return advertisedRoute{}, false
	}
	raw, err := hex.DecodeString(f[0])
	if err != nil {
		return advertisedRoute{}, false
	}
	addr, ok := netip.AddrFromSlice(raw)
	bits, err := strconv.ParseUint(f[1], 16, 8)
	if err != nil || !ok || int(bits) > addr.BitLen() {
		return advertisedRoute{}, false
	}
	return advertisedRoute{netip.PrefixFrom(addr, int(bits)), f[9]}, true
}
