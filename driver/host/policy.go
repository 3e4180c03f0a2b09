package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/policy"
	"github.com/virbr/virbr/driver/step"
)

// policies keeps rules and routes of routing as running networks need them, see
// package policy.
type policies struct {
	mu       sync.Mutex                // guards what follows
	networks map[string]policyNetworks // by bridge
	tables   [2]map[uint32]bool        // of ours, that may have routes; by family
	news     *channel                  // of rules, and of routes to everywhere
	plain    bool                      // when last looked, nothing was needed and nothing was there
}

// stillPlainLocked reports whether nothing has changed since nothing was needed: a start
// is not to look at the host's routes for that.
func (p *policies) stillPlainLocked() bool {
	if !p.news.drain(func(syscall.NetlinkMessage) { p.plain = false }) {
		p.plain = false
	}
	return p.plain
}

// policyNetworks is a network in both families, IPv4 first.
type policyNetworks [2]policy.Network

// policyFamilies are those of rules and routes, in the order of policyNetworks.
var policyFamilies = [2]int{unix.AF_INET, unix.AF_INET6}

// setPolicy makes rules and routes what a network needs; nil: it has ended.
func (h *Host) setPolicy(ctx context.Context, bridge string, n *policyNetworks) error {
	p := &h.policies
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.networks == nil {
		p.networks = map[string]policyNetworks{}
	}
	p.networks[bridge] = policyNetworks{}
	if n != nil {
		p.networks[bridge] = *n
	}
	var err error
	if still := p.stillPlainLocked(); !still || n != nil && (n[0].Way != nil || n[1].Way != nil) {
		_, err = h.applyPolicyLocked(ctx)
	}
	switch {
	case h.cfg.Shared:
		clear(p.networks) // by the next time another process may have ended one of them
	case n == nil && err == nil:
		delete(p.networks, bridge)
	}
	return err
}

// repairPolicy makes rules and routes what networks need where those of the host, or
// others, have changed.
func (h *Host) repairPolicy(ctx context.Context) {
	p := &h.policies
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.networks) == 0 || p.stillPlainLocked() {
		return
	}
	lost, err := h.applyPolicyLocked(ctx)
	if err != nil {
		h.log.WarnContext(ctx, "rules and routes of routing may not be as networks need them", "err", err)
	}
	if lost > 0 {
		h.log.WarnContext(ctx, "rules of routing were removed by another program; they are back", "rules", lost)
	}
}

// routeNetwork keeps rules and routes of routing as a network needs them from now on.
func (h *Host) routeNetwork(ctx context.Context, op step.RouteNetwork) error {
	const doing = "routing for the guests of"
	if err := checkLink(op.Bridge); err != nil {
		return opError(doing, op.Bridge, err)
	}
	var n policyNetworks
	for i, way := range []*step.Way{op.IPv4, op.IPv6} {
		other := func(p netip.Prefix) bool { return p.Addr().Is4() != (i == 0) }
		n[i].Addresses = slices.DeleteFunc(slices.Clone(op.Addresses), other)
		n[i].Through = slices.DeleteFunc(slices.Clone(op.Through), other)
		if way != nil {
			n[i].Way = &policy.Way{Link: way.Link, Gateway: way.Gateway, Guard: way.Guard}
		}
	}
	return opError(doing, op.Bridge, h.setPolicy(ctx, op.Bridge, &n))
}

// unrouteNetwork undoes routeNetwork.
func (h *Host) unrouteNetwork(ctx context.Context, op step.UnrouteNetwork) error {
	return opError("ending the routing for the guests of", op.Bridge, h.setPolicy(ctx, op.Bridge, nil))
}

// Defaults returns the default routes of all tables that rules of others look into, of
// IPv4 and of IPv6.
func (h *Host) Defaults(ctx context.Context) (both [2][]policy.Default, err error) {
	for i, family := range policyFamilies {
		rules, err := h.readRules(ctx, family)
		if err != nil {
			return both, err
		}
		if both[i], err = h.defaults(ctx, family, rules); err != nil {
			return both, err
		}
	}
	return both, nil
}

// applyPolicyLocked makes what there is what there should be, and returns how many rules
// had been lost that were there before.
func (h *Host) applyPolicyLocked(ctx context.Context) (lost int, err error) {
	var errs []error
	h.policies.stillPlainLocked() // what changes from now on is heard the next time
	plain := true
	for i, family := range policyFamilies {
		if h.withoutFamily(family) {
			continue
		}
		n, nothing, err := h.applyFamilyLocked(ctx, i, family)
		lost += n
		plain = plain && nothing
		errs = append(errs, err)
	}
	err = errors.Join(errs...)
	h.policies.plain = plain && err == nil
	return lost, err
}

// withoutFamily reports whether the kernel has no IPv6.
func (h *Host) withoutFamily(family int) bool {
	_, err := readSysctl("net/ipv6/conf/all/forwarding")
	return family == unix.AF_INET6 && err != nil
}

