package hosttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

var _ driver.System = (*Fake)(nil)

// Fake is a host in memory. It may be used by several goroutines at once.
type Fake struct {
	// Before, if set, is called with the line of each op before it is done,
	// without a lock held. An error is the op's; blocking delays the op. Set it
	// before the first use.
	Before func(ctx context.Context, line string) error

	// VFs are the virtual functions of physical functions, as in step.Facts. Set
	// it before the first use.
	VFs map[string][]step.VF

	// Bounds are the limits of the kernel. Set it before the first use.
	Bounds []step.Limit

	// Taken are addresses that others on the host's links have. Set it before
	// the first use.
	Taken []netip.Addr

	mu      sync.Mutex // guards what follows
	lines   []string
	links   map[string]*link
	routes  []step.Route
	rules   map[string]bool
	zones   map[string]string
	shaped  map[string]bool
	classes map[string]string // bridge and class to what the class is
	serving map[string]string // pid file to bridge
	sysctls map[string]string
	reach   reach
	watch   watch
}

type link struct {
	kind   string
	mac    xml.MAC // of those that an op made
	up     bool
	addrs  []netip.Prefix
	master string
	member step.Member
}

// New returns a host with a loopback device and one network card.
func New() *Fake {
	return &Fake{
		links:   map[string]*link{"lo": {up: true}, "eth0": {up: true}},
		routes:  []step.Route{{Dest: netip.MustParsePrefix("0.0.0.0/0"), Link: "eth0"}, {Dest: netip.MustParsePrefix("10.0.0.0/24"), Link: "eth0"}},
		rules:   make(map[string]bool),
		zones:   make(map[string]string),
		shaped:  make(map[string]bool),
		classes: make(map[string]string),
		serving: make(map[string]string),
		sysctls: make(map[string]string),
		reach:   newReach(),
		watch:   newWatch(),
	}
}

// Facts returns the state as a plan sees it.
func (f *Fake) Facts(ctx context.Context) (step.Facts, error) {
	if err := f.before(ctx, "facts"); err != nil {
		return step.Facts{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	facts := step.Facts{
		Links:   make(map[string]step.Link),
		Routes:  slices.Clone(f.routes),
		VFs:     f.VFs,
		Dnsmasq: step.DnsmasqFacts{Path: "/usr/sbin/dnsmasq", Major: 2, Minor: 90},
	}
	for name, l := range f.links {
		facts.Links[name] = step.Link{Kind: l.kind, Master: l.master}
		for _, a := range l.addrs {
			if l.up {
				facts.Routes = append(facts.Routes, step.Route{Dest: a.Masked(), Link: name})
			}
		}
	}
	return facts, nil
}

// Limits returns Bounds.
func (f *Fake) Limits(context.Context) ([]step.Limit, error) { return f.Bounds, nil }

// Run prints and does one op.
func (f *Fake) Run(ctx context.Context, op step.Op) error {
	line := op.String()
	if err := f.before(ctx, line); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, line)
	return f.do(op)
}

func (f *Fake) before(ctx context.Context, line string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.Before == nil {
		return nil
	}
	return f.Before(ctx, line)
}

func (f *Fake) do(op step.Op) error {
	switch o := op.(type) {
	case step.AddBridge:
		if f.links[o.Name] != nil {
			return syscall.EEXIST
		}
		f.links[o.Name] = &link{kind: "bridge", mac: o.MAC}
	case step.DelLink:
		if l := f.links[o.Name]; l != nil && o.MAC != (xml.MAC{}) && l.mac != o.MAC {
			return nil
		}
		f.removeLocked(o.Name)
		f.reach.forget(o.Name)
	case step.PlugMember:
		if l := f.links[o.Member.Name]; l != nil && l.master == "" && l.member.Index == o.Member.Index {
			l.master, l.member = o.Bridge, o.Member
		}
	case step.SetUp:
		return f.onLink(o.Link, func(l *link) { l.up = true })
	case step.SetDown:
		if l := f.links[o.Link]; l != nil {
			l.up = false
		}
	case step.AddAddress:
		return f.onLink(o.Link, func(l *link) {
			if !slices.Contains(l.addrs, o.Address) {
				l.addrs = append(l.addrs, o.Address)
			}
		})
	case step.DelAddress:
		return f.onLink(o.Link, func(l *link) {
			l.addrs = slices.DeleteFunc(l.addrs, func(a netip.Prefix) bool { return a == o.Address })
		})
	case step.SetMTU:
		return f.onLink(o.Link, func(*link) {})
	case step.SetBridge:
		return f.onLink(o.Bridge, func(*link) {})
	case step.AddRoute:
		return f.onLink(o.Link, func(*link) {})
	case step.DelRoute:
	case step.SetSysctl:
		f.sysctls[o.Key] = o.Value
	default:
		return f.serve(op)
	}
	return nil
}

func (f *Fake) serve(op step.Op) error {
	switch o := op.(type) {
	case step.AddRules:
		f.rules[o.Rules.Bridge] = true
	case step.ReplaceRules:
		f.rules[o.To.Bridge] = true
	case step.RestoreRules:
		for _, n := range o.Rules {
			f.rules[n.Bridge] = true
		}
	case step.DelRules:
		delete(f.rules, o.Bridge)
	case step.SetZone:
		f.zones[o.Link] = o.Zone
	case step.UnsetZone:
		delete(f.zones, o.Link)
	case step.ShapeNetwork:
		f.shaped[o.Bridge] = true
	case step.UnshapeNetwork:
		delete(f.shaped, o.Bridge)
		maps.DeleteFunc(f.classes, func(class, _ string) bool { return strings.HasPrefix(class, o.Bridge+" ") })
	case step.ShapePort, step.UnshapePort, step.SetDefaultRate:
		return f.shape(o)
	case step.FillChecksums, step.UnfillChecksums, step.RegisterDNS, step.SignalDnsmasq:
	case step.DropLibvirtRules, step.DropLibvirtQueue:
	case step.DropRules:
		clear(f.rules)
	case step.WriteFile:
		if err := os.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(o.Path, []byte(o.Data), os.FileMode(o.Mode))
	case step.StartDnsmasq:
		if bridge, ok := f.serving[o.PidFile]; ok {
			return fmt.Errorf("a second dnsmasq on %q, beside the one on %q", o.Bridge, bridge)
		}
		f.serving[o.PidFile] = o.Bridge
	case step.AwaitDnsmasq:
		if f.serving[o.PidFile] == "" {
			return fmt.Errorf("nobody has started the dnsmasq of %q", o.PidFile)
		}
	case step.StopDnsmasq:
		delete(f.serving, o.PidFile)
	default:
		return f.extend(op)
	}
	return nil
}

// shape keeps the classes of shaped bridges.
func (f *Fake) shape(op step.Op) error {
	switch o := op.(type) {
	case step.ShapePort:
		if !f.shaped[o.Bridge] {
			return syscall.ENOENT
		}
		f.classes[fmt.Sprintf("%s %d", o.Bridge, o.Class)] = fmt.Sprintf("%s floor %d ceil %d average %d", o.MAC, o.Floor, o.Ceil, o.Average)
	case step.UnshapePort:
		delete(f.classes, fmt.Sprintf("%s %d", o.Bridge, o.Class))
	case step.SetDefaultRate:
		if !f.shaped[o.Bridge] {
			return syscall.ENOENT
		}
		f.classes[o.Bridge+" 2"] = fmt.Sprintf("rate %d", o.Rate)
	}
	return nil
}

func (f *Fake) onLink(name string, do func(*link)) error {
	l := f.links[name]
	if l == nil {
		return syscall.ENODEV
	}
	do(l)
	return nil
}

// VirtualFunction reports whether a device is one of VFs.
func (f *Fake) VirtualFunction(addr xml.PCIAddress) bool {
	for _, list := range f.VFs {
		for _, vf := range list {
			if vf.PCI == addr {
				return true
			}
		}
	}
	return false
}

// DnsmasqAlive reports whether an op started the dnsmasq and none ended it.
func (f *Fake) DnsmasqAlive(pidFile string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.serving[pidFile]
	return ok
}

// Reload prints a line.
func (f *Fake) Reload(pidFile string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.serving[pidFile]; !ok {
		return errors.New("no such process")
	}
	f.lines = append(f.lines, "dnsmasq reload "+pidFile)
	return nil
}

// Answers returns those of the addresses that are Taken.
func (f *Fake) Answers(ctx context.Context, addrs []netip.Addr) ([]netip.Addr, error) {
	if err := f.before(ctx, "answers"); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !slices.Contains(f.Taken, a) }), nil
}

