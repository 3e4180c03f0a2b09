package netlink

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// ReadGuard returns the ports of a bridge that the kernel guards: what each may send
// from, and what it is kept from.
func ReadGuard(conn *Conn, bridge string) (ports []firewall.GuardPort, err error) {
	err = conn.use(func(socket *netlink.Conn) error {
		ports = nil
		of := func(link string) *firewall.GuardPort {
			if i := slices.IndexFunc(ports, func(p firewall.GuardPort) bool { return p.Link == link }); i >= 0 {
				return &ports[i]
			}
			return &firewall.GuardPort{} // of another bridge
		}
		r := newGuardChange(socket, false).reader
		read := func(set string, do func(e guardElement)) {
			if err == nil {
				err = r.members(set, func(ad *netlink.AttributeDecoder) { do(decodeGuard(ad)) })
			}
		}
		read(firewall.GuardedSet, func(e guardElement) {
			if e.bridge == bridge {
				ports = append(ports, firewall.GuardPort{Link: e.link()})
			}
		})
		for _, cause := range firewall.Causes() {
			read(cause.Set(), func(e guardElement) {
				p := of(e.link())
				p.Guest, p.Stops = e.guest, append(p.Stops, cause)
			})
		}
		read(firewall.MACsSet, func(e guardElement) {
			if len(e.key) > 6 {
				p := of(e.link())
				p.MACs = append(p.MACs, [6]byte(e.key))
			}
		})
		for _, family := range []string{"4", "6"} {
			addrs := func(e guardElement) {
				if from, until := e.address(family, e.key), e.address(family, e.until); from.IsValid() {
					p := of(e.link())
					p.Addrs = append(p.Addrs, subnet(from, until))
				}
			}
			read(firewall.AddressesSet+family, addrs)
			read(firewall.SubnetsSet+family, addrs)
		}
		return err
	})
	return ports, wrap(err, "reading what guests of %s may send from", bridge)
}

// guardElement is an element of a guard's set: its key ends with the name of a link.
type guardElement struct {
	key, until    []byte // until: of a range
	bridge, guest string
}

func decodeGuard(list *netlink.AttributeDecoder) (e guardElement) {
	each(list, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_SET_ELEM_KEY:
			dig(ad, func(ad *netlink.AttributeDecoder) { e.key = ad.Bytes() }, unix.NFTA_DATA_VALUE)
		case setElemKeyEnd:
			dig(ad, func(ad *netlink.AttributeDecoder) { e.until = ad.Bytes() }, unix.NFTA_DATA_VALUE)
		case unix.NFTA_SET_ELEM_USERDATA:
			e.bridge, e.guest, _ = strings.Cut(comment(ad.Bytes()), " ")
		}
	})
	return e
}

func (e guardElement) link() string {
	name, _, _ := strings.Cut(string(e.key[max(0, len(e.key)-unix.IFNAMSIZ):]), "\x00")
	return name
}

// address returns the one at the front of a key.
func (e guardElement) address(family string, key []byte) netip.Addr {
	size := 4
	if family == "6" {
		size = 16
	}
	a, _ := netip.AddrFromSlice(key[:min(size, len(key))])
	return a
}

// subnet returns the prefix of a range; until is not valid: of one address.
func subnet(from, until netip.Addr) netip.Prefix {
	for bits := from.BitLen(); bits > 0 && until.IsValid(); bits-- {
		if p := netip.PrefixFrom(from, bits); p.Masked() == p && firewall.LastOf(p) == until {
			return p
		}
	}
	return netip.PrefixFrom(from, from.BitLen())
}
