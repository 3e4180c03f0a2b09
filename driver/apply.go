package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Proposal is what applying a definition does to a network of this host.
type Proposal struct {
	Network Ref
	New     bool // it is not defined yet
	Running bool
	Defines bool // its persistent definition changes
	plan.Comparison
	Drift []string // what the host lacks of what runs; it is put back in any case
}

// Plan tells what applying definitions would do. It changes nothing, and takes no turn.
func (d *Driver) Plan(ctx context.Context, docs []string) ([]Proposal, error) {
	list, err := d.targets(docs)
	if err != nil {
		return nil, err
	}
	made := make([]Proposal, len(list))
	for i, def := range list {
		d.mu.RLock()
		n := d.byUUID[def.UUID]
		d.mu.RUnlock()
		p := &made[i]
		p.Network = Ref{Name: def.Name, UUID: def.UUID}
		var v *view
		if n != nil {
			v = n.view.Load()
		}
		if v == nil {
			p.New, p.Defines = true, true
			continue
		}
		if _, err := d.propose(ctx, n, v, def, p); err != nil {
			return nil, fmt.Errorf("planning for network %q: %w", def.Name, err)
		}
		if v.active() && v.live.OwnsBridge() && d.cfg.Watcher != nil {
			p.Drift = d.drift(ctx, n, v)
		}
	}
	return made, nil
}

// drift tells what the host lacks of a running network.
func (d *Driver) drift(ctx context.Context, n *network, v *view) (list []string) {
	missing, err := d.missingOf(ctx, v)
	d.warn("looking for what was taken away", n.ref, err)
	var rules []step.Op
	for _, s := range v.steps {
		if op, ok := s.Do.(step.AddRules); ok {
			rules = append(rules, op)
		}
	}
	gone, err := d.cfg.Watcher.Missing(ctx, rules)
	d.warn("looking for firewall rules that were taken away", n.ref, err)
	for _, op := range append(missing, gone...) {
		list = append(list, op.String())
	}
	if d.dnsmasqDied(n, v) {
		list = append(list, "dnsmasq does not run")
	}
	return list
}

// targets reads definitions, and completes them with what the networks that there are
// have and the documents leave open: UUID, bridge and MAC address.
func (d *Driver) targets(docs []string) ([]*xml.Network, error) {
	var list []*xml.Network
	for _, doc := range docs {
		def, err := d.parse(doc, false)
		if err != nil {
			return nil, err
		}
		d.mu.RLock()
		n := d.byName[def.Name]
		d.mu.RUnlock()
		if n != nil {
			d.complement(def, n)
		}
		if !def.HasUUID() {
			if def.UUID, err = d.newUUID(); err != nil {
				return nil, err
			}
		}
		if slices.ContainsFunc(list, func(o *xml.Network) bool { return o.Name == def.Name || o.UUID == def.UUID }) {
			return nil, &Error{Kind: KindInvalidArg, Msg: fmt.Sprintf("network '%s' is given twice", def.Name)}
		}
		if err := d.admissible(def); err != nil {
			return nil, err
		}
		list = append(list, def)
	}
	return list, nil
}

func (d *Driver) complement(def *xml.Network, n *network) {
	if !def.HasUUID() {
		def.UUID = n.ref.UUID
	}
	v := n.view.Load()
	if v == nil || !v.def().OwnsBridge() || !def.OwnsBridge() {
		return
	}
	if _, generate := xml.BridgeTemplate(def.Bridge.Name); generate {
		def.Bridge.Name = v.def().Bridge.Name
	}
	if def.MAC.IsZero() {
		def.MAC = v.def().MAC
	}
}

