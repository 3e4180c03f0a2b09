package doctor

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
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
	w.tell(dnsmasqDead, Finding{
		Text: "the network's dnsmasq does not run: guests get no addresses and no names", Evidence: []string{"no process serves network " + w.n.Name},
		Mend: w.f.repair(w.n),
	})
}

// uninstalled tells of a host without dnsmasq.
func (w *walker) uninstalled() {
	w.tell(dnsmasqMissing, Finding{
		Text:     "dnsmasq is not installed, so guests get neither addresses nor names",
		Evidence: []string{"no program dnsmasq in PATH and in /usr/local/sbin, /usr/sbin, /sbin"},
		Mend:     "apt-get install dnsmasq-base || dnf install dnsmasq || zypper install dnsmasq",
	})
}

// taken tells who has a port that dnsmasq needs.
func (w *walker) taken() {
	seen, name := map[Process]bool{}, w.n.Def.Bridge.Name
	for _, want := range w.wanted() {
		for _, l := range w.f.Listeners {
			by := l.Process
			if !l.Blocks(want.Proto, want.Port, want.address, name) || seen[by] || by.PID != 0 && by.PID == w.n.Dnsmasq.PID {
				continue
			}
			seen[by] = true
			w.tell(portTaken, Finding{
				Text: fmt.Sprintf("%s has %s port %d, so the network's dnsmasq cannot have it for %s", by, strings.ToUpper(want.Proto), want.Port, want.what),
				Evidence: []string{
					fmt.Sprintf("%s %s is held by %s", l.Proto, netip.AddrPortFrom(l.Address, l.Port), by),
					fmt.Sprintf("%s port %d of %s is taken by %s", want.what, want.Port, want.address, by), // as a start says it
				},
				Mend: end(by),
				Note: fmt.Sprintf("or have it listen elsewhere than at %s (bind: listen-on; dnsmasq: bind-interfaces and except-interface=%s; "+
					"unbound: interface)", want.address, name),
			})
		}
	}
}

// service is what dnsmasq listens at.
type service struct {
	step.Served
	address netip.Addr
	what    string
}

// wanted lists what the network's dnsmasq listens at.
func (w *walker) wanted() []service {
	var all []service
	for _, s := range plan.Serves(w.n.Def) {
		switch s.Port {
		case portDNS:
			for _, a := range w.own() {
				all = append(all, service{s, a, "DNS"})
			}
		case portDHCP:
			all = append(all, service{s, w.dhcpAddress(netip.Addr.Is4), "DHCP"})
		case portDHCPv6:
			if a := w.dhcpAddress(netip.Addr.Is6); a.IsValid() { // else it has a socket for advertisements only
				all = append(all, service{s, a, "DHCPv6"})
			}
		}
	}
	return all
}

// deaf tells of a dnsmasq that runs and has no socket for a service.
func (w *walker) deaf(proto string, port uint16, what string, address netip.Addr) {
	link := w.f.Links[w.n.Def.Bridge.Name]
	has := slices.ContainsFunc(link.Addresses, func(p netip.Prefix) bool { return p.Addr() == address })
	if !has || len(w.f.Listeners) == 0 || slices.Contains(link.Tentative, address) || slices.Contains(link.Duplicate, address) {
		return
	}
	own := func(l step.Listener) bool {
		return l.Process.PID == w.n.Dnsmasq.PID && l.Blocks(proto, port, address, w.n.Def.Bridge.Name)
	}
	if slices.ContainsFunc(w.f.Listeners, own) {
		return
	}
	w.taken()
	w.tell(dnsmasqDeaf, Finding{
		Text:     fmt.Sprintf("the network's dnsmasq runs, but does not listen at %s for %s", address, what),
		Evidence: []string{fmt.Sprintf("%s has no socket at %s port %d", w.n.Dnsmasq, proto, port)},
		Mend:     strings.TrimSpace(end(Process{PID: w.n.Dnsmasq.PID}) + " && " + w.f.repair(w.n)),
	})
}

// leases looks whether there are free addresses.
func (w *walker) leases() {
	for i := range w.n.Def.IPs {
		ip := &w.n.Def.IPs[i]
		if !ip.Address.Is4() || len(ip.Ranges) == 0 {
			continue
		}
		size, used := 0, 0
		for _, r := range ip.Ranges {
			size += number4(r.End) - number4(r.Start) + 1
		}
		for _, e := range w.n.Leases {
			a, err := netip.ParseAddr(e.Address)
			inside := func(r xml.Range) bool { return !a.Less(r.Start) && !r.End.Less(a) }
			if err == nil && slices.ContainsFunc(ip.Ranges, inside) && (e.Expiry == 0 || e.Expiry >= w.f.Checked) {
				used++
			}
		}
		w.say(fmt.Sprintf("%d of %d addresses are leased", used, size))
		if used < size {
			continue
		}
		w.tell(dhcpFull, Finding{
			Text: "all DHCP addresses are leased: the next guest gets none", Evidence: []string{fmt.Sprintf("%d leases, %d addresses in the ranges", used, size)},
			Mend: virsh("net-edit", w.n.Name), Note: "make <range> larger, or the <lease> time shorter; then " + restart(w.n.Name),
		})
	}
}

// number4 is an IPv4 address as a number.
func number4(a netip.Addr) int { return int(binary.BigEndian.Uint32(a.AsSlice())) }

// checksums tells of DHCP replies whose checksums nobody fills in.
func (w *walker) checksums() {
	if w.n.Checksums {
		return
	}
	f := Finding{
		Text: "the checksums of DHCP replies are not filled in: guests with a very old DHCP client, " +
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
	w.tell(checksum, f)
}
