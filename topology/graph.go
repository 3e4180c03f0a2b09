package topology

import (
	"net/netip"
	"time"

	"github.com/virbr/virbr/doctor"
)

// Graph is the networks of a host, what is outside, and what may pass between them.
// Its JSON form is stable: fields are only added, and Version says when that is not
// enough. All text in it can be printed.
type Graph struct {
	Version  int       `json:"version"` // 1
	Uplinks  []Uplink  `json:"uplinks"`
	Networks []Network `json:"networks"`
	Edges    []Edge    `json:"edges,omitempty"` // of a map

	// Examined says that the doctor looked at the host; without, Health knows less and
	// there are no blocks. Tracked says that connections could be seen.
	Examined  bool     `json:"examined"`
	Tracked   bool     `json:"tracked"`
	Unchecked []string `json:"unchecked"` // what could not be looked at, and why
}

// Uplink is a link of the host by which guests leave.
type Uplink struct {
	Link     string       `json:"link"`
	Gateways []netip.Addr `json:"gateways"` // of its default routes; of a link without one: none
	Default  bool         `json:"default"`  // it has a default route
}

// Network is one network.
type Network struct {
	Name      string         `json:"name"`
	UUID      string         `json:"uuid,omitempty"`
	Mode      string         `json:"mode"` // "isolated", "nat", ...
	Bridge    string         `json:"bridge,omitempty"`
	Active    bool           `json:"active"`
	Autostart bool           `json:"autostart"`
	Keeper    string         `json:"keeper"` // "virbrd", "libvirt" or "nobody"
	Subnets   []netip.Prefix `json:"subnets"`
	Prefix    string         `json:"prefix,omitempty"`    // that it advertises, as its definition asks for it
	Delegated *Delegated     `json:"delegated,omitempty"` // where the prefix is from
	Uplinks   []string       `json:"uplinks"`             // links by which its guests leave
	Exits     []Exit         `json:"exits"`               // the same by family, and what does not carry it
	Pools     []Pool         `json:"pools"`               // of DHCP, IPv4 first
	Guests    []Guest        `json:"guests"`              // in the order of their names
	Forwards  []Forward      `json:"forwards"`            // port forwards, in their order
	Publics   []Forward      `json:"public_addresses"`    // addresses that belong to guests
	Health    Health         `json:"health"`              //
	Findings  []string       `json:"findings"`            // of the doctor, without hints: what it says
	Last      *Change        `json:"changed,omitempty"`   // what happened last

	Confirm *time.Time `json:"confirm_until,omitempty"` // its last change is undone then unless it is confirmed

	place *Place // nil: packets are not routed to it
	exits [2]string
}

// Delegated is the prefix that an upstream router delegated, of which a network has a part.
type Delegated struct {
	Prefix    netip.Prefix `json:"prefix"`
	Link      string       `json:"link"`   // it came by
	Holder    string       `json:"holder"` // who asked the router for it: "virbrd", "systemd-networkd", ...
	Preferred time.Time    `json:"preferred_until"`
	Valid     time.Time    `json:"valid_until"`
	Problem   string       `json:"problem,omitempty"` // why it is not prolonged
}

// Pool is the addresses that DHCP can lease in ranges.
type Pool struct {
	Family string `json:"family"` // "ipv4" or "ipv6"
	Used   int    `json:"used"`
	Size   uint64 `json:"size"`
}

// Guest is who has a card in a network, or a lease of it.
type Guest struct {
	Name      string       `json:"name,omitempty"` // of the domain, or the one it gave by DHCP
	Domain    bool         `json:"domain"`         // the name is a domain's
	MAC       string       `json:"mac,omitempty"`
	Addresses []netip.Addr `json:"addresses"`
}

// Forward is a port forward or a public address.
type Forward struct {
	Text      string       `json:"text"`            // "tcp *:8080 to web1:80"
	Guest     string       `json:"guest,omitempty"` // as the definition names it; "": an exception
	Active    bool         `json:"active"`
	Addresses []netip.Addr `json:"addresses"` // of the guest
	Reason    string       `json:"reason,omitempty"`
}

// Health is the state of a network in a word.
type Health string

// The values of Health.
const (
	Stopped Health = "stopped"
	Running Health = "running" // nobody has examined it
	OK      Health = "ok"
	Warning Health = "warning"
	Problem Health = "problem"
)

// healthOf is the health that the worst finding stands for.
func healthOf(s doctor.Severity) Health {
	switch s {
	case doctor.Problem:
		return Problem
	case doctor.Warning:
		return Warning
	case doctor.Hint:
	}
	return OK
}

// End is one end of an edge: a network, or what is beyond an uplink.
type End struct {
	Network string `json:"network,omitempty"`
	Uplink  string `json:"uplink,omitempty"`
}

// String returns the name of what is there.
func (e End) String() string {
	if e.Network != "" {
		return e.Network
	}
	return e.Uplink
}

// Edge says what becomes of connections from one end to the other. There is one where
// packets may pass in a family at least.
type Edge struct {
	From        End     `json:"from"`
	To          End     `json:"to"`
	IPv4        Verdict `json:"ipv4,omitempty"`
	IPv6        Verdict `json:"ipv6,omitempty"`
	Connections int     `json:"connections"` // there are now
	Blocks      []Block `json:"blocks"`      // rules of others that stop packets all the same
}

// Block is a rule of somebody else's that stops packets.
type Block struct {
	Family string `json:"family"` // "ipv4" or "ipv6"
	Owner  string `json:"owner"`  // "ufw", "Docker", ...
	Why    string `json:"why"`
	Mend   string `json:"mend,omitempty"` // a command for root's shell
}
