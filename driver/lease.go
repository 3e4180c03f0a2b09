package driver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/virbr/virbr/dnsmasq"
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
	leases := make([]Lease, len(found))
	for i, l := range found {
		leases[i] = Lease(l)
	}
	return leases, nil
}

// readLeases reads the file that the lease helper keeps for a bridge.
func (d *Driver) readLeases(bridge string) ([]dnsmasq.Entry, error) {
	if bridge == "" || strings.Contains(bridge, "/") {
		return nil, nil
	}
	path := d.dirs.served().Status(bridge)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not block us
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, systemError(err, "Unable to read leases file: %s", path)
	}
	defer f.Close()
	var data bytes.Buffer
	if info, err := f.Stat(); err == nil { // growing would take several times as much
		data.Grow(int(min(info.Size(), dnsmasq.MaxFile)) + bytes.MinRead)
	}
	if _, err := data.ReadFrom(io.LimitReader(f, dnsmasq.MaxFile+1)); err != nil {
		return nil, systemError(err, "Unable to read leases file: %s", path)
	}
	entries, err := dnsmasq.ParseLeases(path, data.Bytes())
	if err != nil {
		return nil, &Error{Kind: KindInternal, Msg: err.Error(), Err: err}
	}
	return entries, nil
}
