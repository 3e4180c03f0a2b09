package netlink

import (
	"maps"
	"slices"

	"github.com/mdlayher/netlink"

	"github.com/virbr/virbr/firewall"
)

// List returns the bridges that have rules in the table, sorted.
func List(conn *Conn) (bridges []string, err error) {
	err = conn.use(func(socket *netlink.Conn) error {
		names, err := newChange(socket, false).reader.chains()
		for _, name := range names {
			for _, m := range firewall.Owned() {
				if bridge, ok := firewall.ChainBridge(m.Name, name); ok {
					bridges = append(bridges, bridge)
				}
			}
		}
		if err != nil {
			return err
		}
		owners, err := newGuardChange(socket, false).reader.allData(firewall.GuardedSet)
		bridges = slices.AppendSeq(bridges, maps.Keys(owners))
		slices.Sort(bridges)
		bridges = slices.Compact(bridges)
		return err
	})
	return bridges, err
}
