package coexist

import (
	"fmt"
	"slices"
)

// Obstacle is a chain that drops packets of guests or for them.
type Obstacle struct {
	Packet Packet
	Owner  Owner
	Table  string // "ip filter"
	Chain  string // where they are dropped
	Rule   string // what drops them, as text; "": the policy of the chain
	Handle uint64 // of the rule

	// Mendable says that a [Survey.Plan] accepts the packets. It does not where
	// somebody drops them on purpose, by the bridge's name or some other
	// condition, nor in tables that only their owner may change.
	Mendable bool

	Why  string // for people: who drops what, and where
	Mend string // the command that lets the packets pass
}

// Trace returns the obstacles of a packet in the tables of others, one for each
// base chain that drops it. The rules of a Plan count.
func (s *Survey) Trace(p Packet) []Obstacle {
	var list []Obstacle
	for i := range s.Tables {
		t := &s.Tables[i]
		for _, base := range t.bases(p) {
			if r := t.follow(base, p); r.drops {
				list = append(list, t.obstacle(base, p, r))
			}
		}
	}
	return list
}

// Obstacles returns what is in the way of a bridge's packets on a hook: of all
// that [Need] lists for guests that get addresses and names from the host.
func Obstacles(s *Survey, bridge string, hook Hook) []Obstacle {
	var list []Obstacle
	for _, p := range Need(Wish{Bridge: bridge, Forward: true, Serve: usual}) {
		if p.Hook == hook {
			list = append(list, s.Trace(p)...)
		}
	}
	return list
}

// usual is what dnsmasq serves on most networks.
var usual = []Service{{"udp", portDHCP}, {"udp", portDNS}, {"tcp", portDNS}, {"udp", portDHCP6}}

// bases returns the base chains that see a packet, in the order in which the
// kernel calls them.
func (t *Table) bases(p Packet) []int {
	var list []int
	if !t.sees(p) {
		return nil
	}
	for i := range t.Chains {
		if t.Chains[i].Hook == p.Hook {
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(a, b int) int { return int(int64(t.Chains[a].Priority) - int64(t.Chains[b].Priority)) })
	return list
}

func (t *Table) obstacle(base int, p Packet, r result) Obstacle {
	last := r.path[len(r.path)-1]
	chain := &t.Chains[last.Chain]
	o := Obstacle{Packet: p, Table: t.String(), Chain: chain.Name, Owner: t.owner(last.Chain)}
	if o.Owner == Iptables || o.Owner == Nftables {
		o.Owner = t.owner(base)
	}
	what := "its policy is drop"
	if last.Rule < len(chain.Rules) {
		rule := chain.Rules[last.Rule]
		o.Rule, o.Handle = rule.String(), rule.Handle
		what = fmt.Sprintf("rule `%s` (handle %d)", o.Rule, o.Handle)
		if t.Legacy {
			what = fmt.Sprintf("rule `%s` (number %d)", o.Rule, o.Handle)
		}
	}
	at, ok := t.place(base, p, r)
	o.Mendable = ok
	o.Why = fmt.Sprintf("%s: chain %s of table %s drops %s: %s", o.Owner, chain.Name, o.Table, p, what)
	o.Mend = t.mend(o, at)
	return o
}
