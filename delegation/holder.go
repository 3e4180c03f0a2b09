package delegation

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// maxDescription bounds what another program says about a link, in bytes.
const maxDescription = 4 << 20

// Networkd reads what systemd-networkd describes a link by (org.freedesktop.network1,
// Link.Describe): whether it configures the link, and the prefixes that a router
// delegated to it there. Those are told since systemd 254, with moments of the boot clock.
// boot is that clock's time now.
func Networkd(text []byte, boot time.Duration, now time.Time) (configures bool, list []Prefix, err error) {
	var link struct {
		NetworkFile  string
		DHCPv6Client struct {
			Prefixes []struct {
				Prefix                [16]byte
				PrefixLength          int
				PreferredLifetimeUSec uint64
				ValidLifetimeUSec     uint64
			}
		}
	}
	if len(text) > maxDescription {
		return false, nil, fmt.Errorf("systemd-networkd describes a link by %d bytes", len(text))
	}
	if err := json.Unmarshal(text, &link); err != nil {
		return false, nil, fmt.Errorf("reading what systemd-networkd says of a link: %w", err)
	}
	for _, p := range link.DHCPv6Client.Prefixes {
		made := Prefix{Prefix: netip.PrefixFrom(netip.AddrFrom16(p.Prefix), p.PrefixLength), Preferred: moment(p.PreferredLifetimeUSec, boot, now), Valid: moment(p.ValidLifetimeUSec, boot, now)}
		if made.usable() && len(list) < maxPrefixes {
			list = append(list, made)
		}
	}
	return link.NetworkFile != "", list, nil
}

// moment reads a moment of the boot clock, in microseconds.
func moment(usec uint64, boot time.Duration, now time.Time) time.Time {
	if usec == 0 || usec > uint64(1<<62)/1000 { // left out, or infinite
		return now.Add(maxValid)
	}
	return now.Add(min(time.Duration(usec)*time.Microsecond-boot, maxValid))
}

// The kernel's number of a route that refuses (RTN_UNREACHABLE), and how systemd-networkd
// calls what is from a DHCPv6 lease.
const (
	unreachable = 7
	fromDHCPv6  = "DHCPv6"
)

// late is how far a prefix may be behind another one of the same lease, which was read
// in the same moment.
const late = 5 * time.Second

// NetworkdRoutes reads what systemd-networkd describes the host by (Manager.Describe):
// before version 254 delegated prefixes are told by the routes alone that refuse what is
// no link's. A prefix that the router took away keeps its route until it runs out; it
// is the one that is no longer prolonged with the others.
func NetworkdRoutes(text []byte, boot time.Duration, now time.Time) ([]Prefix, error) {
	var host struct {
		Routes []struct {
			Family                  int
			Destination             json.RawMessage
			DestinationPrefixLength int
			Type                    int
			ConfigSource            string
			LifetimeUSec            uint64
		}
	}
	if len(text) > maxDescription {
		return nil, fmt.Errorf("systemd-networkd describes the host by %d bytes", len(text))
	}
	if err := json.Unmarshal(text, &host); err != nil {
		return nil, fmt.Errorf("reading what systemd-networkd says of the host: %w", err)
	}
	var list []Prefix
	var last time.Time
	for _, r := range host.Routes {
		var to [16]byte
		if r.Type != unreachable || r.ConfigSource != fromDHCPv6 || json.Unmarshal(r.Destination, &to) != nil {
			continue
		}
		valid := moment(r.LifetimeUSec, boot, now)
		p := Prefix{Prefix: netip.PrefixFrom(netip.AddrFrom16(to), r.DestinationPrefixLength), Preferred: valid, Valid: valid}
		if p.usable() && len(list) < maxPrefixes {
			list = append(list, p)
			if valid.After(last) {
				last = valid
			}
		}
	}
	for i := range list {
		if last.Sub(list[i].Valid) > late {
			list[i].Preferred = time.Unix(0, 0)
		}
	}
	return list, nil
}
