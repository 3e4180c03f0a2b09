package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/xml"
)

// forwards looks at port forwards and public addresses.
func (w *walker) forwards() bool {
	ext, err := w.n.Def.Extensions()
	if err != nil {
		w.tell(Finding{
			ID: "extensions-broken", Severity: Problem,
			Text:     "what the metadata says of forwards and addresses cannot be read, so nothing of it is in force",
			Evidence: []string{err.Error()},
			Mend:     virsh("net-edit", w.n.Name),
		})
		return true
	}
	seen := map[string]bool{}
	for i := range ext.Forwards {
		f := &ext.Forwards[i]
		if f.Ignore {
			continue
		}
		if !seen[f.Guest] {
			seen[f.Guest] = true
			w.guest(f.Guest)
		}
		w.conflict(f)
		w.sctp(f)
	}
	for _, a := range ext.Publics {
		if !seen[a.Guest] {
			seen[a.Guest] = true
			w.guest(a.Guest)
		}
	}
	if n := len(ext.Forwards); n > 0 {
		w.say(fmt.Sprintf("%d port forwards", n))
	}
	if n := len(ext.Publics); n > 0 {
		w.say(fmt.Sprintf("%d public addresses", n))
	}
	return len(ext.Forwards)+len(ext.Publics) > 0
}

// guest looks whether a guest that is named is there.
func (w *walker) guest(name string) {
	if a, err := netip.ParseAddr(name); err == nil {
		if !slices.ContainsFunc(append(w.subnets(netip.Addr.Is4), w.subnets(netip.Addr.Is6)...), func(p netip.Prefix) bool { return p.Contains(a) }) {
			w.tell(Finding{
				ID: "guest-outside", Severity: Warning,
				Text:     fmt.Sprintf("a forward leads to %s, which is no address of the network", a),
				Evidence: []string{"subnets: " + prefixes(append(w.subnets(netip.Addr.Is4), w.subnets(netip.Addr.Is6)...))},
				Mend:     virsh("net-edit", w.n.Name),
			})
		}
		return
	}
	if w.known(name, netip.Addr.IsValid) {
		return
	}
	w.tell(Finding{
		ID: "guest-waiting", Severity: Hint,
		Text:     fmt.Sprintf("a forward leads to guest %s, which has no lease now: it waits until the guest comes", name),
		Evidence: []string{fmt.Sprintf("no lease and no static host %s", name)},
		Mend:     virsh("net-dhcp-leases", w.n.Name),
		Note:     "this shows the guests that there are; start the guest, or correct its name",
	})
}

// known reports whether a lease or a static host with an address of a family is that
// of a guest, by its name or MAC address.
func (w *walker) known(name string, family func(netip.Addr) bool) bool {
	mac, isMAC := xml.ParseMAC(name)
	is := func(host, address string) bool {
		if isMAC {
			other, ok := xml.ParseMAC(address)
			return ok && other == mac
		}
		return strings.EqualFold(host, name)
	}
	for _, e := range w.n.Leases {
		a, err := netip.ParseAddr(e.Address)
		if err == nil && family(a) && is(e.Hostname, e.MAC) && (e.Expiry == 0 || e.Expiry >= w.f.Checked) {
			return true
		}
	}
	for i := range w.n.Def.IPs {
		for _, h := range w.n.Def.IPs[i].Hosts {
			if is(h.Name, h.MAC) && h.IP.IsValid() && family(h.IP) {
				return true
			}
		}
	}
	return false
}

// conflict tells of programs that listen where a forward takes connections away
// from them.
func (w *walker) conflict(f *xml.PortForward) {
	for _, l := range w.f.Listeners {
		if l.Proto != f.Proto || !covers(f, l.Port) || !meets(f, l) {
			continue
		}
		w.tell(Finding{
			ID: "forward-taken", Severity: Warning,
			Text: fmt.Sprintf("%s port %d is forwarded to guest %s, but %s listens on it as well: nobody outside reaches that one any more",
				strings.ToUpper(f.Proto), l.Port, f.Guest, l.Process),
			Evidence: []string{fmt.Sprintf("%s %s is held by %s", l.Proto, netip.AddrPortFrom(l.Address, l.Port), l.Process)},
			Mend:     end(l.Process),
			Note:     "or forward another port",
		})
	}
}

// covers reports whether a forward has a port.
func covers(f *xml.PortForward, port uint16) bool {
	has := len(f.Ranges) == 0
	for _, r := range f.Ranges {
		if port >= r.Start && port <= max(r.Start, r.End) {
			if r.Exclude {
				return false
			}
			has = true
		}
	}
	return has
}

// meets reports whether a socket and a forward want the same connections. Those
// of the host to itself at other loopback addresses are not forwarded.
func meets(f *xml.PortForward, l Listener) bool {
	if f.Dev != "" || l.Dev != "" || l.Address.IsLoopback() {
		return false
	}
	four := l.Address.Is4() || l.Both
	if f.Family == xml.FamilyIPv4 && !four || f.Family == xml.FamilyIPv6 && l.Address.Is4() {
		return false
	}
	switch {
	case !f.Address.IsValid():
		return true
	case f.Address.IsUnspecified():
		return f.Address.Is4() && four || f.Address.Is6() && l.Address.Is6()
	case l.Address.IsUnspecified():
		return takes(l, f.Address)
	}
	return f.Address == l.Address
}
