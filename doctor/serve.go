package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/xml"
)

// The ports of the services that dnsmasq has for guests.
const (
	portDNS    = 53
	portDHCP   = 67  // RFC 2131
	portDHCPv6 = 547 // RFC 8415
)

// dhcp looks at the network's dnsmasq and what it says to guests that boot.
func (w *walker) dhcp() bool {
	if !dnsmasq.Wanted(w.n.Def) {
		return false
	}
	if w.n.Dnsmasq.PID == 0 {
		w.dead()
	} else {
		w.say(w.n.Dnsmasq.String() + " serves")
		w.deaf("udp", portDHCP, "DHCP", w.dhcpAddress(netip.Addr.Is4))
	}
	if w.dhcpAddress(netip.Addr.Is4).IsValid() {
		w.leases()
		w.checksums()
	}
	return true
}

// dhcpAddress returns the bridge's address in the subnet of a family that has
// DHCP; an invalid one: none has.
func (w *walker) dhcpAddress(family func(netip.Addr) bool) netip.Addr {
	for i := range w.n.Def.IPs {
		if ip := &w.n.Def.IPs[i]; ip.HasDHCP() && family(ip.Address) {
			return ip.Address
		}
	}
	return netip.Addr{}
}

// dead tells why no dnsmasq runs, as far as that can be seen.
func (w *walker) dead() {
	if w.f.Plan.Dnsmasq.Path == "" {
		w.uninstalled()
		return
	}
	w.taken()
	w.tell(Finding{
		ID: "dnsmasq-dead", Severity: Problem,
		Text:     "the network's dnsmasq does not run: guests get no addresses and no names",
		Evidence: []string{"no process serves network " + w.n.Name},
		Mend:     w.f.repair(w.n),
	})
}

// uninstalled tells of a host without dnsmasq.
func (w *walker) uninstalled() {
	w.tell(Finding{
		ID: "dnsmasq-missing", Severity: Problem,
		Text:     "dnsmasq is not installed, so guests get neither addresses nor names",
		Evidence: []string{"no program dnsmasq in PATH and in /usr/local/sbin, /usr/sbin, /sbin"},
		Mend:     "apt-get install dnsmasq-base || dnf install dnsmasq || zypper install dnsmasq",
	})
}

// taken tells who has a port that dnsmasq would want.
func (w *walker) taken() {
	seen := map[Process]bool{}
	for _, want := range w.wanted() {
		for _, l := range w.f.Listeners {
			if !blocks(l, want.proto, want.port, want.address, w.n.Def.Bridge.Name) || seen[l.Process] || l.Process.PID != 0 && l.Process.PID == w.n.Dnsmasq.PID {
				continue
			}
			seen[l.Process] = true
			w.tell(Finding{
				ID: "port-taken", Severity: Problem,
				Text: fmt.Sprintf("%s has %s port %d, so the network's dnsmasq cannot have it for %s",
					l.Process, strings.ToUpper(want.proto), want.port, want.what),
				Evidence: []string{
					fmt.Sprintf("%s %s is held by %s", l.Proto, netip.AddrPortFrom(l.Address, l.Port), l.Process),
					fmt.Sprintf("%s port %d of %s is taken by %s", want.what, want.port, want.address, l.Process), // as a start says it
				},
				Mend: end(l.Process),
				Note: fmt.Sprintf("or have it listen elsewhere than at %s (bind: listen-on; dnsmasq: bind-interfaces and except-interface=%s; "+
					"unbound: interface)", want.address, w.n.Def.Bridge.Name),
			})
		}
	}
}

// service is what dnsmasq wants to listen at.
type service struct {
	proto   string
	port    uint16
	address netip.Addr
	what    string
}

// wanted lists what the network's dnsmasq listens at.
func (w *walker) wanted() []service {
	var all []service
	ips := w.n.Def.Subnets()
	for i := range ips {
		if !ips[i].Address.IsValid() {
			continue
		}
		if w.n.Def.DNS.Enable != xml.No {
			all = append(all, service{"udp", portDNS, ips[i].Address, "DNS"}, service{"tcp", portDNS, ips[i].Address, "DNS"})
		}
	}
	if a := w.dhcpAddress(netip.Addr.Is4); a.IsValid() {
		all = append(all, service{"udp", portDHCP, a, "DHCP"})
	}
	if a := w.dhcpAddress(netip.Addr.Is6); a.IsValid() {
		all = append(all, service{"udp", portDHCPv6, a, "DHCPv6"})
	}
	return all
}

// blocks reports whether a socket keeps another one from a port.
func blocks(l Listener, proto string, port uint16, address netip.Addr, dev string) bool {
	if l.Proto != proto || l.Port != port || l.Dev != "" && l.Dev != dev {
		return false
	}
	if l.Process.Name == "dnsmasq" && !l.Address.IsUnspecified() && l.Address != address {
		return false
	}
	return takes(l, address)
}

