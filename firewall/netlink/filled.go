package netlink

import (
	"strings"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
)

// filled is what is known of our chain in table "ip mangle" while nobody else
// changes anything: with a thousand bridges it has a thousand rules, which take
// longer to read than one more takes to add.
type filled struct {
	generation uint32 // of the ruleset that has it
	handles    map[string]uint64
	rules      int // those of bridges and any others
}

// fillLocked adds the rule of a bridge, or with add false deletes it.
func (c *Conn) fillLocked(socket *netlink.Conn, bridge string, add bool) error {
	known, err := c.filledLocked(socket)
	if err != nil {
		return err
	}
	c.filled = nil // until the kernel says what it made of the change
	if known == nil || !add && known.rules == 1 {
		return c.refillLocked(socket, bridge, add)
	}
	handle, there := known.handles[bridge]
	if there == add {
		c.filled = known
		return nil
	}
	m := newMangle()
	if add {
		m.bridgeRule(bridge)
	} else {
		m.delRule(mangleChain, handle)
	}
	if err := m.send(socket); err != nil {
		return err
	}
	c.noteLocked(m.made)
	if m.made != known.generation+1 || add && m.handle == 0 {
		return nil
	}
	known.generation = m.made
	if add {
		known.handles[bridge] = m.handle
		known.rules++
	} else {
		delete(known.handles, bridge)
		known.rules--
	}
	c.filled = known
	return nil
}

// refillLocked does the same where the chain is to be made, or goes with its last
// rule.
func (c *Conn) refillLocked(socket *netlink.Conn, bridge string, add bool) error {
	m, err := readMangle(socket)
	if err != nil {
		return err
	}
	if add {
		m.fill(bridge)
	} else {
		m.unfill(bridge)
	}
	err = m.send(socket)
	c.noteLocked(m.made)
	return err
}

// filledLocked returns what our chain has now; nil: there is no such chain, or no
// jump to it, or nothing in it, or others change the ruleset at this moment.
func (c *Conn) filledLocked(socket *netlink.Conn) (*filled, error) {
	r := reader{conn: socket}
	now, err := r.generation()
	if err != nil {
		return nil, err
	}
	if c.filled != nil && c.aloneLocked(c.filled.generation, now) {
		c.filled.generation = now
		return c.filled, nil
	}
	m, err := readMangle(socket)
	if err != nil || m.jump < 0 || len(m.ownRules) == 0 {
		return nil, err
	}
	if again, err := r.generation(); err != nil || again != now {
		return nil, err
	}
	known := &filled{generation: now, handles: map[string]uint64{}, rules: len(m.ownRules)}
	for _, rule := range m.ownRules {
		if bridge, ok := commentBridge(rule.userdata); ok {
			known.handles[bridge] = rule.handle
		}
	}
	return known, nil
}

// commentBridge is the opposite of bridgeComment, for a rule's user data.
func commentBridge(data []byte) (bridge string, ok bool) {
	if len(data) < 3 || data[0] != byte(userdata.TypeComment) || len(data) < 2+int(data[1]) {
		return "", false
	}
	comment, whole := strings.CutSuffix(string(data[2:2+int(data[1])]), "\x00")
	bridge, ok = strings.CutPrefix(comment, bridgeComment(""))
	return bridge, ok && whole && bridge != ""
}
