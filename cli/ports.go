package cli

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/virbr/virbr/xml"
)

// allPorts is the word for all of them.
const allPorts = "all"

// parsePorts reads PORTS[/PROTO]: "8080", "8080:80", "9000-9010:9100",
// "80,443", "all", each perhaps with "/udp" behind it. proto is "" where none is
// named.
func parsePorts(text string) (ranges []xml.ForwardRange, proto string, err error) {
	list, proto, named := strings.Cut(text, "/")
	if named && proto != "tcp" && proto != "udp" && proto != "sctp" {
		return nil, "", fmt.Errorf("ports %q: the protocol is one of tcp, udp and sctp, not %q", text, proto)
	}
	if list == allPorts {
		return nil, proto, nil
	}
	for item := range strings.SplitSeq(list, ",") {
		r, err := parseRange(item)
		if err != nil {
			return nil, "", fmt.Errorf("ports %q: %w", text, err)
		}
		ranges = append(ranges, r)
	}
	return ranges, proto, nil
}

// parseRange reads START[-END][:TO[-TOEND]].
func parseRange(item string) (xml.ForwardRange, error) {
	host, guest, moved := strings.Cut(item, ":")
	start, end, err := parseSpan(host)
	if err != nil {
		return xml.ForwardRange{}, err
	}
	r := xml.ForwardRange{Start: start}
	if end != start {
		r.End = end
	}
	if !moved {
		return r, nil
	}
	to, last, err := parseSpan(guest)
	if err != nil {
		return r, err
	}
	if last != to && last-to != end-start {
		return r, fmt.Errorf("%s are not as many ports as %s", host, guest)
	}
	if to != start {
		r.To = to
	}
	return r, nil
}

// parseSpan reads START[-END].
func parseSpan(text string) (start, end uint16, err error) {
	first, last, wide := strings.Cut(text, "-")
	if start, err = parsePort(first); err != nil {
		return 0, 0, err
	}
	if !wide {
		return start, start, nil
	}
	if end, err = parsePort(last); err != nil {
		return 0, 0, err
	}
	if end < start {
		return 0, 0, fmt.Errorf("%s ends before it begins", text)
	}
	return start, end, nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || text[0] == '+' {
		return 0, fmt.Errorf("%q is not a port from 1 to 65535", text)
	}
	return uint16(n), nil
}

// forwardOptions are what the command line says about one forward.
type forwardOptions struct {
	ports, guest, except  string
	proto, listen, family string
	ignore                bool
}

// forward makes a forward of them.
func (o *forwardOptions) forward() (*xml.PortForward, error) {
	ranges, proto, err := parsePorts(o.ports)
	if err != nil {
		return nil, err
	}
	f := &xml.PortForward{Proto: "tcp", Ignore: o.ignore, Guest: o.guest, Ranges: ranges}
	switch {
	case proto != "" && o.proto != "" && proto != o.proto:
		return nil, fmt.Errorf("--proto %s contradicts ports %q", o.proto, o.ports)
	case proto != "":
		f.Proto = proto
	case o.proto != "":
		f.Proto = o.proto
	}
	if o.except != "" {
		except, _, err := parsePorts(o.except)
		if err != nil {
			return nil, err
		}
		for _, r := range except {
			if r.To != 0 {
				return nil, fmt.Errorf("--except %q: ports that are not forwarded lead nowhere", o.except)
			}
			r.Exclude = true
			f.Ranges = append(f.Ranges, r)
		}
	}
	switch o.family {
	case "", "all":
	case "ipv4":
		f.Family = xml.FamilyIPv4
	case "ipv6":
		f.Family = xml.FamilyIPv6
	default:
		return nil, fmt.Errorf("--family is one of ipv4, ipv6 and all, not %q", o.family)
	}
	if addr, err := netip.ParseAddr(strings.Trim(o.listen, "[]")); err == nil {
		f.Address = addr
	} else {
		f.Dev = o.listen
	}
	return xml.ParsePortForward([]byte(f.XML())) // in its usual form
}
