package netlink

import (
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// change is a batch about our own table, and what the kernel has there.
type change struct {
	batch
	reader reader

	// exact: what is deleted was read from the kernel's maps, all of them.
	// Otherwise it is what should be there, which is much cheaper to know; if
	// it is not there, the kernel refuses the batch.
	exact bool

	// changed: chains that were there are not what they were.
	changed bool
}

func newChange(socket *netlink.Conn, exact bool) *change {
	return changeOf(unix.NFPROTO_INET, socket, exact)
}

// newGuardChange is newChange for the table of guards.
func newGuardChange(socket *netlink.Conn, exact bool) *change {
	return changeOf(unix.NFPROTO_BRIDGE, socket, exact)
}

func changeOf(family byte, socket *netlink.Conn, exact bool) *change {
	const table = firewall.TableName
	return &change{
		batch:  batch{family: family, table: table},
		reader: reader{conn: socket, family: family, table: table},
		exact:  exact,
	}
}

// apply has the kernel apply the change.
func (c *change) apply(doing string) error {
	if err := c.send(c.reader.conn); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
