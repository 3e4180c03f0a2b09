package step

import (
	"fmt"

	"github.com/virbr/virbr/xml"
)

var linkOps = []Op{AddBridge{}, DelLink{}, SetMTU{}, SetBridge{}, SetUp{}, SetDown{}}

// AddBridge makes a bridge with the given MAC address in one request.
// It fails with EEXIST when the name is taken.
type AddBridge struct {
	Name string
	MAC  xml.MAC
}

func (o AddBridge) kind() kind {
	return kind{tag: "add-bridge", key: "link " + word(o.Name), scope: ScopeLink, once: true}
}

func (o AddBridge) String() string {
	text := "link add " + word(o.Name) + " type bridge"
	if !o.MAC.IsZero() {
		text += " address " + o.MAC.String()
	}
	return text
}

// DelLink removes a link; a missing one is no error. With MAC it removes that of
// this address only: what is not known to have been made may be somebody else's.
type DelLink struct {
	Name string
	MAC  xml.MAC `json:",omitzero"`
}

func (o DelLink) kind() kind {
	return kind{tag: "del-link", key: "link " + word(o.Name), scope: ScopeLink, phase: PhaseLink}
}

func (o DelLink) String() string { return "link delete " + word(o.Name) }

// SetMTU sets a link's MTU, in bytes.
type SetMTU struct {
	Link string
	MTU  uint32
}

func (o SetMTU) kind() kind {
	return kind{tag: "set-mtu", key: "mtu " + word(o.Link), scope: ScopeLink}
}

func (o SetMTU) String() string { return fmt.Sprintf("link set %s mtu %d", word(o.Link), o.MTU) }

// SetBridge writes one attribute of a bridge: "forward_delay" (centiseconds),
// "stp_state" or "vlan_filtering" (0 or 1).
type SetBridge struct {
	Bridge, Attr string
	Value        uint64
}

func (o SetBridge) kind() kind {
	return kind{tag: "set-bridge", key: "bridge " + word(o.Bridge) + " " + word(o.Attr), scope: ScopeLink}
}

func (o SetBridge) String() string {
	return fmt.Sprintf("bridge set %s %s %d", word(o.Bridge), word(o.Attr), o.Value)
}

// SetUp brings a link up.
type SetUp struct{ Link string }

func (o SetUp) kind() kind { return kind{tag: "set-up", key: "up " + word(o.Link), scope: ScopeLink} }

func (o SetUp) String() string { return "link set " + word(o.Link) + " up" }

// SetDown brings a link down; a missing one is no error.
type SetDown struct{ Link string }

func (o SetDown) kind() kind {
	return kind{tag: "set-down", key: "up " + word(o.Link), scope: ScopeLink, phase: PhaseDown}
}

func (o SetDown) String() string { return "link set " + word(o.Link) + " down" }
