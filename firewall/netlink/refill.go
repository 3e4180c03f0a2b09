package netlink

import (
	"fmt"

	"github.com/mdlayher/netlink"

	"github.com/virbr/virbr/firewall"
)

// RefillChecksums is [FillChecksums] for several bridges, in one batch: somebody
// else took the rules away.
func RefillChecksums(conn *Conn, bridges []string) error {
	for _, bridge := range bridges {
		if err := firewall.CheckDevice(bridge); err != nil {
			return fmt.Errorf("filling in the checksums of DHCP replies: %w", err)
		}
	}
	return conn.attempt(func(socket *netlink.Conn, _ bool) error {
		m, err := readMangle(socket)
		if err != nil {
			return err
		}
		if m.jump < 0 {
			m.fillBase()
			m.jump = len(m.hookRules) // where the kernel puts it
		}
		for _, bridge := range bridges {
			m.fill(bridge)
		}
		return wrap(m.send(socket), "filling in the checksums of DHCP replies on %d bridges", len(bridges))
	})
}
