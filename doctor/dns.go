package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// dns looks at where guests' questions go.
func (w *walker) dns() bool {
	def := w.n.Def
	if !dnsmasq.Wanted(def) || def.DNS.Enable == xml.No {
		return false
	}
	if w.n.Dnsmasq.PID != 0 {
		for _, a := range w.own() {
			w.deaf("udp", portDNS, "DNS", a)
		}
	}
	if w.asksHost() {
		w.upstream()
	}
	return true
}

// asksHost reports whether dnsmasq asks the servers of the host, and says whom else.
func (w *walker) asksHost() bool {
	def := w.n.Def
	if def.Forward.Mode == xml.ForwardNone {
		w.say("answers for the network's own names only")
		return false
	}
	var fixed []string
	for _, f := range def.DNS.Forwarders {
		if f.Domain == "" {
			fixed = append(fixed, f.Addr.String())
		}
	}
	if len(fixed) > 0 {
		w.say("asks " + strings.Join(fixed, ", "))
		return false
	}
	for _, option := range def.DnsmasqOptions {
		if strings.HasPrefix(option, "server=") || strings.HasPrefix(option, "resolv-file=") || option == "no-resolv" {
			w.say("asks whom the network's own dnsmasq options say")
			return false
		}
	}
	return true
}

// own returns the addresses of the definition.
func (w *walker) own() []netip.Addr {
	var all []netip.Addr
	ips := w.n.Def.Subnets()
	for i := range ips {
		if ips[i].Address.IsValid() {
			all = append(all, ips[i].Address)
		}
	}
	return all
}

// upstream looks at the servers of resolv.conf, which dnsmasq asks.
func (w *walker) upstream() {
	r := &w.f.Resolv
	if r.Missing || len(r.Servers) == 0 {
		w.noUpstream()
		return
	}
	usable := 0
	for _, s := range r.Servers {
		switch {
		case w.isOwn(s):
			w.tell(resolvLoop, Finding{
				Text: fmt.Sprintf("the host asks the network's own dnsmasq at %s for names, which asks the host's servers: a circle; "+
					"dnsmasq leaves such a server out", s),
				Evidence: []string{"/etc/resolv.conf: nameserver " + s.String()},
				Mend:     fmt.Sprintf(`sed -i '/^[ \t]*nameserver[ \t]*%s[ \t]*$/d' /etc/resolv.conf`, strings.ReplaceAll(s.String(), ".", `\.`)),
				Note:     "so that the host still finds guests' names, use <domain register='yes'/> (systemd-resolved) or libvirt's NSS modules",
			})
		case s.IsLoopback() && !w.answers(s):
			w.tell(resolvSilent, Finding{
				Text:     fmt.Sprintf("the host's name server %s is on the host itself, but no program listens there", s),
				Evidence: []string{"/etc/resolv.conf: nameserver " + s.String(), fmt.Sprintf("no socket at udp %s", netip.AddrPortFrom(s, portDNS))},
				Mend:     resolved(s),
			})
		default:
			usable++
			w.say("asks " + s.String())
		}
	}
	if usable == 0 && !slices.ContainsFunc(r.Servers, func(s netip.Addr) bool { return !w.isOwn(s) }) {
		w.noUpstream()
	}
}

// resolved is the command that starts who should listen at an address.
func resolved(s netip.Addr) string {
	if s == netip.AddrFrom4([4]byte{127, 0, 0, 53}) || s == netip.AddrFrom4([4]byte{127, 0, 0, 54}) {
		return "systemctl start systemd-resolved.service"
	}
	return fmt.Sprintf(`sed -i '/^[ \t]*nameserver[ \t]*%s[ \t]*$/d' /etc/resolv.conf`, strings.ReplaceAll(s.String(), ".", `\.`))
}

// isOwn reports whether an address is one of the network's bridge.
func (w *walker) isOwn(s netip.Addr) bool {
	return slices.ContainsFunc(w.f.Links[w.n.Def.Bridge.Name].Addresses, func(p netip.Prefix) bool { return p.Addr() == s }) ||
		slices.Contains(w.own(), s)
}

// answers reports whether somebody listens for DNS at an address.
func (w *walker) answers(s netip.Addr) bool {
	return len(w.f.Listeners) == 0 || slices.ContainsFunc(w.f.Listeners, func(l step.Listener) bool {
		return l.Proto == "udp" && l.Port == portDNS && l.Meets(s)
	})
}

// noUpstream tells of a dnsmasq that knows nobody to ask.
func (w *walker) noUpstream() {
	r := &w.f.Resolv
	f := Finding{
		Text:     "dnsmasq has no server to ask: guests find no names but their own",
		Evidence: []string{"/etc/resolv.conf has no nameserver that can be asked"},
	}
	server := "ADDRESS"
	f.Note = "put the address of a name server that you may use in the place of ADDRESS"
	for _, route := range w.f.Plan.Routes {
		if route.Dest.Bits() == 0 && route.Dest.Addr().Is4() && route.Gateway.Is4() {
			server = route.Gateway.String()
			f.Note = "this asks the host's router, which answers in most places; else use the address of a name server that you may use"
		}
	}
	f.Mend = fmt.Sprintf("echo nameserver %s >> /etc/resolv.conf", server)
	switch {
	case r.Missing && strings.HasSuffix(r.Target, "/systemd/resolve/stub-resolv.conf") || r.Missing && strings.HasSuffix(r.Target, "/systemd/resolve/resolv.conf"):
		f.Evidence = []string{"/etc/resolv.conf links to " + r.Target + ", which does not exist"}
		f.Mend, f.Note = "systemctl start systemd-resolved.service", ""
	case r.Missing && r.Target != "":
		f.Evidence = []string{"/etc/resolv.conf links to " + r.Target + ", which does not exist"}
		f.Mend = fmt.Sprintf("rm /etc/resolv.conf && echo nameserver %s > /etc/resolv.conf", server)
	case r.Missing:
		f.Evidence = []string{"/etc/resolv.conf does not exist"}
	}
	w.tell(resolvMissing, f)
}
