package topology

import (
	"net/netip"
	"time"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/xml"
)

// Facts is what a graph is made of.
type Facts struct {
	// Host is what was read of the host and its networks. Where nobody could look at
	// the host, as without root, only its Networks are there, as a daemon has them.
	Host   *doctor.Facts
	Report *doctor.Report // what the doctor found; nil: nobody looked

	Ports map[string][]*xml.Port // by network: the cards of domains that run
	Last  map[string]Change      // by network: what happened to it last

	Pending map[string]time.Time // by network: until when its last change must be confirmed

	Connections []Connection // that the host tracks; nil: not known
}

// Change is one thing that happened to a network.
type Change struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"` // as events --json names it
	Text  string    `json:"text"`
}

// Connection is one that the host tracks (conntrack).
type Connection struct {
	ID      uint32
	Proto   uint8 // IANA's number
	Replied bool

	// From opened it to To. Who answers is By, the guest where To is forwarded; it
	// sees As, an address of the host's where From is translated.
	From, To, By, As netip.AddrPort

	Sent, Back Count
}

// Count is what passed in one direction.
type Count struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}
