package driver

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// maxBridge is how long a generated bridge name may be: IFNAMSIZ without the
// final zero. libvirt stops at number 256.
const maxBridge = 15

// newUUID returns a random UUID (RFC 9562, version 4).
func (d *Driver) newUUID() (xml.UUID, error) {
	var u xml.UUID
	if err := d.fill(u[:]); err != nil {
		return u, err
	}
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u, nil
}

// newMAC returns a random address in the range that QEMU and libvirt use for
// what they make.
func (d *Driver) newMAC() (xml.MAC, error) {
	m := xml.MAC{0x52, 0x54, 0x00}
	err := d.fill(m[3:])
	return m, err
}

func (d *Driver) fill(b []byte) error {
	d.random.Lock()
	defer d.random.Unlock()
	if _, err := io.ReadFull(d.cfg.Random, b); err != nil {
		return fmt.Errorf("generating random bytes: %w", err)
	}
	return nil
}

// complete generates what a definition that came from a client leaves open
// and a network with a bridge of its own must have: the bridge's name and MAC
// address. The turn of n is held.
func (d *Driver) complete(ctx context.Context, n *network, def *xml.Network) error {
	made, _, err := plan.Extended(def)
	if err != nil {
		return err
	}
	if made.OwnsBridge() {
		if err := d.claimPrefix(n, made, (*view).defs); err != nil {
			return err
		}
	}
	if !def.OwnsBridge() {
		return nil
	}
	if err := d.nameBridge(ctx, n, def); err != nil {
		return err
	}
	for _, l := range d.detachedFor(n.ref, def) { // who replaces a network keeps its guests' gateway
		if def.MAC.IsZero() {
			def.MAC = l.MAC
		}
	}
	if def.MAC.IsZero() {
		def.MAC, err = d.newMAC()
	}
	return err
}

// nameBridge sets the name of a bridge that has none or only a template, and
// refuses the name that another network's running or persistent definition
// has. The name is claimed for n until settle. A generated name is also not one
// of a device of the host, so that redefining a running network without a name
// moves it to the next.
func (d *Driver) nameBridge(ctx context.Context, n *network, def *xml.Network) error {
	template, generate := xml.BridgeTemplate(def.Bridge.Name)
	var links map[string]bool // whose names are not to be had
	if generate {
		facts, err := d.sys.Facts(ctx)
		if err != nil {
			return fmt.Errorf("generating a bridge name for %q: %w", def.Name, err)
		}
		links = d.bequeathed(n.ref)
		for name := range facts.Links {
			links[name] = true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.bridgesLocked(n)
	if !generate {
		if taken[def.Bridge.Name] {
			return bridgeInUse(def.Bridge.Name)
		}
		n.bridge = def.Bridge.Name
		return nil
	}
	for id := 0; ; id++ { // as many as there are names, at most
		name := strings.Replace(template, "%d", strconv.Itoa(id), 1)
		if len(name) > maxBridge {
			return &Error{Kind: KindInternal, Msg: fmt.Sprintf("Bridge generation exceeded max id %d", id-1)}
		}
		if !taken[name] && !links[name] {
			def.Bridge.Name, n.bridge = name, name
			return nil
		}
	}
}

// checkBridge refuses the name of a bridge that a network of another name has.
// libvirt looks at that before all else, also before the UUID: who renames a network
// in the editor is told that its bridge is in use. It decides nothing, as it claims
// nothing; nameBridge does.
func (d *Driver) checkBridge(def *xml.Network) error {
	if _, generate := xml.BridgeTemplate(def.Bridge.Name); generate || !def.OwnsBridge() {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bridgesLocked(d.byName[def.Name])[def.Bridge.Name] {
		return bridgeInUse(def.Bridge.Name)
	}
	return nil
}

func bridgeInUse(name string) error {
	return &Error{Kind: KindInternal, Msg: fmt.Sprintf("bridge name '%s' already in use.", name)}
}

// bridgesLocked returns the bridge names of all networks but one.
func (d *Driver) bridgesLocked(except *network) map[string]bool {
	taken := make(map[string]bool, len(d.byUUID))
	for _, n := range d.byUUID {
		if n == except {
			continue
		}
		taken[n.bridge] = true
		if v := n.view.Load(); v != nil {
			for _, def := range v.defs() {
				taken[def.Bridge.Name] = true
			}
		}
	}
	delete(taken, "")
	return taken
}
