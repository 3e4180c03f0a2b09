package netlink

import "github.com/virbr/virbr/firewall"

// Change makes the rules of a bridge, which are those of from, those of to. What
// it sends is what differs; where the kernel finds that they were not those of
// from, it does what [Install] does. nil: no rules.
func Change(conn *Conn, from, to *firewall.Network) error {
	if to == nil && from != nil {
		return Remove(conn, from.Bridge)
	}
	return Install(conn, to)
}
