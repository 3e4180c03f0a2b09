package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/virbr/virbr/xml"
)

// allPorts is the word for all of them.
const allPorts = "all"

// parsePorts reads PORTS[/PROTO]: "8080", "8080:80", "9000-9010:9100",
// "80,443", "https", "all", each perhaps with "/udp" behind it. proto is "" where
// none is named.
func parsePorts(text string) (ranges []xml.ForwardRange, proto string, err error) {
	list, proto, named := strings.Cut(text, "/")
	if named {
		if proto, err = parseProto(proto); err != nil {
			return nil, "", fmt.Errorf("ports %q: %w", text, err)
		}
	}
	if strings.EqualFold(list, allPorts) {
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

func parseProto(text string) (string, error) {
	switch proto := strings.ToLower(text); proto {
	case "tcp", "udp", "sctp":
		return proto, nil
	}
	return "", fmt.Errorf("the protocol is one of tcp, udp and sctp, not %q", text)
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

// parseSpan reads START[-END], or the name of a service, which may have dashes.
func parseSpan(text string) (start, end uint16, err error) {
	if port, ok := service(text); ok {
		return port, port, nil
	}
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
	if port, ok := service(text); ok {
		return port, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || text[0] == '+' {
		return 0, fmt.Errorf("%q is neither a port from 1 to 65535 nor a service of /etc/services", text)
	}
	return uint16(n), nil
}

// service returns the port of a service by its name: "https".
func service(name string) (uint16, bool) {
	if name == "" || strings.Trim(name, "0123456789+-: ") == "" {
		return 0, false
	}
	for _, network := range []string{"tcp", "udp"} {
		if port, err := net.DefaultResolver.LookupPort(context.Background(), network, name); err == nil && port > 0 {
			return uint16(port), true
		}
	}
	return 0, false
}

// guestOfArgument returns a guest as definitions have it: MAC addresses may be
// written with dashes or in Cisco's way (52-54-00-12-34-56, 5254.0012.3456).
func guestOfArgument(text string) (string, error) {
	if text == "" {
		return "", errors.New("GUEST is empty: give its name, MAC address or IP address")
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return text, nil
	}
	if mac, err := net.ParseMAC(text); err == nil && len(mac) == 6 {
		return mac.String(), nil
	}
	return text, nil
}

// forwardOptions are what the command line says about one forward.
type forwardOptions struct {
	ports, guest, except  string
	proto, listen, family string
	from                  string
	ignore                bool
}

// forward makes a forward of them.
func (o *forwardOptions) forward() (*xml.PortForward, error) {
	ranges, proto, err := parsePorts(o.ports)
	if err != nil {
		return nil, err
	}
	f := &xml.PortForward{Proto: "tcp", Ignore: o.ignore, Guest: o.guest, Ranges: ranges}
	if err := o.protocol(f, proto); err != nil {
		return nil, err
	}
	if !o.ignore {
		if f.Guest, err = guestOfArgument(o.guest); err != nil {
			return nil, err
		}
	}
	if err := o.exceptions(f); err != nil {
		return nil, err
	}
	switch strings.ToLower(o.family) {
	case "", "all":
	case "ipv4":
		f.Family = xml.FamilyIPv4
	case "ipv6":
		f.Family = xml.FamilyIPv6
	default:
		return nil, fmt.Errorf("--family is one of ipv4, ipv6 and all, not %q", o.family)
	}
	if err := o.listens(f); err != nil {
		return nil, err
	}
	if o.from != "" {
		if f.From, err = xml.ParseSources(o.from); err != nil {
			return nil, fmt.Errorf("--from %w", err)
		}
	}
	made, err := xml.ParsePortForward([]byte(f.XML())) // in its usual form
	return made, argumentError(err)
}

// protocol sets a forward's protocol; named is the one behind the ports.
func (o *forwardOptions) protocol(f *xml.PortForward, named string) (err error) {
	if o.proto != "" {
		if f.Proto, err = parseProto(o.proto); err != nil {
			return fmt.Errorf("--proto: %w", err)
		}
		if named != "" && named != f.Proto {
			return fmt.Errorf("--proto %s contradicts ports %q", o.proto, o.ports)
		}
	}
	if named != "" {
		f.Proto = named
	}
	return nil
}

// exceptions adds the ports that are not forwarded.
func (o *forwardOptions) exceptions(f *xml.PortForward) error {
	if o.except == "" {
		return nil
	}
	except, _, err := parsePorts(o.except)
	if err != nil {
		return fmt.Errorf("--except: %w", err)
	}
	for _, r := range except {
		if r.To != 0 {
			return fmt.Errorf("--except %q: ports that are not forwarded have no port of the guest", o.except)
		}
		r.Exclude = true
		f.Ranges = append(f.Ranges, r)
	}
	return nil
}

// maxInterface is the longest name of an interface (IFNAMSIZ).
const maxInterface = 15

// listens sets where a forward listens.
func (o *forwardOptions) listens(f *xml.PortForward) error {
	switch strings.ToLower(o.listen) {
	case "", "*", "all", "any":
		return nil
	case "localhost":
		f.Address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if f.Family == xml.FamilyIPv6 {
			f.Address = netip.IPv6Loopback()
		}
		return nil
	}
	if addr, err := netip.ParseAddr(strings.Trim(o.listen, "[]")); err == nil {
		f.Address = addr
		return nil
	}
	digits := strings.Trim(o.listen, "0123456789.") == ""
	if digits || strings.ContainsAny(o.listen, ":/ []") || len(o.listen) > maxInterface {
		return fmt.Errorf("--listen %q is neither an IP address nor the name of an interface", o.listen)
	}
	f.Dev = o.listen
	return nil
}

// argumentError says of an argument what the definition's grammar says of the
// element that it becomes.
func argumentError(err error) error {
	wrong, ok := errors.AsType[*xml.Error](err)
	if !ok {
		return err
	}
	_, text, lined := strings.Cut(wrong.Msg, ": ")
	if !lined || !strings.HasPrefix(wrong.Msg, "at line ") {
		text = wrong.Msg
	}
	text = strings.NewReplacer(" in <portForward>", "", " of <portForward>", "", "<portForward>", "the forward",
		"portForward", "forward", " in <address>", "", "<address>", "the address", "attribute ", "", "element ", "").Replace(text)
	if text != "" {
		text = strings.ToLower(text[:1]) + text[1:]
	}
	return errors.New(text)
}