// AddRoute gives the host a route that nobody asked the driver for.
func (f *Fake) AddRoute(r step.Route) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.routes = append(f.routes, r)
}

// AddLink gives the host a link that nobody asked the driver for.
func (f *Fake) AddLink(name, kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links[name] = &link{kind: kind}
}

// DelLink takes a link away behind the driver's back.
func (f *Fake) DelLink(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removeLocked(name)
}

func (f *Fake) removeLocked(name string) {
	delete(f.links, name)
	for _, l := range f.links {
		if l.master == name {
			l.master = ""
		}
	}
}

// Plug gives the host a link that is a port of a bridge.
func (f *Fake) Plug(bridge string, m step.Member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links[m.Name] = &link{kind: "tun", up: true, mac: m.MAC, master: bridge, member: m}
}

// Members returns the links that are ports of a bridge. A tap has its guest's address
// with another first byte.
func (f *Fake) Members(_ context.Context, bridge string, guests []xml.MAC) ([]step.Member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []step.Member
	for _, l := range f.links {
		if l.master != bridge || bridge == "" {
			continue
		}
		m := l.member
		m.Guests = slices.DeleteFunc(slices.Clone(guests), func(g xml.MAC) bool { return !slices.Equal(g[1:], m.MAC[1:]) })
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b step.Member) int { return a.Index - b.Index })
	return list, nil
}

// Kill ends a dnsmasq behind the driver's back.
func (f *Fake) Kill(pidFile string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.serving, pidFile)
}

// Lines returns what was printed since the last call.
func (f *Fake) Lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := f.lines
	f.lines = nil
	return lines
}

// State prints all that the host has, sorted: equal texts are equal hosts.
// Sysctls are left out: forwarding stays enabled on purpose.
func (f *Fake) State() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for name, l := range f.links {
		line := fmt.Sprintf("link %s kind %q up %v addresses %v", name, l.kind, l.up, l.addrs)
		if l.master != "" {
			line += " master " + l.master
		}
		lines = append(lines, line)
	}
	for bridge := range f.rules {
		lines = append(lines, "rules "+bridge)
	}
	for l, zone := range f.zones {
		lines = append(lines, "zone "+l+" "+zone)
	}
	for bridge := range f.shaped {
		lines = append(lines, "limits "+bridge)
	}
	for class, what := range f.classes {
		lines = append(lines, "class "+class+" "+what)
	}
	for _, bridge := range slices.Sorted(maps.Values(f.serving)) {
		lines = append(lines, "dnsmasq "+bridge)
	}
	lines = append(lines, f.reach.lines()...)
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}
