package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// elsewhere is what this process has accepted in the tables of others, so that
// it can be said whether somebody took it away.
type elsewhere struct {
	zone sync.Mutex // held while firewalld's zone of our own is made

	mu     sync.Mutex // guards what follows
	wishes map[string]step.AcceptInForeignTables
	tables map[string]bool // those in which there are accepts of ours, or were
	view   *fwnetlink.View // the last one; nil: none
	told   map[string]bool // what was said to stay in the way, by bridge and table
}

// acceptInForeignTables has the tables of others let pass what a bridge needs.
func (h *Host) acceptInForeignTables(ctx context.Context, op step.AcceptInForeignTables) error {
	err := checkAccept(op)
	if err == nil {
		n := &h.elsewhere
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.wishes == nil {
			n.wishes, n.tables = map[string]step.AcceptInForeignTables{}, map[string]bool{}
		}
		n.wishes[op.Bridge] = op
		err = h.acceptLocked(ctx, []step.AcceptInForeignTables{op})
	}
	return opError("accepting in the firewalls of others for", op.Bridge, err)
}

// repairForeignTables puts back what all bridges lack: by one reading of the rules and one
// change of each table.
func (h *Host) repairForeignTables(ctx context.Context, _ step.RepairForeignTables) error {
	n := &h.elsewhere
	n.mu.Lock()
	defer n.mu.Unlock()
	ops := n.all()
	if len(ops) == 0 {
		return nil
	}
	return opError("accepting again in the firewalls of others for", ops[0].Bridge, h.acceptLocked(ctx, ops))
}

func (h *Host) acceptLocked(ctx context.Context, ops []step.AcceptInForeignTables) error {
	n := &h.elsewhere
	exits, err := h.exits(ctx)
	if err != nil {
		return err
	}
	wishes := wishesOf(ops, exits)
	var left []coexist.Obstacle
	decide := func(s *coexist.Survey) []coexist.Change {
		var changes []coexist.Change
		changes, left = s.Plan(wishes...)
		for _, c := range changes {
			n.tables[tableOf(c)] = true
		}
		return changes
	}
	if n.view, err = fwnetlink.Coexist(h.fw, n.view, decide); err != nil {
		return err
	}
	h.tellObstaclesLocked(ctx, "nftables", wishes, left)
	left = nil
	if err := h.changeLegacy(ctx, decide); err != nil {
		return err
	}
	h.tellObstaclesLocked(ctx, "iptables-legacy", wishes, left)
	return nil
}

func checkAccept(op step.AcceptInForeignTables) error {
	for _, name := range []string{op.Bridge, op.Dev} {
		if err := firewall.CheckDevice(name); err != nil && (name == op.Bridge || name != "") {
			return err
		}
	}
	for _, s := range op.Serve {
		if s.Proto != "tcp" && s.Proto != "udp" || s.Port == 0 {
			return fmt.Errorf("service %q on port %d", s.Proto, s.Port)
		}
	}
	return nil
}

// wishesOf returns what bridges need where guests leave by some links.
func wishesOf(ops []step.AcceptInForeignTables, exits []string) []coexist.Wish {
	var list []coexist.Wish
	for _, op := range ops {
		w := coexist.Wish{Bridge: op.Bridge, Forward: op.Forward, Enter: op.Enter, All: op.All}
		switch {
		case op.Leave && op.Dev != "":
			w.Exits = []string{op.Dev}
		case op.Leave:
			w.Exits = exits
		}
		for _, s := range op.Serve {
			w.Serve = append(w.Serve, coexist.Service{Proto: s.Proto, Port: s.Port})
		}
		list = append(list, w)
	}
	return list
}

