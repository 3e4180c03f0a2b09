package driver

import (
	"context"
	"fmt"
	"strings"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// UplinkState is one uplink of a network, as it is defined, and what it comes to at the
// moment, in the families that it is for.
type UplinkState struct {
	Uplink xml.Uplink
	Phase  Phase // PhaseActive: guests leave by it, in one family at least
	Ways   []plan.UplinkState
}

// Uplinks returns the uplinks of a network in their order: those of the running
// definition, or else of the persistent one.
func (d *Driver) Uplinks(_ context.Context, net Ref) ([]UplinkState, error) {
	_, v, err := d.find(net)
	if err != nil {
		return nil, err
	}
	ext, err := v.extensions()
	if err != nil {
		return nil, err
	}
	list := make([]UplinkState, len(ext.Uplinks))
	for i := range ext.Uplinks {
		s := &list[i]
		s.Uplink = ext.Uplinks[i]
		if !v.resolved() {
			continue
		}
		s.Phase, s.Ways = PhaseWaiting, v.resolution.UplinkStates(i)
		for _, w := range s.Ways {
			if w.Used {
				s.Phase = PhaseActive
			}
		}
	}
	return list, nil
}

// tellUplinks says by which links guests leave from now on.
func (d *Driver) tellUplinks(n *network, before, after *plan.Resolution) {
	if before == nil || after == nil {
		return
	}
	texts := plan.EgressChanges(before, after)
	if len(texts) == 0 {
		return
	}
	reason := strings.Join(texts, "; ")
	d.log.Warn("guests leave by other links", "network", n.ref.Name, "uuid", n.ref.UUID.String(), "uplinks", reason)
	d.emit(Event{Kind: EventUplink, Network: n.ref, Reason: fmt.Sprintf("guests leave by other links: %s", reason)})
}
