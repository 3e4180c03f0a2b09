package xml

import (
	"net/netip"
	"strings"
)

// parseGuest reads a DHCP host name, a MAC address or an IP address and returns
// it in its usual form; names stay as written.
func parseGuest(el *node, text string) (string, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if problem := unreachable(addr); problem != "" {
			return "", el.bad("Invalid guest '%s' in <%s>: %s", text, el.name, problem)
		}
		return addr.String(), nil
	}
	if strings.Contains(text, ":") {
		mac, ok := ParseMAC(text)
		if !ok || len(text) != len(mac.String()) || mac.IsMulticast() || mac.IsZero() {
			return "", el.bad("Invalid guest '%s' in <%s>: this is neither an IP address nor a MAC address of one guest", text, el.name)
		}
		return mac.String(), nil
	}
	if strings.Trim(text, "0123456789.") == "" {
		return "", el.bad("Invalid guest '%s' in <%s>: want a DHCP host name, a MAC address or an IP address", text, el.name)
	}
	if strings.ContainsAny(text[:1], "._-") {
		return "", el.bad("Invalid guest '%s' in <%s>: a host name begins with a letter or a digit", text, el.name)
	}
	return text, checkHostname(el, "guest", text)
}

// unreachable says why an address is not that of one host on a network; "" if it
// is.
func unreachable(a netip.Addr) string {
	switch {
	case a.Zone() != "":
		return "a zone means nothing to others"
	case a.Is4In6():
		return "this is an IPv4-mapped address"
	case a.IsUnspecified():
		return "this is the unspecified address"
	case a.IsLoopback():
		return "this is a loopback address"
	case a.IsMulticast():
		return "this is a multicast address"
	case a.IsLinkLocalUnicast():
		return "this is a link-local address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "this is the broadcast address"
	}
	return ""
}
