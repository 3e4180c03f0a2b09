package hosttest

import (
	"context"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/policy"
	"github.com/virbr/virbr/driver/step"
)

var _ driver.Watcher = (*Fake)(nil)

// watch is what a host tells by itself.
type watch struct {
	tells      map[int]func(driver.Change) // by number
	next       int
	waiting    []driver.Change // told before anybody watched
	listeners  []driver.Listener
	neighbours map[string][]driver.Neighbour // by bridge
	ports      map[string][]step.BridgePort  // so, too
}

func newWatch() watch {
	return watch{tells: make(map[int]func(driver.Change)), neighbours: make(map[string][]driver.Neighbour), ports: make(map[string][]step.BridgePort)}
}

// Watch passes on what Tell is called with until ctx ends.
func (f *Fake) Watch(ctx context.Context, tell func(driver.Change)) error {
	if err := f.before(ctx, "watch"); err != nil {
		return err
	}
	f.mu.Lock()
	id := f.watch.next
	f.watch.next++
	f.watch.tells[id] = tell
	waiting := f.watch.waiting
	f.watch.waiting = nil
	f.mu.Unlock()
	for _, c := range waiting {
		tell(c)
	}
	<-ctx.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watch.tells, id)
	return ctx.Err()
}

// Missing returns those of some ops whose results are not there.
func (f *Fake) Missing(_ context.Context, ops []step.Op) ([]step.Op, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []step.Op
	for _, op := range ops {
		there := true
		switch o := op.(type) {
		case step.AddBridge:
			there = f.links[o.Name] != nil
		case step.SetUp:
			there = f.links[o.Link] != nil && f.links[o.Link].up
		case step.AddAddress:
			there = f.links[o.Link] != nil && slices.Contains(f.links[o.Link].addrs, o.Address)
		case step.SetSysctl:
			there = o.IfExists || f.sysctls[o.Key] == o.Value
		}
		if !there {
			list = append(list, op)
		}
	}
	return list, nil
}

// Tell lets a change of the host be known to all who watch, and to the first
// who comes when there is none.
func (f *Fake) Tell(c driver.Change) {
	f.mu.Lock()
	var tells []func(driver.Change)
	for _, tell := range f.watch.tells {
		tells = append(tells, tell)
	}
	if len(tells) == 0 {
		f.watch.waiting = append(f.watch.waiting, c)
	}
	f.mu.Unlock()
	for _, tell := range tells {
		tell(c)
	}
}

// Listen lets somebody listen on a port of the host. Its Program is what
// Holder says.
func (f *Fake) Listen(l driver.Listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch.listeners = append(f.watch.listeners, l)
}

// Unlisten ends what listens on a port.
func (f *Fake) Unlisten(proto string, port uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch.listeners = slices.DeleteFunc(f.watch.listeners, func(l driver.Listener) bool { return l.Proto == proto && l.Port == port })
}

// Listeners returns what Listen was called with, without programs.
func (f *Fake) Listeners(ctx context.Context) ([]driver.Listener, error) {
	if err := f.before(ctx, "listeners"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := slices.Clone(f.watch.listeners)
	for i := range list {
		list[i].Process = step.Process{}
	}
	return list, nil
}

// Holder names the program of a listener.
func (f *Fake) Holder(_ context.Context, l driver.Listener) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, known := range f.watch.listeners {
		who := known.Process
		if known.Process = (step.Process{}); known == l && who.PID != 0 {
			return who.String()
		}
	}
	return ""
}

// SetNeighbours says who is on a bridge. Nobody is told: see Tell.
func (f *Fake) SetNeighbours(bridge string, list ...driver.Neighbour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch.neighbours[bridge] = list
}

// Neighbours returns what SetNeighbours was called with.
func (f *Fake) Neighbours(ctx context.Context, bridge string) ([]driver.Neighbour, error) {
	if err := f.before(ctx, "neighbours "+bridge); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.watch.neighbours[bridge]), nil
}

// BridgePorts returns the links that are ports of a bridge. It never fails: a network
// goes on without.
func (f *Fake) BridgePorts(_ context.Context, bridge string) ([]step.BridgePort, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.watch.ports[bridge]), nil
}

// SetBridgePorts says which links are ports of a bridge. Nobody is told: see Tell.
func (f *Fake) SetBridgePorts(bridge string, list ...step.BridgePort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch.ports[bridge] = list
}

// Ask is answered by the neighbours of a bridge.
func (f *Fake) Ask(ctx context.Context, bridge string, addrs []netip.Addr) ([]driver.Neighbour, error) {
	list, err := f.Neighbours(ctx, bridge)
	return slices.DeleteFunc(list, func(n driver.Neighbour) bool { return !slices.Contains(addrs, n.Address) }), err
}

// SetAddresses says which addresses a link of the host has.
// Nobody is told: see Tell.
func (f *Fake) SetAddresses(name string, addrs ...netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.links[name] == nil {
		f.links[name] = &link{up: true}
	}
	f.links[name].addrs = addrs
}

// Defaults returns no default routes but those of the main table.
func (f *Fake) Defaults(context.Context) (both [2][]policy.Default, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.routes {
		if policy.IsDefault(r.Dest) {
			i := 0
			if r.Dest.Addr().Is6() {
				i = 1
			}
			both[i] = append(both[i], policy.Default{Link: r.Link, Gateway: r.Gateway, Table: policy.TableMain})
		}
	}
	return both, nil
}

// Addresses returns the addresses of the host's links.
func (f *Fake) Addresses(ctx context.Context) (map[string][]netip.Addr, error) {
	if err := f.before(ctx, "addresses"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make(map[string][]netip.Addr)
	for name, l := range f.links {
		list[name] = nil
		for _, a := range l.addrs {
			list[name] = append(list[name], a.Addr())
		}
	}
	return list, nil
}
