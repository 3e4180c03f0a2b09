package plan

import (
	"math"
	"slices"
	"time"

	"github.com/virbr/virbr/xml"
)

// Succeed returns a running definition with the IPv4 subnets that an earlier one had
// and that guests have leases in: they stay until the last of these has ended. Guests
// learn of the new ones when they renew: dnsmasq refuses the old address then.
func Succeed(from, to *xml.Network, now time.Time) *xml.Network {
	if !from.OwnsBridge() || !to.OwnsBridge() || from.Bridge.Name != to.Bridge.Name || !slices.ContainsFunc(to.IPs, leases4) {
		return to
	}
	made := *to
	made.IPs = slices.Clone(to.IPs)
	for _, ip := range from.IPs { // the latest is the first: those before stand behind it
		if ip.Until == 0 && leases4(ip) {
			ip = xml.IP{Family: ip.Family, Address: ip.Address, Netmask: ip.Netmask, Prefix: ip.Prefix, Until: until(&ip, now)}
		}
		if ip.Until > uint64(now.Unix()) && !overlaps(to, &ip) && len(made.IPs) < len(to.IPs)+maxFormer {
			made.IPs = append(made.IPs, ip)
		}
	}
	if len(made.IPs) == len(to.IPs) {
		return to
	}
	return &made
}

func leases4(ip xml.IP) bool { return ip.Address.Is4() && ip.HasDHCP() }

func overlaps(def *xml.Network, ip *xml.IP) bool {
	subnet, ok := ip.Subnet()
	return !ok || slices.ContainsFunc(def.Prefixes(nil), subnet.Overlaps)
}

// maxFormer bounds the former subnets of a network. The oldest go first.
const maxFormer = 8

// usualLease is how long dnsmasq's leases last where nothing says so, in seconds.
const usualLease = 60 * 60

// units are those of leases, in seconds.
var units = map[string]uint64{"seconds": 1, "minutes": 60, "hours": 60 * 60}

// until returns when the last lease of a subnet will have ended, in seconds since the
// epoch; 0: some never do.
func until(ip *xml.IP, now time.Time) uint64 {
	longest := uint64(0)
	take := func(l *xml.Lease) bool {
		seconds := uint64(usualLease)
		if l != nil {
			seconds = min(l.Expiry, math.MaxUint32) * units[l.Unit]
		}
		longest = max(longest, seconds)
		return seconds > 0
	}
	for _, r := range ip.Ranges {
		if !take(r.Lease) {
			return 0
		}
	}
	for i := range ip.Hosts {
		if !take(ip.Hosts[i].Lease) {
			return 0
		}
	}
	return uint64(now.Unix()) + longest
}

// Expire returns a running definition without the subnets whose time is up, and when
// the next one's will be; zero: there is none.
func Expire(live *xml.Network, now time.Time) (made *xml.Network, next time.Time) {
	gone := func(ip xml.IP) bool { return ip.Until > 0 && ip.Until <= uint64(now.Unix()) }
	for i := range live.IPs {
		if ip := &live.IPs[i]; ip.Until > 0 && !gone(*ip) {
			if at := time.Unix(int64(ip.Until), 0); next.IsZero() || at.Before(next) {
				next = at
			}
		}
	}
	if !slices.ContainsFunc(live.IPs, gone) {
		return live, next
	}
	left := *live
	left.IPs = slices.DeleteFunc(slices.Clone(live.IPs), gone)
	return &left, next
}
