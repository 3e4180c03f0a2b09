package coexist

import (
	"net/netip"
	"slices"
	"strings"
)

// libvirt's own daemon rejects what its guests' networks do not allow, and an
// accept of ours elsewhere cannot undo that. On a network to which we add, what our
// own table translated has been decided about there, so it passes at the head of
// libvirt's chains. That is what these chains are for: libvirt puts its rules there
// and nowhere else, and asks its users to leave others' chains alone.

// Kind is what an [Insertion] accepts beyond what its packet says.
type Kind uint8

// The kinds of Insertion.
const (
	Any        Kind = iota
	Translated      // of connections that our own rules vouch for, by a mark
	Replies         // the same, but only what is sent back
	Stray           // of no connection: excepted from tracking, or invalid
)

// Beside is what of a bridge of libvirt's passes its rules.
type Beside struct {
	Bridge string
	Own    []netip.Prefix // subnets that only our table filters
	Stray  []netip.Addr   // guests that are reached without connection tracking
}

// besideMark is the comment of the rules in libvirt's chains. It is not the one of
// a [Plan]; no bridge's name has a blank.
func besideMark(bridge string) string { return Mark(bridge) + " vouched beside libvirt" }

// earlierMark is the comment of the rules of earlier versions, which accepted whatever
// anybody had translated.
func earlierMark(bridge string) string { return Mark(bridge) + " beside libvirt" }

// theirChain says which way packets go that a chain of libvirt's rejects.
type theirChain struct {
	table string
	enter bool // to guests; else from them
}

// theirChains are those of libvirt's iptables backend and of its nftables backend.
var theirChains = map[string]theirChain{
	"LIBVIRT_FWI":  {"filter", true},
	"LIBVIRT_FWO":  {"filter", false},
	"guest_input":  {"libvirt_network", true},
	"guest_output": {"libvirt_network", false},
}

// Beside returns the changes after which libvirt's rules let pass what each of some
// bridges is to have, none where they do.
func (s *Survey) Beside(list ...Beside) []Change {
	return s.beside(func(c *Change, chain *Chain, way theirChain) {
		for _, b := range list {
			b.change(c, chain, way)
		}
	})
}

// BesideRemoval returns the changes that remove all that is there for a bridge.
func (s *Survey) BesideRemoval(bridge string) []Change {
	return s.beside(func(c *Change, chain *Chain, _ theirChain) { drop(c, chain, bridge) })
}

func (s *Survey) beside(each func(*Change, *Chain, theirChain)) []Change {
	var changes []Change
	for i := range s.Tables {
		t := &s.Tables[i]
		if t.Owned || t.Legacy {
			continue
		}
		c := t.change()
		for j := range t.Chains {
			if way, ok := theirChains[t.Chains[j].Name]; ok && way.table == t.Name {
				each(&c, &t.Chains[j], way)
			}
		}
		if len(c.Delete)+len(c.Insert) > 0 {
			changes = append(changes, c)
		}
	}
	return changes
}

func drop(c *Change, chain *Chain, bridge string) {
	for _, r := range chain.Rules {
		if r.Comment == besideMark(bridge) || r.Comment == earlierMark(bridge) {
			c.Delete = append(c.Delete, Reference{Chain: chain.Name, Handle: r.Handle})
		}
	}
}

// change brings the rules of a bridge to the head of a chain, unless they are there:
// libvirt puts new ones of its own before them. How many there are says which.
func (b Beside) change(c *Change, chain *Chain, way theirChain) {
	wanted := b.rules(chain.Name, way, c.Family)
	have, hidden := 0, false
	for _, r := range chain.Rules {
		switch {
		case r.Comment == earlierMark(b.Bridge):
			hidden = true
		case r.Comment == besideMark(b.Bridge):
			have++
		case !strings.HasPrefix(r.Comment, markPrefix) && have < len(wanted):
			hidden = true
		}
	}
	if have == len(wanted) && !hidden && b.same(chain, wanted) {
		return
	}
	drop(c, chain, b.Bridge)
	for i := range wanted {
		wanted[i].Before = chain.first(b.Bridge)
		c.Insert = append(c.Insert, wanted[i])
	}
}

// same reports whether the rules that are there are about the same addresses.
func (b Beside) same(chain *Chain, wanted []Insertion) bool {
	i := 0
	for _, r := range chain.Rules {
		if r.Comment != besideMark(b.Bridge) {
			continue
		}
		has := slices.ContainsFunc(r.Match, func(m Match) bool { return m.Field == Source || m.Field == Dest })
		about := func(m Match) bool {
			return (m.Field == Source || m.Field == Dest) && len(m.Values) == 1 && m.Values[0].Prefix == wanted[i].Address
		}
		if has != wanted[i].Address.IsValid() || has && !slices.ContainsFunc(r.Match, about) {
			return false
		}
		i++
	}
	return true
}

// first returns the handle of the first rule that is not a bridge's; 0: there is none.
func (c *Chain) first(bridge string) uint64 {
	for _, r := range c.Rules {
		if r.Comment != besideMark(bridge) && r.Comment != earlierMark(bridge) {
			return r.Handle
		}
	}
	return 0
}

// rules returns what is to be at the head of a chain.
func (b Beside) rules(chain string, way theirChain, family string) []Insertion {
	in := Insertion{Chain: chain, Comment: besideMark(b.Bridge), Kind: Replies, Accept: Packet{In: b.Bridge}}
	if way.enter {
		in.Kind, in.Accept = Translated, Packet{Out: b.Bridge}
	}
	list := []Insertion{in}
	add := func(kind Kind, p netip.Prefix) {
		if p.Addr().Is4() == (family == IPv4) {
			in.Kind, in.Address = kind, p
			list = append(list, in)
		}
	}
	for _, p := range b.Own {
		add(Any, p.Masked())
	}
	for _, a := range b.Stray {
		add(Stray, netip.PrefixFrom(a, a.BitLen()))
	}
	return list
}
