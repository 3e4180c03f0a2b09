package netlink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// Virtual network cards leave the UDP checksum to hardware that is not there.
// Guests that read DHCP replies from raw packets drop those. The kernel fills it
// in with x_tables' CHECKSUM target, which it allows in table "ip mangle" only,
// where iptables-nft is at home. So everything here has the form that iptables
// gives it, and `iptables -t mangle -S` lists it:
//
//	-A POSTROUTING -p udp -m udp --dport 68 -j VIRBR_DHCP
//	-A VIRBR_DHCP -o virbr0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
//
// The chain of our own keeps the bridges' rules away from other traffic.
const (
	mangleTable = "mangle"
	mangleHook  = "POSTROUTING"
	mangleChain = "VIRBR_DHCP"
	jumpComment = "virbr"
)

// madeType is a record in the jump's user data: which parts around it we made,
// and so take away again.
const madeType userdata.Type = 0x78

// What madeType holds.
const (
	madeChain byte = 1 << iota
	madeTable
)

// ProbeChecksums tells whether the kernel can fill in checksums in this way. It
// asks for the target, which loads its module, and changes nothing.
func ProbeChecksums(conn *Conn) (bool, error) {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: 1, Data: []byte("CHECKSUM\x00")},                // NFTA_COMPAT_NAME
		{Type: 2, Data: binary.BigEndian.AppendUint32(nil, 0)}, // NFTA_COMPAT_REV
		{Type: 3, Data: binary.BigEndian.AppendUint32(nil, 1)}, // NFTA_COMPAT_TYPE: a target
	})
	if err != nil {
		return false, err
	}
	ok := false
	err = conn.use(func(socket *netlink.Conn) error {
		_, err := socket.Execute(netlink.Message{
			Header: netlink.Header{
				Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFT_COMPAT << 8), // NFNL_MSG_COMPAT_GET
				Flags: netlink.Request | netlink.Acknowledge,                // which ends the reply
			},
			Data: append([]byte{unix.NFPROTO_IPV4, unix.NFNETLINK_V0, 0, 0}, attrs...),
		})
		ok = err == nil
		return err
	})
	// Without nft_compat its whole subsystem is unknown: EINVAL.
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) {
		err = nil
	}
	return ok, wrap(err, "asking for the CHECKSUM target")
}

// FillChecksums has the kernel fill in the UDP checksums of DHCP replies that
// leave a bridge. What is there already stays.
func FillChecksums(conn *Conn, bridge string) error {
	return conn.fill("filling in the checksums of DHCP replies", bridge, true)
}

// UnfillChecksums takes back FillChecksums, with the chains and the table if we
// made them and nothing else is in them. What is not there is no error.
func UnfillChecksums(conn *Conn, bridge string) error {
	return conn.fill("taking back the checksums of DHCP replies", bridge, false)
}

func (c *Conn) fill(doing, bridge string, want bool) error {
	if err := firewall.CheckDevice(bridge); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return c.attempt(func(socket *netlink.Conn, _ bool) error {
		return wrap(c.fillLocked(socket, bridge, want), "%s on %q", doing, bridge)
	})
}

// mangle is a batch about table "ip mangle", and what the kernel has there.
type mangle struct {
	batch
	use       int // objects in the table; -1: no table
	hasHook   bool
	hasOwn    bool
	hookRules []kernelRule
	ownRules  []kernelRule
	jump      int  // position in hookRules; -1: none
	parts     byte // those that we made, as madeParts tells
}

func newMangle() *mangle {
	return &mangle{batch: batch{family: unix.NFPROTO_IPV4, table: mangleTable}, jump: -1}
}

func readMangle(socket *netlink.Conn) (*mangle, error) {
	m := newMangle()
	r := reader{conn: socket, family: m.family, table: m.table}
	var err error
	if m.use, err = r.use(); err != nil || m.use < 0 {
		return m, err
	}
	if m.hookRules, m.hasHook, err = r.rules(mangleHook); err != nil {
		return nil, err
	}
	if m.ownRules, m.hasOwn, err = r.rules(mangleChain); err != nil {
		return nil, err
	}
	if m.jump = find(m.hookRules, jumpComment); m.jump >= 0 {
		m.parts = madeParts(m.hookRules[m.jump].userdata)
	}
	return m, nil
}

