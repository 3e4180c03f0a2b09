package sequence

import "slices"

// libvirt's error codes that the model foresees.
const (
	done       = 0
	noNetwork  = 43
	invalid    = 55
	portExists = 106
	noPort     = 107
)

// network is what the model knows of one.
type network struct {
	Config    *definition // nil: it is not persistent
	Live      *definition // nil: it does not run
	Autostart bool
	Ports     []port
	Leases    [keys]bool
	Broken    bool // somebody else took its bridge
	Floored   bool // a port had a floor in this run: as with libvirt's daemon the others' share is counted from the peak then
}

// model is what a host must look like.
type model struct {
	Networks [len(networks)]network
}

func (m *model) clone() *model {
	c := *m
	for i := range c.Networks {
		n := &c.Networks[i]
		n.Config, n.Live, n.Ports = n.Config.clone(), n.Live.clone(), slices.Clone(n.Ports)
	}
	return &c
}

func (n *network) known() bool { return n.Config != nil || n.Live != nil }

// stop makes the network one that does not run. Without a definition it is gone,
// its leases too.
func (n *network) stop() {
	n.Live, n.Ports, n.Broken, n.Floored = nil, nil, false, false
	if n.Config == nil {
		*n = network{}
	}
}

// affected says which definitions a change is for.
func (n *network) affected(a affect) (list []**definition, ok bool) {
	live, config := a&affectLive != 0, a&affectConfig != 0
	if !live && !config {
		live, config = n.Live != nil, n.Live == nil
	}
	if live && n.Live == nil || config && n.Config == nil {
		return nil, false
	}
	if live {
		list = append(list, &n.Live)
	}
	if config {
		list = append(list, &n.Config)
	}
	return list, true
}

// change makes a change in the definitions that it is for: in all of them, or in
// none.
func (n *network) change(a affect, change func(*definition) bool) int {
	list, ok := n.affected(a)
	if !ok {
		return invalid
	}
	made := make([]*definition, len(list))
	for i := range list {
		made[i] = (*list[i]).clone()
		if !change(made[i]) {
			return invalid
		}
	}
	for i := range list {
		*list[i] = made[i]
	}
	return done
}

// apply does an op in the model and returns the code that the daemon must answer
// with. It is false if the op is about something that does not exist, so that
// there is nothing to do and nothing to want.
func (m *model) apply(o op) (code int, sense bool) {
	n := &m.Networks[o.Net]
	if o.Kind.ofDaemon() {
		m.daemon(o)
		return done, true
	}
	if o.Kind.ofOthers() {
		return done, n.meddle(o)
	}
	if n.Broken && o.Kind != destroy {
		return done, false // there is nothing that it must do
	}
	if !n.known() && o.Kind != defineIt && o.Kind != create && o.Kind != apply && o.Kind != tried {
		return noNetwork, true
	}
	return n.ask(o), true
}

// ask does what a client asks for.
func (n *network) ask(o op) int {
	switch o.Kind {
	case defineIt:
		n.Config = define(o.Value)
	case create:
		if n.Live != nil {
			return invalid
		}
		n.Live = define(o.Value)
	case start:
		if n.Live != nil {
			return invalid
		}
		n.Live = n.Config.clone()
	case destroy:
		if n.Live == nil {
			return invalid
		}
		n.stop()
	case undefine:
		if n.Config == nil {
			return invalid
		}
		n.Config, n.Autostart = nil, false
		if n.Live == nil {
			*n = network{}
		}
	case autostart:
		if n.Config == nil {
			return invalid
		}
		n.Autostart = o.Value > 0
	case update:
		return n.change(o.Affect, func(d *definition) bool { return d.edit(o.Section, o.Command, item{o.Key, o.Value}) })
	case title:
		return n.change(o.Affect, func(d *definition) bool { d.Title = o.Value; return true })
	case portCreate, portDelete:
		return n.plug(o)
	case apply, tried:
		switch {
		case n.Config == nil && n.Live != nil:
			return invalid // what is transient is to be defined first
		case o.Kind == tried:
		case n.Live != nil:
			n.Live = define(o.Value)
			fallthrough
		default:
			n.Config = define(o.Value)
		}
	case flush, dropTable, dropRule, dropLink, killDnsmasq, lease, restart, crash, reload, kinds:
		panic("sequence: nothing that clients ask for")
	}
	return done
}

func (n *network) plug(o op) int {
	has := slices.ContainsFunc(n.Ports, func(p port) bool { return p.Key == o.Key })
	switch {
	case o.Kind == portDelete && !has:
		return noPort
	case n.Live == nil:
		return invalid
	case o.Kind == portDelete:
		n.Ports = unplug(n.Ports, o.Key)
	case has:
		return portExists
	default:
		n.Ports = plug(n.Ports, o.Net, o.Key)
		n.Floored = n.Floored || n.Ports[len(n.Ports)-1].Class > 0
	}
	return done
}

// meddle does what somebody else does, if there is something to do it to.
func (n *network) meddle(o op) bool {
	up := n.Live != nil && !n.Broken
	switch o.Kind {
	case flush, dropTable, dropRule:
		return true // and gone again, before anybody looks
	case dropLink:
		n.Broken = n.Broken || up
	case lease:
		// dnsmasq reads its leases when it starts: none ends behind its back.
		begins := o.Value > 0
		if begins != up || begins == n.Leases[o.Key] {
			return false
		}
		n.Leases[o.Key] = begins
		return true
	default:
	}
	return up
}

// daemon does what happens to daemons, and while there is none.
func (m *model) daemon(o op) {
	if o.Kind != reload && meanwhile[o.Value] == dropLink {
		m.Networks[o.Net].meddle(op{Kind: dropLink, Net: o.Net})
	}
	for i := range m.Networks {
		n := &m.Networks[i]
		switch {
		case o.Kind == reload:
			if n.Autostart && n.Live == nil {
				n.Live = n.Config.clone()
			}
		case n.Broken: // the next daemon sees that
			n.stop()
		}
	}
}

// outcomes returns the models in which a crash may leave the networks while a
// call is being done: each definition is the one before or the one after. A port with a
// floor that was not made in the end may have changed the others' share already.
func outcomes(before, after *model, net int) []*model {
	var list []*model
	b, a := &before.Networks[net], &after.Networks[net]
	for _, config := range []*network{a, b} {
		for _, live := range []*network{a, b} {
			for _, floored := range []bool{live.Floored, a.Floored} {
				m := after.clone()
				n := &m.Networks[net]
				n.Config, n.Autostart = config.Config.clone(), config.Autostart
				n.Live, n.Ports, n.Broken = live.Live.clone(), slices.Clone(live.Ports), false
				n.Floored = floored
				n.Leases = a.Leases
				if n.known() {
					n.Leases = b.Leases
				}
				list = append(list, m)
				if live.Floored == a.Floored {
					break
				}
			}
		}
	}
	return list
}

// affect says which definitions a change is for: libvirt's bits.
type affect int

const (
	affectLive affect = 1 << iota
	affectConfig
)
