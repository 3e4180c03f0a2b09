package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/topology"
	"github.com/virbr/virbr/xml"
)

// Host is the host that virbr runs on. Nothing here changes it.
type Host interface {
	// Survey reads all facts that the doctor asks for.
	Survey(ctx context.Context, dirs state.Dirs) (*doctor.Facts, error)
	// Way says which way the kernel sends a packet; in "": the host itself sends it.
	Way(to, from netip.Addr, in string) doctor.Answer
	// Counters reads those of some bridges and of their rules.
	Counters(ctx context.Context, bridges []string) (map[string]topology.Counters, error)
	// Guarded returns the ports of some bridges that the kernel guards.
	Guarded(ctx context.Context, bridges []string) (map[string][]firewall.GuardPort, error)
	// Connections lists those that the host tracks.
	Connections(ctx context.Context) ([]topology.Connection, error)
	Close()
}

// ErrNotRoot says that a host shows itself to root only.
var ErrNotRoot = errors.New("needs root: others' firewall rules and processes cannot be seen without; try sudo")

// survey reads the facts of this host.
func survey(ctx context.Context, io IO, dirs state.Dirs) (*doctor.Facts, error) {
	if io.Host == nil {
		return nil, errors.New("this virbr cannot look at hosts")
	}
	h, err := io.Host()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return h.Survey(ctx, dirs)
}

// look gathers what is shown of networks: what the host shows to root, and what the
// daemon says. Without root the daemon alone knows. The error wraps [errLook] where
// neither does, or there is no such network.
func (f *daemonFlags) look(ctx context.Context, io IO, names []string) (*topology.Facts, error) {
	t := &topology.Facts{Host: &doctor.Facts{Checked: time.Now().Unix()}, Ports: map[string][]*xml.Port{}, Last: map[string]topology.Change{}}
	var looked error
	if f.local() {
		looked = f.lookAtHost(ctx, io, t, names)
		if errors.Is(looked, ErrNotRoot) {
			t.Host.Unchecked = append(t.Host.Unchecked, "health, routes and what others' rules stop: they need root; try sudo")
		}
	}
	err := f.ask(ctx, t)
	switch {
	case err != nil && t.Report == nil:
		return nil, errLook{err}
	case err != nil:
		t.Host.Unchecked = append(t.Host.Unchecked, fmt.Sprintf("what the daemon says: %v", err))
	case looked != nil && !errors.Is(looked, ErrNotRoot):
		t.Host.Unchecked = append(t.Host.Unchecked, fmt.Sprintf("this host: %v", looked))
	}
	for _, name := range names {
		if !slices.ContainsFunc(t.Host.Networks, func(n doctor.Network) bool { return n.Name == name }) {
			return nil, errLook{fmt.Errorf("there is no network %q", name)}
		}
	}
	return t, nil
}

// lookAtHost reads what the host shows.
func (f *daemonFlags) lookAtHost(ctx context.Context, io IO, t *topology.Facts, names []string) error {
	if io.Host == nil {
		return nil
	}
	h, err := io.Host()
	if err != nil {
		return err
	}
	defer h.Close()
	facts, err := h.Survey(ctx, state.System())
	if err != nil {
		return err
	}
	resolve(ctx, f, facts)
	t.Host, t.Report = facts, doctor.Examine(facts, names...)
	if t.Connections, err = h.Connections(ctx); err != nil {
		facts.Unchecked = append(facts.Unchecked, err.Error())
	}
	return nil
}

// daemonPatience is how long a daemon may take to answer: doctor is asked when things hang.
const daemonPatience = 10 * time.Second

// ask adds what the daemon says. What nobody read from files it tells, too.
func (f *daemonFlags) ask(ctx context.Context, t *topology.Facts) error {
	ctx, cancel := context.WithTimeout(ctx, daemonPatience)
	defer cancel()
	return f.reading(ctx, func(c *client.Conn) error {
		nets, err := c.Networks(ctx)
		if err != nil {
			return err
		}
		if t.Report == nil {
			if t.Host.Networks, err = f.told(ctx, c, nets); err != nil {
				return err
			}
		}
		for _, n := range nets {
			if !n.Active {
				continue
			}
			if t.Ports[n.Name], err = c.Ports(ctx, n); err != nil {
				if _, ok := errors.AsType[*client.Error](err); !ok {
					return err
				}
			}
		}
		if t.Pending, err = c.Pending(ctx); err != nil {
			return err
		}
		history, err := c.RecentEvents(ctx)
		for _, e := range history {
			t.Last[e.Network] = topology.Change{Time: e.Time.UTC(), Event: eventNames[e.Kind], Text: flat(eventText(e))}
		}
		return err
	})
}

// told returns the networks as a daemon has them.
func (f *daemonFlags) told(ctx context.Context, c *client.Conn, nets []client.Network) ([]doctor.Network, error) {
	var list []doctor.Network
	virbrd, err := c.HasExtensions(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nets {
		made := doctor.Network{Name: n.Name, Active: n.Active, Autostart: n.Autostart}
		def, err := c.Definition(ctx, n, n.Active)
		if client.IsNoNetwork(err) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		made.Def = def
		if n.Active {
			made.Started = doctor.KeeperLibvirt
			if virbrd {
				made.Started = doctor.KeeperVirbrd
			}
			leases, err := c.Leases(ctx, n)
			if _, refused := errors.AsType[*client.Error](err); err != nil && !refused {
				return nil, err
			}
			for _, l := range leases {
				made.Leases = append(made.Leases, dnsmasq.Entry{Address: l.Address, MAC: l.MAC, Hostname: l.Name, Expiry: l.Expiry})
			}
			resolveOne(ctx, f, c, n, &made)
		}
		list = append(list, made)
	}
	slices.SortFunc(list, func(a, b doctor.Network) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// resolve has virbrd say what forwards and public addresses come to. Where none
// answers less is known.
func resolve(ctx context.Context, f *daemonFlags, facts *doctor.Facts) {
	ctx, cancel := context.WithTimeout(ctx, daemonPatience)
	defer cancel()
	err := f.reading(ctx, func(c *client.Conn) error {
		if has, err := c.HasExtensions(ctx); err != nil || !has {
			return err
		}
		for i := range facts.Networks {
			n := &facts.Networks[i]
			if !n.Active || n.Def == nil {
				continue
			}
			if found, err := c.Lookup(ctx, n.Name); err == nil && found.Active {
				resolveOne(ctx, f, c, found, n)
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		facts.Unchecked = append(facts.Unchecked, fmt.Sprintf("forwards, as the daemon has them: %v", err))
	}
}

// resolveOne asks for one network.
func resolveOne(ctx context.Context, f *daemonFlags, c *client.Conn, found client.Network, n *doctor.Network) {
	forwards, publics, err := c.Resolved(ctx, found, &f.source)
	if err != nil {
		return
	}
	n.Resolutions = &doctor.Resolutions{Uplinks: uplinksFor(ctx, f, c, found)}
	for i := range forwards {
		n.Resolutions.Forwards = append(n.Resolutions.Forwards, resolved(forwards[i].XML(), &forwards[i].State))
	}
	for i := range publics {
		n.Resolutions.Publics = append(n.Resolutions.Publics, resolved(publics[i].XML(), &publics[i].State))
	}
}

func resolved(document string, s *client.State) doctor.Resolved {
	return doctor.Resolved{XML: document, Active: s.Phase == client.Active, Addresses: s.Addresses, Reason: s.Reason}
}
