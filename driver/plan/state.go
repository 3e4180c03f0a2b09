package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// State is what a forward or a public address comes to.
type State struct {
	Active    bool         // in one family at least
	Addresses []netip.Addr // of the guest, at most one of each family
	Reason    string       // why it is not active, or not all of it; "": nothing is amiss
}

// ForwardState says what a forward comes to, which has a place in the list.
func (r *Resolution) ForwardState(at int) State {
	f := &r.Ext.Forwards[at]
	if f.Ignore {
		return State{Active: true}
	}
	var s State
	for _, v4 := range f.Families().Versions() {
		for _, a := range r.Where.Guests[f.Guest] {
			if a.Is4() == v4 {
				s.Addresses = append(s.Addresses, a)
				s.Active = s.Active || r.listens(f, v4)
			}
		}
	}
	ports, who := r.withheld(func(c firewall.Claim) bool { return c.Proto != "" && c.Forward == at })
	switch {
	case len(ports) > 0 && r.without(at):
		s.Active, s.Reason = false, takenBy(who)
	case !s.Active:
		s.Reason = r.waiting(f)
	case len(ports) > 0:
		s.Reason = strings.Join(ports, ", ") + " " + takenBy(who)
	default:
		s.Reason = r.askedFor(f.Guest)
	}
	return s
}

// without reports whether somebody else has all that a forward claims.
func (r *Resolution) without(at int) bool {
	claims, err := r.Claims()
	if err != nil {
		return false
	}
	own := slices.DeleteFunc(slices.Clone(claims), func(c firewall.Claim) bool { return c.Proto == "" || c.Forward != at })
	return len(Except(own, r.Memory.Withheld)) == 0
}

// PublicState says what a public address comes to.
func (r *Resolution) PublicState(at int) State {
	p := &r.Ext.Publics[at]
	var s State
	for _, a := range r.Where.Guests[p.Guest] {
		if a.Is4() == p.Public.Is4() {
			s.Addresses, s.Active = append(s.Addresses, a), true
		}
	}
	_, who := r.withheld(func(c firewall.Claim) bool { return c.Proto == "" && c.Forward == at })
	switch {
	case who != "":
		s.Active, s.Reason = false, takenBy(who)
	case !s.Active:
		s.Reason = r.waitingFor(p.Guest, family(p.Public.Is4()))
	default:
		s.Reason = r.askedFor(p.Guest)
	}
	return s
}

func takenBy(who string) string {
	if who == ownDnsmasq {
		return "taken by " + who
	}
	return fmt.Sprintf("taken by %s, tried again every %d seconds", who, longestRecheck/time.Second)
}

func family(v4 bool) xml.Family {
	if v4 {
		return xml.FamilyIPv4
	}
	return xml.FamilyIPv6
}

// listens reports whether a forward has an address to listen on in a family.
func (r *Resolution) listens(f *xml.PortForward, v4 bool) bool {
	return f.Dev == "" || slices.ContainsFunc(r.Where.Devices[f.Dev], func(a netip.Addr) bool { return a.Is4() == v4 })
}

// withheld returns the ports of what somebody else has, and who, as far as that is
// wanted.
func (r *Resolution) withheld(wanted func(firewall.Claim) bool) (ports []string, who string) {
	var names []string
	for _, t := range r.Memory.Withheld {
		if !wanted(t.Claim) {
			continue
		}
		text := fmt.Sprintf("port %d", t.Claim.Start)
		if t.Claim.Start != t.Claim.End {
			text = fmt.Sprintf("ports %d to %d", t.Claim.Start, t.Claim.End)
		}
		if !slices.Contains(ports, text) {
			ports = append(ports, text)
		}
		if !slices.Contains(names, t.By) {
			names = append(names, t.By)
		}
	}
	return ports, strings.Join(names, ", ")
}

// waiting says what a forward waits for.
func (r *Resolution) waiting(f *xml.PortForward) string {
	switch {
	case f.Dev == "" || len(r.Where.Guests[f.Guest]) == 0 || r.listens(f, true) && r.listens(f, false):
	case slices.Contains(r.Absent, f.Dev):
		return fmt.Sprintf("waiting for interface %s, which is not there", f.Dev)
	default:
		return fmt.Sprintf("waiting for interface %s to get an address%s", f.Dev, ofFamily(f.Families()))
	}
	return r.waitingFor(f.Guest, f.Families())
}

func (r *Resolution) waitingFor(guest string, f xml.Family) string {
	if n, taken := r.Usurped[guest]; taken {
		return fmt.Sprintf("waiting for %q: another guest, %s, is at its address %s", guest, n.MAC, n.Address)
	}
	if who := r.askedFor(guest); who != "" {
		return fmt.Sprintf("waiting for %q to get an address%s: %s", guest, ofFamily(f), who)
	}
	return fmt.Sprintf("waiting for %q to get an address%s", guest, ofFamily(f))
}

// askedFor says who else asks for a guest's name.
func (r *Resolution) askedFor(guest string) string {
	if p, asked := r.Asking[guest]; asked {
		return fmt.Sprintf("another guest, %s, asks for its name, and gets nothing by it", p)
	}
	return ""
}

func ofFamily(f xml.Family) string {
	switch f {
	case xml.FamilyIPv4:
		return " (IPv4)"
	case xml.FamilyIPv6:
		return " (IPv6)"
	case xml.FamilyAll:
	}
	return ""
}
