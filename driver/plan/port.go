package plan

import "github.com/virbr/virbr/xml"

// Port is one network interface of a guest.
type Port struct {
	MAC   xml.MAC
	Owner xml.UUID // of the guest; zero: not known
	Name  string   // of the guest, as the hypervisor driver calls it; "": not known
	Group string   // port group
	Moves bool     // the guest may change its MAC address (trustGuestRxFilters)
}

// String names the guest for people: "52:54:00:00:00:66 (domain web2)".
func (p Port) String() string {
	if p.Name == "" {
		return p.MAC.String()
	}
	return p.MAC.String() + " (domain " + p.Name + ")"
}

// PortOf returns what is to be known of a port's document.
func PortOf(p *xml.Port) Port {
	return Port{MAC: p.MAC, Owner: p.OwnerUUID, Name: p.OwnerName, Group: p.Group, Moves: p.TrustGuestRxFilters == xml.Yes}
}
