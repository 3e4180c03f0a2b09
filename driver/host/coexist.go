package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// elsewhere is what this process has accepted in the tables of others, so that
// it can be said whether somebody took it away.
type elsewhere struct {
	zone sync.Mutex // held while firewalld's zone of our own is made

	mu     sync.Mutex // guards what follows
	wishes map[string]coexist.Wish
	tables map[string]bool // those in which there are accepts of ours, or were
	view   *fwnetlink.View // the last one; nil: none
}

// acceptElsewhere has the tables of others let pass what a bridge needs. If that
// was asked for before it is a repair, and what other bridges lack is put back
// with it: one reading of the rules and one change of each table for all of them.
func (h *Host) acceptElsewhere(ctx context.Context, op plan.AcceptElsewhere) error {
	const doing = "accepting in the firewalls of others for"
	if err := firewall.CheckDevice(op.Bridge); err != nil {
		return opError(doing, op.Bridge, err)
	}
	wish := coexist.Wish{Bridge: op.Bridge, Forward: op.Forward}
	for _, s := range op.Serve {
		if s.Proto != "tcp" && s.Proto != "udp" || s.Port == 0 {
			return opError(doing, op.Bridge, fmt.Errorf("service %q on port %d", s.Proto, s.Port))
		}
		wish.Serve = append(wish.Serve, coexist.Service{Proto: s.Proto, Port: s.Port})
	}
	n := &h.elsewhere
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wishes == nil {
		n.wishes, n.tables = map[string]coexist.Wish{}, map[string]bool{}
	}
	wishes := []coexist.Wish{wish}
	if known, ok := n.wishes[op.Bridge]; ok && reflect.DeepEqual(known, wish) {
		wishes = n.all() // a repair
	}
	n.wishes[op.Bridge] = wish
	var left []coexist.Obstacle
	decide := func(s *coexist.Survey) []coexist.Change {
		var changes []coexist.Change
		changes, left = s.Plan(wishes...)
		for _, c := range changes {
			n.tables[tableOf(c)] = true
		}
		return changes
	}
	var err error
	if n.view, err = fwnetlink.Coexist(h.fw, n.view, decide); err != nil {
		return opError(doing, op.Bridge, err)
	}
	h.tellObstacles(ctx, op.Bridge, left)
	if err := h.changeLegacy(ctx, decide); err != nil {
		return opError(doing, op.Bridge, err)
	}
	h.tellObstacles(ctx, op.Bridge, left)
	return nil
}

// tellObstacles says what stays in the way of a bridge.
func (h *Host) tellObstacles(ctx context.Context, bridge string, left []coexist.Obstacle) {
	for _, o := range left {
		if o.Packet.In == bridge || o.Packet.Out == bridge {
			h.log.DebugContext(ctx, "somebody's firewall is in the way of guests", "bridge", bridge, "what", o.Why)
		}
	}
}

// all returns the wishes in an order that stays.
func (n *elsewhere) all() []coexist.Wish {
	list := make([]coexist.Wish, 0, len(n.wishes))
	for _, w := range n.wishes {
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b coexist.Wish) int { return strings.Compare(a.Bridge, b.Bridge) })
	return list
}

// unacceptElsewhere takes back acceptElsewhere, whoever did it.
func (h *Host) unacceptElsewhere(ctx context.Context, op plan.UnacceptElsewhere) error {
	n := &h.elsewhere
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wishes, op.Bridge)
	decide := func(s *coexist.Survey) []coexist.Change { return s.Removal(op.Bridge) }
	view, err := fwnetlink.Coexist(h.fw, n.view, decide)
	n.view = view
	return opError("taking back what was accepted in the firewalls of others for", op.Bridge, errors.Join(err, h.changeLegacy(ctx, decide)))
}
