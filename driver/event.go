package driver

import (
	"slices"
	"time"

	"github.com/virbr/virbr/driver/plan"
)

func (d *Driver) emit(e Event) {
	if d.cfg.Events != nil {
		d.cfg.Events(e)
	}
}

func (d *Driver) tell(kind EventKind, n *network) { d.emit(Event{Kind: kind, Network: n.ref}) }

// running calls do for the running networks with some bridges; "" is any.
func (d *Driver) running(bridges map[string]string, do func(n *network, by string)) {
	everybody, all := bridges[""]
	for _, n := range d.networks() {
		v := n.view.Load()
		if v == nil || !v.active() || !v.live.OwnsBridge() {
			continue
		}
		if by, named := bridges[v.live.Bridge.Name]; named {
			do(n, by)
		} else if all {
			do(n, everybody)
		}
	}
}

// somebody names a program, as far as it is known.
func somebody(by string) string {
	if by == "" {
		return "a program"
	}
	return by
}

// tellHealed says that rules are restored.
func (d *Driver) tellHealed(bridges []string, by string, took time.Duration) {
	if len(bridges) == 0 {
		return
	}
	d.log.Warn("firewall rules restored", "removed_by", somebody(by), "networks", len(bridges), "took", took.String())
	healed := make(map[string]string, len(bridges))
	for _, bridge := range bridges {
		healed[bridge] = by
	}
	d.running(healed, func(n *network, by string) {
		n.counters.healings.Add(1)
		d.emit(Event{Kind: EventHealed, Network: n.ref, By: by, Networks: len(bridges), Took: took})
	})
}

// tellAccepted says that what others filter lets guests' traffic pass again. shut
// has the bridges that it did not let pass, and who is to blame.
func (d *Driver) tellAccepted(shut map[string]string, took time.Duration) {
	d.running(shut, func(n *network, by string) {
		d.log.Warn("the firewall of others stopped guests; their traffic passes again", "network", n.ref.Name, "by", somebody(by), "took", took.String())
		d.emit(Event{Kind: EventAccepted, Network: n.ref, By: by, Networks: len(shut), Took: took})
	})
}

// tellGuests says which of the guests that something leads to are elsewhere now.
func (d *Driver) tellGuests(n *network, before, after *plan.Resolution) {
	if d.cfg.Events == nil || before == nil || after == nil || after.Ext == nil {
		return
	}
	leading := map[string]int{}
	var order []string
	lead := func(guest string) {
		if leading[guest]++; leading[guest] == 1 {
			order = append(order, guest)
		}
	}
	for i := range after.Ext.Forwards {
		if f := &after.Ext.Forwards[i]; !f.Ignore {
			lead(f.Guest)
		}
	}
	for i := range after.Ext.Publics {
		lead(after.Ext.Publics[i].Guest)
	}
	for _, guest := range order {
		was, now := before.Where.Guests[guest], after.Where.Guests[guest]
		if !slices.Equal(was, now) {
			d.emit(Event{Kind: EventGuest, Network: n.ref, Guest: guest, Leading: leading[guest], Was: slices.Clone(was), Now: slices.Clone(now)})
		}
	}
}

// tellClaims tells who asks for the name of a guest that something leads to, and did
// not before.
func (d *Driver) tellClaims(n *network, before, after *plan.Resolution) {
	for guest, by := range after.Asking {
		if was, told := before.Asking[guest]; told && was == by {
			continue
		}
		d.log.Warn("a guest asks for another one's name, and gets nothing by it", "network", n.ref.Name, "uuid", n.ref.UUID.String(), "name", guest, "by", by.String())
		d.emit(Event{Kind: EventNameClaimed, Network: n.ref, Guest: guest, By: by.String()})
	}
}
