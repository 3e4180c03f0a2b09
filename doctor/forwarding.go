package doctor

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall/coexist"
)

// forwarding looks whether the host is a router for the network.
func (w *walker) forwarding() bool {
	w.bridgeFilter()
	if !w.outward() {
		w.say("nothing is forwarded: the network is closed")
		return w.worst != ""
	}
	looked := false
	if len(w.n.Def.Prefixes(netip.Addr.Is4)) > 0 {
		looked = true
		w.forwarding4()
		w.filters()
	}
	if len(w.n.Def.Prefixes(netip.Addr.Is6)) > 0 && !w.f.Plan.NoIPv6 {
		looked = true
		w.forwarding6()
		w.advertised()
	}
	return looked
}

// forwarding4: the switch for all writes those of each interface, and these
// decide (Documentation/networking/ip-sysctl.rst, ip_forward).
func (w *walker) forwarding4() {
	const all = "net/ipv4/ip_forward"
	if w.f.Sysctls[all] == "0" {
		w.tell(forwarding4Off, Finding{
			Text: "the host forwards no IPv4: guests reach the host and nothing behind it", Evidence: []string{all + " = 0"},
			Mend: setSysctl(all, "1"), Note: "something switches it off after the network started; look into /etc/sysctl.d",
		})
		return
	}
	fine := true
	for _, dev := range append([]string{w.n.Def.Bridge.Name}, w.uplinks(netip.Addr.Is4)...) {
		key := path.Join("net/ipv4/conf", dev, "forwarding")
		if w.f.Sysctls[key] != "0" {
			continue
		}
		fine = false
		what := "answers to guests"
		if dev == w.n.Def.Bridge.Name {
			what = "what guests send"
		}
		w.tell(forwarding4Link, Finding{
			Text:     fmt.Sprintf("IPv4 forwarding is off for interface %s: the host drops %s", dev, what),
			Evidence: []string{key + " = 0", all + " = " + w.f.Sysctls[all]}, Mend: setSysctl(key, "1"),
		})
	}
	if fine {
		w.say("IPv4 is forwarded")
	}
}

// forwarding6: one switch for all decides; kernels since 6.17 have one for each
// interface beside it.
func (w *walker) forwarding6() {
	const all = "net/ipv6/conf/all/forwarding"
	forced := w.f.Sysctls[path.Join("net/ipv6/conf", w.n.Def.Bridge.Name, "force_forwarding")] == "1"
	for _, dev := range w.uplinks(netip.Addr.Is6) {
		forced = forced && w.f.Sysctls[path.Join("net/ipv6/conf", dev, "force_forwarding")] == "1"
	}
	if w.f.Sysctls[all] != "0" || forced {
		w.say("IPv6 is forwarded")
		return
	}
	mend := setSysctl(all, "1")
	for _, dev := range w.learned() {
		mend = setSysctl(path.Join("net/ipv6/conf", dev, "accept_ra"), "2") + " && " + mend
	}
	w.tell(forwarding6Off, Finding{
		Text: "the host forwards no IPv6: guests' IPv6 ends at the host", Evidence: []string{all + " = 0"}, Mend: mend,
		Note: "something switches it off after the network started; look into /etc/sysctl.d",
	})
}

// learned returns the interfaces whose routes the kernel has from router
// advertisements that it hears only as long as it is no router.
func (w *walker) learned() []string {
	var all []string
	for _, r := range w.f.Plan.Routes {
		if r.FromRA && r.Link != w.n.Def.Bridge.Name && w.f.Plan.AcceptRA[r.Link] == 1 && !slices.Contains(all, r.Link) {
			all = append(all, r.Link)
		}
	}
	return all
}

// advertised tells of routes that expire because the host is a router now.
func (w *walker) advertised() {
	if w.f.Sysctls["net/ipv6/conf/all/forwarding"] == "0" {
		return
	}
	for _, dev := range w.learned() {
		key := path.Join("net/ipv6/conf", dev, "accept_ra")
		if w.f.Sysctls[path.Join("net/ipv6/conf", dev, "forwarding")] == "0" {
			continue
		}
		w.tell(acceptRA, Finding{
			Text: fmt.Sprintf("the host's IPv6 routes by %s come from router advertisements, which it does not hear any more since it forwards: "+
				"when they expire the host has no IPv6, nor have the guests", dev),
			Evidence: []string{key + " = 1", "net/ipv6/conf/all/forwarding = 1"}, Mend: setSysctl(key, "2"),
		})
	}
}

// unheard returns evidence of network cards on which the host hears no routers since
// it forwards: it may have no way out for IPv6 because of that.
func (w *walker) unheard() []string {
	if w.f.Sysctls["net/ipv6/conf/all/forwarding"] == "0" {
		return nil
	}
	var list []string
	for _, dev := range plan.Cards(w.f.Plan.Links) {
		key := path.Join("net/ipv6/conf", dev, "accept_ra")
		if w.f.Sysctls[key] == "1" && w.f.Sysctls[path.Join("net/ipv6/conf", dev, "forwarding")] != "0" {
			list = append(list, key+" = 1: the host forwards, so it hears no routers there; 2 has it hear them")
		}
	}
	return list
}

// bridgeFilter tells of a bridge whose guests' traffic to each other goes through
// somebody's rules for what is forwarded, which drop it. That it goes there is as
// Docker wants it, and nothing amiss.
func (w *walker) bridgeFilter() {
	var on, mend []string
	for _, key := range []string{"net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"} {
		if w.f.Sysctls[key] == "1" {
			on = append(on, key+" = 1")
			mend = append(mend, quote(key+"=0"))
		}
	}
	if on == nil {
		return
	}
	name := w.n.Def.Bridge.Name
	drops := false
	for _, six := range []bool{false, true} {
		list, _ := w.obstacles(coexist.Packet{Hook: coexist.Forward, IPv6: six, In: name, Out: name})
		for _, o := range list {
			drops = true
			on = append(on, o.Why)
		}
	}
	if !drops {
		w.say("between guests of the bridge the host's firewall is asked, too (br_netfilter)")
		if ext, err := w.n.Def.Extensions(); err == nil && len(ext.Forwards)+len(ext.Publics) > 0 {
			w.say("so a guest does not reach itself by its own forward or public address")
		}
		return
	}
	w.tell(brNetfilter, Finding{
		Text:     "what guests of this bridge send to each other goes through the host's firewall (br_netfilter), and another program's rules there drop it",
		Evidence: on, Mend: "sysctl -w " + strings.Join(mend, " "),
		Note: "Docker switches it on for its own bridges; without it only containers with published ports that talk to each other by the host's address notice",
	})
}