// find returns the position of the rule with a comment of ours; -1: none.
func find(rules []kernelRule, comment string) int {
	want := userdata.AppendString(nil, userdata.TypeComment, comment)
	return slices.IndexFunc(rules, func(r kernelRule) bool { return bytes.HasPrefix(r.userdata, want) })
}

// bridgeComment is the comment of a bridge's rule.
func bridgeComment(bridge string) string { return jumpComment + " " + bridge }

// madeParts reads what madeType says; our comment is in front of it.
func madeParts(data []byte) byte {
	rest := data[2+int(data[1]):]
	if len(rest) == 3 && rest[0] == byte(madeType) {
		return rest[2]
	}
	return 0
}

func (m *mangle) fill(bridge string) {
	if m.jump < 0 {
		m.fillBase()
	}
	if find(m.ownRules, bridgeComment(bridge)) < 0 {
		m.bridgeRule(bridge)
	}
}

// bridgeRule adds a bridge's rule.
func (m *mangle) bridgeRule(bridge string) {
	operation := xt.Unknown{1, 0, 0, 0, 0, 0, 0, 0} // struct xt_CHECKSUM_info: XT_CHECKSUM_OP_FILL
	m.dhcpRule(mangleChain, bridge, &expr.Target{Name: "CHECKSUM", Info: &operation},
		userdata.AppendString(nil, userdata.TypeComment, bridgeComment(bridge)))
}

// fillBase makes the jump to our chain, and what is missing for it.
func (m *mangle) fillBase() {
	var made byte
	if m.use < 0 {
		made |= madeTable
		m.addTable()
	}
	if !m.hasHook {
		made |= madeChain
		const priority = -150 // NF_IP_PRI_MANGLE
		m.addChain(firewall.Chain{Name: mangleHook, Hook: &firewall.Hook{Type: "filter", Name: "postrouting", Priority: priority}})
	}
	m.addChain(firewall.Chain{Name: mangleChain})
	m.dhcpRule(mangleHook, "", &expr.Verdict{Kind: expr.VerdictJump, Chain: mangleChain},
		userdata.Append(userdata.AppendString(nil, userdata.TypeComment, jumpComment), madeType, []byte{made}))
}

// dhcpRule adds a rule about DHCP replies. The condition is x_tables' own udp
// match, which every iptables-nft knows how to print.
func (m *mangle) dhcpRule(chain, out string, do expr.Any, data []byte) {
	var exprs []expr.Any
	if out != "" {
		exprs = append(exprs,
			&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: append([]byte(out), 0)})
	}
	const bootpc = 68 // RFC 2131
	exprs = append(exprs,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Match{Name: "udp", Info: &xt.Udp{SrcPorts: [2]uint16{0, 65535}, DstPorts: [2]uint16{bootpc, bootpc}}},
		&expr.Counter{}, do)
	m.addRule(chain, rule{exprs: m.marshal(exprs...), userdata: data, proto: unix.IPPROTO_UDP})
}

func (m *mangle) unfill(bridge string) {
	i := find(m.ownRules, bridgeComment(bridge))
	switch {
	case !m.hasOwn, i < 0 && len(m.ownRules) > 0:
		return
	case len(m.ownRules) > 1:
		m.delRule(mangleChain, m.ownRules[i].handle)
		return
	}
	m.delBase()
}

// delBase deletes our chain with its rules and what was made for it.
func (m *mangle) delBase() {
	alone := m.jump >= 0 && len(m.hookRules) == 1
	if alone && m.parts&madeTable != 0 && m.use == 2 {
		m.delTable()
		return
	}
	if m.jump >= 0 {
		m.delRule(mangleHook, m.hookRules[m.jump].handle)
	}
	m.delChain(mangleChain)
	if alone && m.parts&madeChain != 0 {
		m.delChain(mangleHook)
	}
}
