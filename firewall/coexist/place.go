package coexist

import (
	"slices"
	"strings"
)

// place is where an accept goes: before a rule of a chain, or at its end.
type place struct {
	chain  int
	before int // position; the number of rules: at the end
}

// documented are the chains that their owners give to rules of others. ufw's
// after chains (ufw-framework(8)) come after all that its user allowed and
// denied; their own rules send what is only noise to the policy, so accepts go
// to their head. DOCKER-USER comes before all that Docker does; what its user
// forbids there comes first.
var documented = map[string]struct {
	head   bool
	tables []string // nil: any
}{
	"DOCKER-USER":        {},
	"ufw-after-input":    {head: true},
	"ufw-after-forward":  {head: true},
	"ufw-after-output":   {head: true},
	"ufw6-after-input":   {head: true},
	"ufw6-after-forward": {head: true},
	"ufw6-after-output":  {head: true},
	"input-allow":        {tables: []string{"nixos-fw"}},
	"forward-allow":      {tables: []string{"nixos-fw"}},
}

// closed are owners in whose tables nobody else may put rules: firewalld has
// zones for that, Docker's nftables backend and libvirt's drop nothing but what
// concerns bridges of their own.
func closed(t *Table) bool {
	if t.Owned {
		return true
	}
	o := t.only()
	return o != "" && o != NixOS && !vpn(o)
}

// place returns where an accept goes for a packet that a base chain drops, and
// whether there is such a place. Of several documented chains on the packet's
// way the last one is taken, so that everybody's denials come first. An accept there
// must not skip what an administrator denies later.
func (t *Table) place(base int, p Packet, r result, j judge) (place, bool) {
	if closed(t) || names(r.met, p.In) || names(r.met, p.Out) || t.Legacy && strings.HasSuffix(p.In+p.Out, "+") || j.shuts(t, base, p, r) {
		return place{}, false
	}
	at, ok := t.documented(r)
	meant := len(r.met) > 0
	if meant {
		owner := chainOwner(t.Chains[r.path[len(r.path)-1].Chain].Name)
		return at, ok && owner != "" && owner == chainOwner(t.Chains[at.chain].Name)
	}
	if ok && !t.denies(base, at, p) {
		return at, true
	}
	return t.bare(t.Chains[base].Hook, r.path), true
}

// documented returns the last documented place on a packet's way.
func (t *Table) documented(r result) (place, bool) {
	for i := len(r.visited) - 1; i >= 0; i-- {
		c := &t.Chains[r.visited[i].Chain]
		d, ok := documented[c.Name]
		if !ok || d.tables != nil && !slices.Contains(d.tables, t.Name) {
			continue
		}
		at := place{chain: r.visited[i].Chain}
		if !d.head {
			at.before = c.catchAll()
		}
		return at, true
	}
	return place{}, false
}

// denies reports whether rules of a base chain itself that come after the chain of a
// place may deny some of the packets.
func (t *Table) denies(base int, at place, p Packet) bool {
	after := false
	for _, r := range t.Chains[base].Rules {
		switch r.Verdict.Kind {
		case Jump, Goto:
			after = after || slices.Contains(t.reachable(t.chain(r.Verdict.Chain)), at.chain)
		case Drop, Reject:
			if after && len(r.Match) > 0 && p.meets(r.Match) != no {
				return true
			}
		case Continue, Accept, Return, Other:
		}
	}
	return false
}

// catchAll returns the position of the first rule that decides about everything
// that comes to it.
func (c *Chain) catchAll() int {
	for i := range c.Rules {
		if len(c.Rules[i].Match) > 0 {
			continue
		}
		switch c.Rules[i].Verdict.Kind {
		case Accept, Drop, Reject, Return, Goto, Other:
			return i
		case Continue, Jump:
		}
	}
	return len(c.Rules)
}

// bare returns where an accept goes in chains of nobody in particular: before
// what drops everything, as late as possible, so that more special rules are
// asked first; but in no chain that only refuses, such as one that logs and
// drops, and in none that other hooks come to, too.
func (t *Table) bare(hook Hook, path []Step) place {
	for i, s := range path[:len(path)-1] {
		next := path[i+1].Chain
		if t.refuses(next, 0) || t.shared(next, hook) {
			return place{chain: s.Chain, before: s.Rule}
		}
	}
	last := path[len(path)-1]
	return place{chain: last.Chain, before: last.Rule}
}

// refuses reports whether a chain never lets a packet pass.
func (t *Table) refuses(chain, depth int) bool {
	if depth > maxDepth {
		return false
	}
	for _, r := range t.Chains[chain].Rules {
		for _, v := range r.verdicts() {
			switch v.Kind {
			case Accept, Return, Other:
				return false
			case Jump, Goto:
				if next := t.chain(v.Chain); next < 0 || !t.refuses(next, depth+1) {
					return false
				}
			case Continue, Drop, Reject:
			}
		}
	}
	return true
}

// shared reports whether base chains of another hook lead to a chain.
func (t *Table) shared(chain int, hook Hook) bool {
	seen := make([]bool, len(t.Chains))
	var visit func(int)
	visit = func(n int) {
		if n < 0 || seen[n] {
			return
		}
		seen[n] = true
		for _, r := range t.Chains[n].Rules {
			for _, v := range r.verdicts() {
				if v.Kind == Jump || v.Kind == Goto {
					visit(t.chain(v.Chain))
				}
			}
		}
	}
	for i := range t.Chains {
		if h := t.Chains[i].Hook; h != "" && h != hook {
			visit(i)
		}
	}
	return seen[chain]
}

// verdicts returns all that a rule may do.
func (r *Rule) verdicts() []Verdict {
	list := []Verdict{r.Verdict}
	for _, e := range r.Map {
		list = append(list, e.Verdict)
	}
	return list
}
