package driver

import (
	"context"
	"time"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/leases"
)

// Leases returns the DHCP leases of a network that have not ended, of one guest
// only if mac is not empty. A network that does not run may have leases, too.
func (d *Driver) Leases(_ context.Context, net Ref, mac string) ([]Lease, error) {
	_, v, err := d.find(net)
	if err != nil {
		return nil, err
	}
	def := v.def()
	entries, err := d.readLeases(def.Bridge.Name)
	if err != nil {
		return nil, err
	}
	found, ok := dnsmasq.Query(entries, def, mac, time.Now().Unix())
	if !ok {
		return nil, &Error{Kind: KindInvalidMAC, Msg: mac}
	}
	list := make([]Lease, len(found))
	for i, l := range found {
		list[i] = Lease(l)
	}
	return list, nil
}

// readLeases reads the file that the lease helper keeps for a bridge.
func (d *Driver) readLeases(bridge string) ([]dnsmasq.Entry, error) {
	path := d.dirs.Served().Status(bridge)
	data, err := leases.Read(d.dirs.Served(), bridge)
	if err != nil {
		return nil, systemError(err, "Unable to read leases file: %s", path)
	}
	entries, err := dnsmasq.ParseLeases(path, data)
	if err != nil {
		return nil, &Error{Kind: KindInternal, Msg: err.Error(), Err: err}
	}
	return entries, nil
}

// numbered reports whether the lease helper numbers a running network's guests.
func (v *view) numbered() bool { return v.live.Advertise != nil && v.live.Advertise.HostID != "" }

// renumberOnRequest has dnsmasq read its files again where the lease helper wants
// that.
func (d *Driver) renumberOnRequest(n *network, v *view) error {
	stale, err := leases.Stale(d.dirs.Served(), v.live.Bridge.Name)
	if !stale || err != nil {
		return err
	}
	return d.sys.Reload(d.dirs.Served().PidFile(n.ref.Name))
}