// applyFamilyLocked does it for one family. Routes come first, so that no rule leads to a
// table that does not refuse yet; what is new is there before what was goes.
func (h *Host) applyFamilyLocked(ctx context.Context, i, family int) (lost int, nothing bool, err error) {
	have, err := h.policyHostLocked(ctx, i, family)
	if err != nil {
		return 0, false, err
	}
	want := policy.Wanted(have)
	if more := h.noteTablesLocked(i, want); more { // with what an earlier process may have left there
		if have.Routes, err = h.ownRoutesLocked(ctx, i, family); err != nil {
			return 0, false, err
		}
		want = policy.Wanted(have)
	}
	d := policy.Differ(have, want)
	var errs []error
	for _, r := range d.AddRoutes {
		errs = append(errs, h.policyRoute(family, r, true))
	}
	for _, r := range d.AddRules {
		errs = append(errs, h.policyRule(family, r, true))
	}
	for _, r := range d.DropRules {
		errs = append(errs, h.policyRule(family, r, false))
	}
	for _, r := range d.DropRoutes {
		errs = append(errs, h.policyRoute(family, r, false))
	}
	if family == unix.AF_INET {
		for _, link := range want.Loose {
			errs = append(errs, h.loosen(ctx, link))
		}
	}
	return d.Lost, len(want.Rules)+len(d.DropRules) == 0, errors.Join(errs...)
}

// noteTablesLocked keeps in mind which tables of ours may have routes, and reports
// whether one is among them that was not looked into.
func (h *Host) noteTablesLocked(i int, want policy.Policy) (more bool) {
	t := h.policies.tables[i]
	for _, r := range want.Routes {
		if !t[r.Table] {
			t[r.Table], more = true, true
		}
	}
	return more
}

// policyHostLocked reads what a host has, in one family.
func (h *Host) policyHostLocked(ctx context.Context, i, family int) (policy.Host, error) {
	have := policy.Host{IPv6: family == unix.AF_INET6, Links: map[string]int{}, Networks: map[string]policy.Network{}}
	for bridge, n := range h.policies.networks {
		have.Networks[bridge] = n[i]
	}
	links, _, err := h.readLinks(ctx)
	if err != nil {
		return have, err
	}
	for name, l := range links {
		have.Links[name] = l.Index
	}
	if have.Rules, err = h.readRules(ctx, family); err != nil {
		return have, err
	}
	if have.Defaults, err = h.defaults(ctx, family, have.Rules); err != nil {
		return have, err
	}
	t := &h.policies.tables[i]
	if *t == nil {
		*t = map[uint32]bool{policy.TableGuests: true}
	}
	for _, r := range have.Rules {
		if r.Protocol == policy.Protocol && policy.Own(r.Table) {
			(*t)[r.Table] = true
		}
	}
	have.Routes, err = h.ownRoutesLocked(ctx, i, family)
	return have, err
}

// ownRoutesLocked reads our tables.
func (h *Host) ownRoutesLocked(ctx context.Context, i, family int) ([]policy.Route, error) {
	_, names, err := h.readLinks(ctx)
	if err != nil {
		return nil, err
	}
	var list []policy.Route
	for table := range h.policies.tables[i] {
		var found []policy.Route
		_, err := h.dumpTable(ctx, family, table, func() { found = nil }, func(m []byte) error {
			if r, ok := ownRoute(m, names); ok {
				found = append(found, r)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// defaults returns the default routes of the tables that others' rules look into.
func (h *Host) defaults(ctx context.Context, family int, rules []policy.Rule) ([]policy.Default, error) {
	_, names, err := h.readLinks(ctx)
	if err != nil {
		return nil, err
	}
	var list []policy.Default
	for _, table := range policy.Tables(rules) {
		var found []policy.Default
		_, err := h.dumpTable(ctx, family, table, func() { found = nil }, func(m []byte) error {
			more, err := defaultsOf(m, table, names)
			found = append(found, more...)
			return err
		})
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// loosen has the host take packets from a link although it would send what answers
// them by another: rp_filter 2 (loose) instead of 1 (strict). The greater of the link's
// and of what is for all counts. It is left so, as others may rely on it by then.
// Source: Documentation/networking/ip-sysctl.rst.
func (h *Host) loosen(ctx context.Context, link string) error {
	if checkLink(link) != nil {
		return nil // a name that is no part of a path
	}
	const strict, loose = 1, 2
	all, err := readSysctl("net/ipv4/conf/all/rp_filter")
	if err != nil {
		return fmt.Errorf("reading rp_filter: %w", err)
	}
	key := path.Join("net/ipv4/conf", link, "rp_filter")
	own, err := readSysctl(key)
	if err != nil || max(own, all) != strict {
		return nil // gone, or not strict
	}
	if err := setSysctl(step.SetSysctl{Key: key, Value: strconv.Itoa(loose), IfExists: true}); err != nil {
		return fmt.Errorf("taking packets from %q that answer what left by another link: %w", link, err)
	}
	h.log.InfoContext(ctx, "guests leave by a link whose rp_filter was strict: it is loose now", "link", link, "sysctl", key)
	return nil
}

// passing are errors of a route about a link that has just gone, or lost its address:
// the kernel tells of that, and it is looked again.
func passing(err error) bool {
	return slices.ContainsFunc([]syscall.Errno{syscall.ENODEV, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EINVAL}, func(e syscall.Errno) bool {
		return errors.Is(err, e)
	})
}
