package firewall

import (
	"fmt"
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// Claim is what a forward or a public address takes for itself: ports of a
// protocol at an address. It is comparable.
type Claim struct {
	Proto      string     // "tcp", "udp" or "sctp"; "": everything, for a public address
	Address    netip.Addr // 0.0.0.0 and ::: any of the host's of the family
	Start, End uint16     // ports
	All        bool       // of a forward of all ports: what the host listens on it leaves alone
	Forward    int        // index in the extensions' Forwards, or Publics where Proto is ""
}

// String says it for people: "tcp port 8080 at any IPv4 address".
func (c Claim) String() string {
	at := "at " + c.Address.String()
	switch c.Address {
	case netip.IPv4Unspecified():
		at = "at any IPv4 address"
	case netip.IPv6Unspecified():
		at = "at any IPv6 address"
	}
	switch {
	case c.Proto == "":
		return "public address " + c.Address.String()
	case c.All:
		return fmt.Sprintf("all %s ports %s", c.Proto, at)
	case c.Start == c.End:
		return fmt.Sprintf("%s port %d %s", c.Proto, c.Start, at)
	}
	return fmt.Sprintf("%s ports %d to %d %s", c.Proto, c.Start, c.End, at)
}

// Claims returns what the extensions of a network claim, whether the guests are
// known or not. An address given by the name of an interface is claimed as far
// as it is known.
func Claims(ext *xml.Extensions, where Where) ([]Claim, error) {
	_, _ = ext, where
	return nil, nil
}

// Clash returns the first claims of two networks that cannot both hold: the same
// port at the same address, or at any address and at one.
func Clash(mine, theirs []Claim) (m, t Claim, ok bool) {
	_, _ = mine, theirs
	return Claim{}, Claim{}, false
}
