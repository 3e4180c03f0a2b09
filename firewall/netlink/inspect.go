package netlink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// Missing says what the kernel lacks of a network's rules, base chains included,
// and whether it has any of the network's own. It changes nothing. With exact the
// rules must be those of the network; else it is enough that chains have some.
func Missing(conn *Conn, n *firewall.Network, exact bool) (missing []string, any bool, err error) {
	if n == nil {
		return nil, false, nil
	}
	err = conn.use(func(socket *netlink.Conn) error {
		missing, any = nil, false
		i := inspection{reader: newChange(socket, true).reader, exact: exact}
		if err := i.all(inet(n)); err != nil {
			return fmt.Errorf("inspecting the rules of %q: %w", n.Bridge, err)
		}
		i.reader = newGuardChange(socket, true).reader
		if err := i.guard(n.Guard); err != nil {
			return fmt.Errorf("inspecting the guard of %q: %w", n.Bridge, err)
		}
		missing, any = i.missing, i.any
		return nil
	})
	return missing, any, err
}

// inspection collects what is missing.
type inspection struct {
	reader  reader
	exact   bool
	missing []string
	any     bool
}

// guard looks for what the table of guards shares. Which ports there are now the
// caller cannot know.
func (i *inspection) guard(g *firewall.Guard) error {
	if g == nil {
		return nil
	}
	use, err := i.reader.use()
	if err != nil {
		return err
	}
	if use < 0 {
		i.missing = append(i.missing, "there is no table bridge "+firewall.TableName)
		return nil
	}
	for _, p := range firewall.GuardParts() {
		if p.Marker != "" { // not in every kernel
			continue
		}
		for _, chain := range p.Chains {
			if _, err := i.chain(chain, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *inspection) all(n *firewall.Network) error {
	if n == nil {
		return nil
	}
	use, err := i.reader.use()
	if err != nil {
		return err
	}
	if use < 0 {
		i.missing = []string{"there is no table inet " + firewall.TableName}
		return nil
	}
	for _, chain := range firewall.Base().Chains {
		if _, err := i.chain(chain, nil); err != nil {
			return err
		}
	}
	for _, chain := range n.Chains {
		there, err := i.chain(chain, n.Elements)
		if err != nil {
			return err
		}
		i.any = i.any || there
	}
	return i.elements(n)
}

// chain looks at one chain and reports whether there is one.
func (i *inspection) chain(chain firewall.Chain, elements []firewall.Element) (bool, error) {
	rules, ok, err := i.reader.rules(chain.Name)
	if err != nil {
		return false, err
	}
	switch {
	case !ok:
		i.missing = append(i.missing, "there is no chain "+chain.Name)
	case i.exact && !same(records(chain, elements), rules), len(rules) == 0 && len(chain.Rules) > 0:
		i.missing = append(i.missing, "chain "+chain.Name+" does not have the rules that it should have")
	}
	return ok, nil
}

// elements looks for what leads to the network's chains.
func (i *inspection) elements(n *firewall.Network) error {
	type way struct{ m, chain string }
	want := map[way]int{}
	var order []way
	for _, e := range n.Elements {
		if !slices.ContainsFunc(firewall.Base().Maps, func(m firewall.Map) bool { return m.Name == e.Map }) {
			continue
		}
		w := way{e.Map, e.Chain}
		if want[w] == 0 {
			order = append(order, w)
		}
		want[w]++
	}
	for _, w := range order {
		have, err := i.reader.elements(w.m, w.chain)
		if err != nil {
			return err
		}
		have = slices.DeleteFunc(have, func(e element) bool { return e.end })
		if len(have) < want[w] {
			i.missing = append(i.missing, fmt.Sprintf("map %s does not lead to chain %s", w.m, w.chain))
		}
	}
	return nil
}

// LibvirtNames reports which of some bridges the rules of libvirt's network
// driver name. filter tells of rules that allow and forbid, checksum of those
// that fill in DHCP checksums. Rules of the older iptables (legacy) are not
// here.
func LibvirtNames(conn *Conn, bridges []string) (filter, checksum map[string]bool, err error) {
	err = conn.use(func(socket *netlink.Conn) error {
		filter, checksum = map[string]bool{}, map[string]bool{}
		for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
			r := reader{conn: socket, family: family}
			replies, err := r.get(unix.NFT_MSG_GETRULE, netlink.Dump)
			if err != nil {
				return fmt.Errorf("looking for libvirt's rules: %w", err)
			}
			for _, m := range replies {
				if err := names(m, bridges, filter, checksum); err != nil {
					return fmt.Errorf("looking for libvirt's rules: %w", err)
				}
			}
		}
		return nil
	})
	return filter, checksum, err
}

// names notes the bridges that a rule is about, if it is one of libvirt's.
func names(m netlink.Message, bridges []string, filter, checksum map[string]bool) error {
	var table, chain string
	var body []byte
	err := decode(m, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_RULE_TABLE:
			table = ad.String()
		case unix.NFTA_RULE_CHAIN:
			chain = ad.String()
		case unix.NFTA_RULE_EXPRESSIONS:
			body = ad.Bytes()
		}
	})
	if err != nil || table != libvirtTable && !IsLibvirtChain(table, chain) {
		return err
	}
	for _, bridge := range bridges {
		// The value of a comparison: its attribute's type, and the name with its
		// final zero.
		value := append(binary.NativeEndian.AppendUint16(nil, unix.NFTA_DATA_VALUE), bridge+"\x00"...)
		switch {
		case !bytes.Contains(body, value):
		case bytes.Contains(body, []byte("CHECKSUM\x00")):
			checksum[bridge] = true
		default:
			filter[bridge] = true
		}
	}
	return nil
}

// FillsChecksums reports whether [FillChecksums] is in force for a bridge.
func FillsChecksums(conn *Conn, bridge string) (bool, error) {
	found := false
	err := conn.use(func(socket *netlink.Conn) error {
		m, err := readMangle(socket)
		if err == nil {
			found = m.jump >= 0 && find(m.ownRules, bridgeComment(bridge)) >= 0
		}
		return err
	})
	return found, wrap(err, "looking for the checksum rule of %q", bridge)
}
