package cli

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/xml"
)

// applied is what came of a network's extensions where virbrd's hook adds them.
type applied struct {
	hidden  bool   // only virbr on that host sees it
	missing bool   // nothing is in force
	failure string // "": all is in force
	report  *plan.Report
}

// applied reads the hook's report of a network that libvirt's daemon runs.
func (f *daemonFlags) applied(network string) (applied, error) {
	if f.source.Elsewhere != "" {
		return applied{hidden: true}, nil
	}
	if filepath.Base(network) != network {
		return applied{missing: true}, nil // such a network has no report
	}
	report, err := state.ReadReport(filepath.Join(f.reports, network+".json"))
	if err != nil {
		return applied{}, err
	}
	if report == nil {
		return applied{missing: true}, nil
	}
	return applied{failure: report.Error, report: report}, nil
}

// notInForce begins what is said of what the hook was not called for, or failed at.
const notInForce = "not in force"

// unseen is said of what only that host's files tell.
const unseen = "whether it is in force virbr sees on that host only"

func (a *applied) reason() string {
	if a.hidden {
		return unseen
	}
	return notInForce
}

// forward fills in what the hook says about a forward, in the place of what is
// asked for.
func (a *applied) forward(f *client.Forward) {
	a.fill(&f.State, func(r *plan.Report) []plan.Resolved { return r.Forwards }, func(text string) bool {
		other, err := xml.ParsePortForward([]byte(text))
		return err == nil && other.Equal(&f.PortForward)
	})
}

// public does the same for a public address.
func (a *applied) public(p *client.Public) {
	a.fill(&p.State, func(r *plan.Report) []plan.Resolved { return r.Publics }, func(text string) bool {
		other, err := xml.ParsePublicAddress([]byte(text))
		return err == nil && *other == p.PublicAddress
	})
}

// uplink does the same for an uplink.
func (a *applied) uplink(u *client.Uplink) {
	for i := range u.Ways {
		w := &u.Ways[i]
		w.Reason = a.reason()
		if a.failure != "" {
			w.Reason += ": " + a.failure
		}
		if a.report == nil {
			continue
		}
		for _, r := range a.report.Uplinks {
			if other, err := xml.ParseUplink([]byte(r.XML)); err == nil && *other == u.Uplink && r.IPv6 == w.IPv6 {
				w.Used, w.Since, w.Gateway, w.Reason = r.Used, r.Since, r.Gateway, r.Reason
			}
		}
	}
}

func (a *applied) fill(s *client.State, listed func(*plan.Report) []plan.Resolved, same func(string) bool) {
	*s = client.State{Phase: client.Waiting, Reason: a.reason()}
	if a.hidden || a.missing {
		return
	}
	if a.failure != "" {
		s.Reason += ": " + a.failure
	}
	list := listed(a.report)
	i := slices.IndexFunc(list, func(r plan.Resolved) bool { return same(r.XML) })
	if i < 0 {
		return
	}
	s.Addresses, s.Reason = list[i].Addresses, list[i].Reason
	if list[i].Active {
		s.Phase = client.Active
	}
}

// remark says what is the matter with a network's extensions; "": nothing.
func (a *applied) remark(network string) string {
	switch {
	case a.missing:
		return fmt.Sprintf("network %s: libvirt runs it, and the hook that adds extensions has not been called; \"virbrd hook --install\"\n"+
			"has libvirt call it, \"virbrd hook --apply %s\" calls it now.\n", network, network)
	case a.failure != "":
		return fmt.Sprintf("network %s: %s\nWhat was in force before that still is. \"virbrd hook --apply %s\" tries again.\n", network, flat(a.failure), network)
	}
	return ""
}
