package step

import "github.com/virbr/virbr/xml"

var memberOps = []Op{PlugMember{}}

// Member is a link that is a port of a bridge, and how it is set up there: what a
// guest's card loses when the bridge goes, and needs again.
type Member struct {
	Name  string
	Index int     // of the link: another one may have its name later
	MAC   xml.MAC // of the link, the host's end; a guest's tap has the guest's with another first byte

	Settings []PortSetting `json:",omitempty"`
	VLANs    []PortVLAN    `json:",omitempty"` // of a bridge that filters them
	Entries  []PortEntry   `json:",omitempty"` // where the port does not learn addresses

	// Guests are those MAC addresses, of some that were asked for, that are behind it.
	Guests []xml.MAC `json:",omitempty"`
}

// PortSetting is an attribute of a bridge's port, IFLA_BRPORT_* (linux/if_link.h).
type PortSetting struct {
	ID    uint16
	Value []byte // in the byte order of the host
}

// PortVLAN is a VLAN that a bridge lets pass by a port. Flags are
// BRIDGE_VLAN_INFO_* (linux/if_bridge.h).
type PortVLAN struct{ Flags, ID uint16 }

// PortEntry is an entry of a bridge's forwarding table. State is NUD_*
// (linux/neighbour.h).
type PortEntry struct {
	MAC   xml.MAC
	VLAN  uint16 // 0: none
	State uint16
}

// PlugMember makes a link a port of a bridge again. One that is gone, or that is a
// port of something by now, is left alone, which is no error. The bridge should be
// down: a port that is to be isolated is not so for a moment.
type PlugMember struct {
	Bridge string
	Member Member
}

func (o PlugMember) kind() kind {
	return kind{tag: "plug-member", key: "member " + word(o.Member.Name) + " " + word(o.Bridge), scope: ScopeLink}
}

func (o PlugMember) String() string {
	return "link set " + word(o.Member.Name) + " master " + word(o.Bridge)
}