// tellObstaclesLocked says once what stays in the way of bridges, one line for each
// table, and again when it comes back. of is where it was looked for.
func (h *Host) tellObstaclesLocked(ctx context.Context, of string, wishes []coexist.Wish, left []coexist.Obstacle) {
	n := &h.elsewhere
	if n.told == nil {
		n.told = map[string]bool{}
	}
	for _, w := range wishes {
		found := map[string][]coexist.Obstacle{}
		var order []string
		for _, o := range left {
			if o.Packet.In != w.Bridge && o.Packet.Out != w.Bridge || o.Packet.In == o.Packet.Out {
				continue // of another bridge, or only where the host filters what it bridges
			}
			key := of + " " + w.Bridge + " " + o.Table
			if found[key] == nil {
				order = append(order, key)
			}
			found[key] = append(found[key], o)
		}
		for _, key := range order {
			if !n.told[key] {
				h.warnOf(ctx, w.Bridge, found[key])
			}
		}
		for key := range n.told {
			if strings.HasPrefix(key, of+" "+w.Bridge+" ") && found[key] == nil {
				delete(n.told, key)
			}
		}
		for _, key := range order {
			n.told[key] = true
		}
	}
}

func (h *Host) warnOf(ctx context.Context, bridge string, list []coexist.Obstacle) {
	var chains []string
	for _, o := range list {
		if !slices.Contains(chains, o.Chain) {
			chains = append(chains, o.Chain)
		}
	}
	h.log.WarnContext(ctx, "another firewall blocks guests and is left as it is", "bridge", bridge, "owner", string(list[0].Owner),
		"table", list[0].Table, "chains", strings.Join(chains, ","), "mend", list[0].Mend)
}

// all returns what was asked for in an order that stays.
func (n *elsewhere) all() []step.AcceptInForeignTables {
	list := make([]step.AcceptInForeignTables, 0, len(n.wishes))
	for _, op := range n.wishes {
		list = append(list, op)
	}
	slices.SortFunc(list, func(a, b step.AcceptInForeignTables) int { return strings.Compare(a.Bridge, b.Bridge) })
	return list
}

// wanting returns the bridges whose accepts in the tables of others are missing or
// out of place, "" where that is not known, and whether they are in a table that
// had some before.
func (h *Host) wanting(ctx context.Context) (bridges []string, hurt bool, err error) {
	n := &h.elsewhere
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.wishes) == 0 && h.beside.empty() {
		return nil, false, nil
	}
	view, err := fwnetlink.ReadSurvey(h.fw, n.view)
	if err != nil {
		return nil, false, err
	}
	n.view = view
	if h.beside.hidden(view.Survey) {
		return []string{""}, true, nil
	}
	if len(view.Survey.Tables) == 0 {
		return nil, false, nil
	}
	exits, err := h.exits(ctx)
	if err != nil {
		return nil, false, err
	}
	wishes := wishesOf(n.all(), exits)
	changes, left := view.Survey.Plan(wishes...)
	h.tellObstaclesLocked(ctx, "nftables", wishes, left)
	for _, c := range changes {
		hurt = hurt || n.tables[tableOf(c)]
		for _, in := range c.Insert {
			bridges = append(bridges, cmp.Or(strings.TrimPrefix(in.Comment, coexist.Mark("")), in.Accept.In, in.Accept.Out))
		}
	}
	if len(changes) > 0 && len(bridges) == 0 {
		bridges = []string{""} // some are there that should not be
	}
	slices.Sort(bridges)
	return slices.Compact(bridges), hurt, nil
}

// tableOf names the table of a change.
func tableOf(c coexist.Change) string { return c.Family + " " + c.Table }

// unacceptInForeignTables takes back acceptInForeignTables, whoever did it.
func (h *Host) unacceptInForeignTables(ctx context.Context, op step.UnacceptInForeignTables) error {
	n := &h.elsewhere
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wishes, op.Bridge)
	for _, of := range []string{"nftables", "iptables-legacy"} {
		for key := range n.told {
			if strings.HasPrefix(key, of+" "+op.Bridge+" ") {
				delete(n.told, key)
			}
		}
	}
	decide := func(s *coexist.Survey) []coexist.Change { return s.Removal(op.Bridge) }
	view, err := fwnetlink.Coexist(h.fw, n.view, decide)
	n.view = view
	return opError("taking back what was accepted in the firewalls of others for", op.Bridge, errors.Join(err, h.changeLegacy(ctx, decide)))
}