// propose fills in what becomes of a network that there is, and returns what it will be.
func (d *Driver) propose(ctx context.Context, n *network, v *view, def *xml.Network, p *Proposal) (*view, error) {
	next := *v
	d.setConfig(n, &next, def)
	p.Running, p.Defines = v.active(), v.config == nil || v.config.Format(xml.Inactive) != def.Format(xml.Inactive)
	if !p.Defines {
		next.config, next.made = v.config, v.made
	}
	if !v.active() {
		return &next, nil
	}
	if err := usable(v.live); err != nil {
		return nil, err
	}
	if v.config == nil {
		return nil, &Error{Kind: KindOperationInvalid, Msg: fmt.Sprintf("network '%s' is transient; define it first", n.ref.Name)}
	}
	facts, err := d.sys.Facts(ctx)
	if err != nil {
		return nil, err
	}
	if next.live, err = d.makeLive(ctx, n, next.made, facts); err != nil {
		return nil, err
	}
	fresh := count(next.live, v.ports)
	next.live = plan.Succeed(v.live, fresh, time.Now())
	made, err := d.compare(ctx, n, v, &next)
	if err == nil && made.Way == plan.WayRestart && next.live != fresh { // a start has no former subnets
		next.live = fresh
		made, err = d.compare(ctx, n, v, &next)
	}
	if err != nil {
		return nil, err
	}
	p.Comparison = *made
	if made.Way == plan.WayNone {
		next.live = v.live
	}
	return &next, nil
}

// compare tells how a running network becomes another that runs.
func (d *Driver) compare(ctx context.Context, n *network, v, next *view) (*plan.Comparison, error) {
	if !v.live.OwnsBridge() && len(v.ports) > 0 && v.live.Format(0) != next.live.Format(0) {
		return nil, &Error{Kind: KindOperationInvalid, Msg: fmt.Sprintf(
			"network '%s' has given devices of the host to %d guests, which keep them until they stop", n.ref.Name, len(v.ports))}
	}
	facts, err := d.sys.Facts(ctx)
	if err != nil {
		return nil, err
	}
	facts.Routes = slices.DeleteFunc(slices.Clone(facts.Routes), func(r step.Route) bool { return r.Link == v.live.Bridge.Name })
	after, err := plan.Compile(next.live, d.resolutionOf(ctx, n, v, next), facts, plan.Dirs(d.dirs.Served()))
	if err != nil {
		return nil, err
	}
	before, err := plan.Compile(v.live, v.resolution, facts, plan.Dirs(d.dirs.Served()))
	if err != nil { // of a definition that is no longer accepted
		before = &plan.Plan{}
	}
	return plan.Compare(v.live, next.live, before.Steps, after.Steps, v.status.FloorSum > 0), nil
}

// ApplyRequest is one call of Apply.
type ApplyRequest struct {
	Documents []string
	Cut       bool          // guests may be cut off
	Confirm   time.Duration // how long Confirm may take; it is undone then. 0: it needs none
}

// Apply makes networks what definitions say: the persistent definition of each, and
// the running one where it runs. All of them are changed, or none; a daemon that dies meanwhile
// has its successor take back what was done. What cuts guests off is refused unless
// that is asked for, or must be confirmed.
func (d *Driver) Apply(ctx context.Context, req ApplyRequest) ([]Proposal, error) {
	if c := req.Confirm; c != 0 && (c < MinConfirm || c > MaxConfirm) {
		return nil, &Error{Kind: KindInvalidArg, Msg: fmt.Sprintf("a change can be confirmed within %v to %v, not %v", MinConfirm, MaxConfirm, c)}
	}
	list, err := d.targets(req.Documents)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b *xml.Network) int { return bytes.Compare(a.UUID[:], b.UUID[:]) }) // two calls never wait for each other
	var all []*application
	defer func() {
		for _, a := range all {
			d.settle(a.n)
		}
	}()
	for _, def := range list {
		n, err := d.claim(ctx, def, "applying a definition to")
		if err != nil {
			return nil, err
		}
		all = append(all, &application{n: n, def: def, from: n.view.Load()})
	}
	return d.applyTo(ctx, all, req)
}

// applyTo is Apply for networks whose turns are held.
func (d *Driver) applyTo(ctx context.Context, all []*application, req ApplyRequest) ([]Proposal, error) {
	for _, a := range all {
		defer d.unclaimPrefix(a.n)
		if err := d.prepareTo(ctx, a); err != nil {
			return nil, err
		}
	}
	if err := refuseCut(all, req.Cut || req.Confirm > 0); err != nil {
		return nil, err
	}
	return d.applyAll(context.WithoutCancel(ctx), all, req.Confirm)
}

// appliesLive reports whether defining a network changes it while it runs.
func (d *Driver) appliesLive(v *view, def *xml.Network) bool {
	if v == nil || !v.active() || !v.persistent() {
		return false
	}
	ext, err := def.Extensions()
	if err != nil || ext.Apply == xml.ApplyUnset {
		return err == nil && d.cfg.Live
	}
	return ext.Apply == xml.ApplyLive
}

