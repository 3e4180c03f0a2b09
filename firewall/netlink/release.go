package netlink

import (
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// RemoveAll deletes everything that this package has put into the kernel, for
// whatever bridges, in one batch, and returns what that was. Of table "ip mangle"
// what others use stays. It is no error when there is nothing.
func RemoveAll(conn *Conn) (removed []string, err error) {
	err = conn.attempt(func(socket *netlink.Conn, _ bool) error {
		removed = nil
		own := newChange(socket, true)
		use, err := own.reader.use()
		if err != nil {
			return err
		}
		if use >= 0 {
			removed = append(removed, "table inet "+firewall.TableName)
			own.delTable()
		}
		m, err := readMangle(socket)
		if err != nil {
			return err
		}
		if m.hasOwn {
			removed = append(removed, "chain "+families[unix.NFPROTO_IPV4]+" "+mangleTable+" "+mangleChain)
			m.delBase()
		}
		own.msgs = append(own.msgs, m.msgs...)
		return own.apply("removing all rules")
	})
	return removed, err
}
