package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

// Load makes the driver the host's only one, reads the networks that there are
// on disk and looks which of them still run. Those go on untouched, but that
// their firewall rules are put in again, at once and without a gap, and that a
// dnsmasq that died is started; what is left of those whose bridge is gone, or
// of a start or stop that was cut short, is cleaned up.
//
// Networks with autostart are then held for StartAll, where this is the first
// start since boot: whoever wants to change one waits until it is up, whoever
// reads does not.
//
// Definitions that were accepted by others, or earlier, are read leniently: what is
// wrong in one is logged, and the network is known, runs on where it runs, and does
// not start. Files that are no network's are logged and left out; while there is one
// of a running network, libvirt's own firewall rules stay. The error is that another
// daemon is running, or that the host does not say what it has.
func (d *Driver) Load(ctx context.Context) (err error) {
	if err := d.dirs.Make(); err != nil {
		return err
	}
	if d.lock, err = state.LockPID(d.dirs.DriverLock()); err != nil {
		return err
	}
	facts, err := d.sys.Facts(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("loading networks: %w", err), d.lock.Release())
	}
	d.hooks.Daemon(ctx, hooks.DaemonStart)
	d.finishFiles()
	d.dirs.RemoveTemporary(d.log)
	d.warn("putting directories of ports aside", Ref{}, d.dirs.MovePorts())
	d.loadDetached()
	known := d.loadAll("status", d.dirs.Running, d.loadStatus)
	d.loadAll("definition", d.dirs.Definitions, func(name string) error { return d.loadConfig(ctx, name) })
	running := slices.ContainsFunc(d.networks(), (*network).running)
	d.buryDead(ctx, facts)
	d.sweep(ctx)
	d.restorePorts(ctx)
	d.reattach(ctx)
	if whole := d.refresh(ctx, facts); running {
		d.takeOver(ctx, whole && known)
	}
	booted := !d.dirs.Autostarted()
	d.loadJournals(ctx, booted)
	if booted {
		d.holdAutostart()
	}
	return nil
}

// Close ends the driver's reign. Networks and their dnsmasq go on.
func (d *Driver) Close(ctx context.Context) error {
	d.hooks.Daemon(ctx, hooks.DaemonShutdown)
	if d.lock == nil {
		return nil
	}
	return d.lock.Release()
}

// loadAll loads the networks that have a kind of file, and reports whether none was
// left out.
func (d *Driver) loadAll(kind string, list func() ([]string, error), load func(name string) error) (all bool) {
	names, err := list()
	if err != nil {
		d.log.Error("listing networks", "step", kind, "err", err)
	}
	all = err == nil
	for _, name := range names {
		if err := load(name); err != nil {
			d.log.Error("leaving out a network's file", "network", name, "step", kind, "err", err)
			all = false
		}
	}
	return all
}

// loadStatus reads a network that ran when the last daemon ended.
func (d *Driver) loadStatus(name string) error {
	s, err := d.dirs.Status(name)
	if err != nil {
		return err
	}
	if err := d.fits(s.Network, name); err != nil {
		return err
	}
	n, fresh, err := d.identify(s.Network, "loading")
	if err != nil {
		return err
	}
	if !fresh {
		return &Error{Kind: KindInternal, Msg: fmt.Sprintf("network '%s' was read already", name)}
	}
	defer n.end()
	if s.Network.Fault != nil {
		d.warn("the definition of a running network would not be accepted; it cannot change until it was stopped, defined anew and started", n.ref, s.Network.Fault)
	}
	v := &view{live: s.Network, status: *s}
	d.loadPorts(name, v)
	n.view.Store(v)
	return nil
}

// loadConfig reads a persistent network, at the start of the daemon or later.
func (d *Driver) loadConfig(ctx context.Context, name string) error {
	for {
		settled, err := d.tryConfig(ctx, name)
		if settled || err != nil {
			return err
		}
	}
}

// tryConfig is one attempt of loadConfig. It has not settled the matter where
// somebody redefined the network between our reading and our turn.
func (d *Driver) tryConfig(ctx context.Context, name string) (settled bool, err error) {
	path := d.dirs.DefinitionFile(name)
	data, err := state.Read(path)
	if err != nil {
		return false, err
	}
	def, changed, err := d.readConfig(data, name)
	if err != nil {
		return false, err
	}
	n, err := d.claim(ctx, def, "loading")
	if err != nil {
		return false, err
	}
	defer d.settle(n)
	if now, err := state.Read(path); errors.Is(err, fs.ErrNotExist) {
		return true, nil // undefined meanwhile
	} else if err != nil || !bytes.Equal(now, data) {
		return false, err
	}
	if changed {
		if err := d.dirs.SaveDefinition(def); err != nil {
			return false, err
		}
	}
	next := view{}
	if v := n.view.Load(); v != nil {
		next = *v
	}
	if def.Fault != nil {
		d.warn("the definition would not be accepted: the network cannot start until it is defined anew", n.ref, def.Fault)
	}
	d.setConfig(n, &next, def)
	next.autostart = d.dirs.Autostart(name)
	n.view.Store(&next)
	return true, nil
}

// readConfig parses a definition and generates what it lacks and must have;
// the file is to be written again then. As libvirt does, it drops the MAC
// address of a network that makes no bridge.
func (d *Driver) readConfig(data []byte, name string) (def *xml.Network, changed bool, err error) {
	if def, err = xml.LoadNetwork(data); err != nil {
		return nil, false, err
	}
	changed = !def.HasUUID()
	if err := d.fits(def, name); err != nil {
		return nil, false, err
	}
	if !def.OwnsBridge() {
		def.MAC = xml.MAC{}
	} else if def.MAC.IsZero() {
		changed = true
		def.MAC, err = d.newMAC()
	}
	return def, changed && def.Fault == nil, err // what could not be read is in the file alone
}

// fits checks that a definition belongs into the file where it was found, and
// gives it a UUID.
func (d *Driver) fits(def *xml.Network, name string) (err error) {
	if def.Name != name {
		return &Error{Kind: KindInternal, Msg: fmt.Sprintf(
			"Network config filename '%s.xml' does not match network name '%s'", name, def.Name)}
	}
	if err := checkName(name); err != nil {
		return err
	}
	if !def.HasUUID() {
		def.UUID, err = d.newUUID()
	}
	return err
}

// buryDead stops the networks whose bridge is gone.
func (d *Driver) buryDead(ctx context.Context, facts step.Facts) {
	for _, n := range d.networks() {
		v := n.view.Load()
		if v == nil || !v.active() || alive(v.live, facts) {
			continue
		}
		d.log.Info("the bridge of a running network is gone", "network", n.ref.Name, "bridge", v.live.Bridge.Name)
		n.take("cleaning up")
		d.warn("cleaning up", n.ref, d.stop(ctx, n, v))
		n.end()
	}
}

// alive reports whether a network runs: its bridge is there, or it has none.
func alive(live *xml.Network, facts step.Facts) bool {
	bridged := live.Forward.Mode.Routed() || live.Forward.Mode == xml.ForwardBridge && live.Bridge.Name != ""
	_, found := facts.Links[live.Bridge.Name]
	return found || !bridged
}