// application is one network's part of an Apply. Its turn is held.
type application struct {
	n        *network
	def      *xml.Network
	from, to *view // from is nil of a network that is not defined yet
	Proposal
}

// changed reports whether anything becomes different.
func (a *application) changed() bool { return a.New || a.Defines || len(a.Changes) > 0 }

// prepareTo finds out what a network is to be, and that it can be that.
func (d *Driver) prepareTo(ctx context.Context, a *application) error {
	if err := d.complete(ctx, a.n, a.def); err != nil {
		return err
	}
	a.Proposal.Network = a.n.ref
	if a.from == nil {
		a.New, a.Defines, a.to = true, true, &view{}
		d.setConfig(a.n, a.to, a.def)
		return nil
	}
	var err error
	if a.to, err = d.propose(ctx, a.n, a.from, a.def, &a.Proposal); err != nil {
		return err
	}
	if !a.Running {
		return nil
	}
	if err := d.checkClash(a.n, a.to.live, nil); err != nil {
		return err
	}
	if err := d.claimPrefix(a.n, a.to.live, (*view).running); err != nil {
		return err
	}
	if was, is := a.from.live.Advertise, a.to.live.Advertise; a.Way == plan.WayLive && was != nil && is != nil && was.Prefix != is.Prefix {
		a.to.live, err = d.succeed(a.n, was, a.to.live)
	}
	return err
}

// refuseCut refuses what cuts guests off.
func refuseCut(all []*application, cut bool) error {
	var texts []string
	for _, a := range all {
		for _, ch := range a.Changes {
			if ch.Effect == plan.EffectCut {
				texts = append(texts, a.Network.Name+": "+ch.Text)
			}
		}
	}
	if cut || len(texts) == 0 {
		return nil
	}
	return &Error{Kind: KindOperationInvalid, Msg: "guests would be cut off (virbr apply --yes applies it all the same, --confirm 60s until it is confirmed): " + strings.Join(texts, "; ")}
}

// applyAll changes all networks, or none.
func (d *Driver) applyAll(ctx context.Context, all []*application, confirm time.Duration) ([]Proposal, error) {
	proposals := make([]Proposal, len(all))
	for i, a := range all {
		proposals[i] = a.Proposal
	}
	// A copy: the caller settles all of them, whether they change or not.
	all = slices.DeleteFunc(slices.Clone(all), func(a *application) bool { return !a.changed() })
	if len(all) == 0 {
		return proposals, nil
	}
	j, under := newJournal(all)
	journals := d.dirs.Applying()
	if err := journals.Write(under, j); err != nil {
		return nil, err
	}
	var done []*application
	var err error
	for _, a := range all {
		if err = d.transform(ctx, a.n, a.from, a.to); err != nil {
			err = fmt.Errorf("applying the definition of network %q: %w", a.n.ref.Name, err)
			break
		}
		done = append(done, a)
	}
	switch {
	case err != nil:
	case confirm > 0:
		j.Until = time.Now().Add(confirm)
		err = journals.Write(under, j)
	default:
		err = journals.Remove(under) // or it would all be undone after a restart
	}
	if err != nil {
		errs := []error{err}
		for _, a := range slices.Backward(done) {
			errs = append(errs, d.transformBack(ctx, a))
		}
		return nil, errors.Join(append(errs, journals.Remove(under))...)
	}
	for _, a := range all {
		d.applied(ctx, a)
	}
	if confirm > 0 {
		d.pending.arm(under, j, connectionOf(ctx))
	}
	return proposals, nil
}

// applied tells of a network that has been changed for good.
func (d *Driver) applied(ctx context.Context, a *application) {
	before := a.from
	if before == nil {
		before = &view{}
	}
	d.recordViews(ctx, a.n, before, a.n.view.Load())
	d.log.Info("definition applied", "network", a.n.ref.Name, "uuid", a.n.ref.UUID.String())
	if a.Defines {
		d.tell(EventDefined, a.n)
	}
	if a.Running && a.Way == plan.WayLive {
		notify(d.retired) // a subnet may be a former one now
	}
	if a.Way == plan.WayRestart {
		d.tell(EventStopped, a.n)
		d.tell(EventStarted, a.n)
	}
}