// takes reports whether a socket gets what is sent to an address.
func takes(l Listener, address netip.Addr) bool {
	switch {
	case l.Address == address:
		return true
	case !l.Address.IsUnspecified():
		return false
	}
	return l.Address.Is4() == address.Is4() || l.Both
}

// deaf tells of a dnsmasq that runs and has no socket for a service.
func (w *walker) deaf(proto string, port uint16, what string, address netip.Addr) {
	link := w.f.Links[w.n.Def.Bridge.Name]
	has := slices.ContainsFunc(link.Addresses, func(p netip.Prefix) bool { return p.Addr() == address })
	if !has || len(w.f.Listeners) == 0 || slices.Contains(link.Tentative, address) || slices.Contains(link.Duplicate, address) {
		return
	}
	for _, l := range w.f.Listeners {
		if l.Proto == proto && l.Port == port && l.Process.PID == w.n.Dnsmasq.PID && takes(l, address) {
			return
		}
	}
	w.taken()
	w.tell(Finding{
		ID: "dnsmasq-deaf", Severity: Problem,
		Text:     fmt.Sprintf("the network's dnsmasq runs, but does not listen at %s for %s", address, what),
		Evidence: []string{fmt.Sprintf("%s has no socket at %s port %d", w.n.Dnsmasq, proto, port)},
		Mend:     strings.TrimSpace(end(Process{PID: w.n.Dnsmasq.PID}) + " && " + w.f.repair(w.n)),
	})
}

// leases looks whether there are addresses left.
func (w *walker) leases() {
	for i := range w.n.Def.IPs {
		ip := &w.n.Def.IPs[i]
		if !ip.Address.Is4() || len(ip.Ranges) == 0 {
			continue
		}
		size, used := rangeSize(ip.Ranges), 0
		for _, e := range w.n.Leases {
			a, err := netip.ParseAddr(e.Address)
			if err == nil && inRanges(ip.Ranges, a) && (e.Expiry == 0 || e.Expiry >= w.f.Checked) {
				used++
			}
		}
		w.say(fmt.Sprintf("%d of %d addresses are leased", used, size))
		if uint64(used) < size {
			continue
		}
		w.tell(Finding{
			ID: "dhcp-full", Severity: Warning,
			Text:     "all DHCP addresses are leased: the next guest gets none",
			Evidence: []string{fmt.Sprintf("%d leases, %d addresses in the ranges", used, size)},
			Mend:     virsh("net-edit", w.n.Name),
			Note:     "make <range> larger, or the <lease> time shorter; then " + restart(w.n.Name),
		})
	}
}

// rangeSize counts addresses of IPv4 ranges.
func rangeSize(ranges []xml.Range) uint64 {
	var sum uint64
	for _, r := range ranges {
		if r.Start.Is4() && r.End.Is4() && !r.End.Less(r.Start) {
			sum += uint64(number4(r.End)-number4(r.Start)) + 1
		}
	}
	return sum
}

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func inRanges(ranges []xml.Range, a netip.Addr) bool {
	for _, r := range ranges {
		if a.Is4() && r.Start.Is4() && !a.Less(r.Start) && !r.End.Less(a) {
			return true
		}
	}
	return false
}

// checksums tells of DHCP replies whose checksums nobody fills in.
func (w *walker) checksums() {
	if w.n.Checksums {
		return
	}
	f := Finding{
		ID: "checksum", Severity: Hint,
		Text: "nobody fills in the checksums of DHCP replies: guests with a very old DHCP client, " +
			"such as RHEL 5, throw the replies away; all newer ones do not care",
		Evidence: []string{"no csum filter on " + w.n.Def.Bridge.Name + ", no CHECKSUM rule"},
	}
	switch w.f.Modules["act_csum"] {
	case ModuleAvailable:
		f.Evidence = append(f.Evidence, "module act_csum is not loaded")
		f.Mend = "modprobe act_csum && { " + w.f.renew(w.n) + "; }"
		if strings.HasSuffix(f.Mend, "&; }") {
			f.Mend = "modprobe act_csum && " + w.f.renew(w.n)
		}
	case ModulePresent:
		f.Mend = w.f.repair(w.n)
	case ModuleAbsent, ModuleUnknown:
		f.Evidence = append(f.Evidence, "the kernel has no module act_csum (CONFIG_NET_ACT_CSUM)")
		f.Note = "no command mends this: it takes a kernel that has act_csum or nft_compat with xt_CHECKSUM; Debian, Fedora and RHEL ship both"
	}
	w.tell(f)
}
