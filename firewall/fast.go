package firewall

import (
	"fmt"
	"slices"
	"strings"

	"github.com/virbr/virbr/xml"
)

// FastMap says whose connections go by the flowtable: by bridge.
const FastMap = "fast"

// The one flowtable, and the chain that has connections go by it.
const (
	FlowtableName = "flows"
	FlowChain     = "accelerate"
)

// afterFilters is the priority of the chain that asks which connections go by the
// flowtable: behind everybody's filters (NF_IP_PRI_LAST is far behind it), so that
// nothing comes there that one of them drops.
const afterFilters = 1000

// Flowtable has the kernel forward connections that were added to it right where
// packets arrive, without rules and without a look at the routes. The kernel takes
// out of it what ends, what connection tracking forgets, what nothing was heard
// of for 30 seconds, and what goes by a link that goes down. Source:
// Documentation/networking/nf_flowtable.rst.
type Flowtable struct {
	Name  string
	Links []string // where packets arrive
}

func (f Flowtable) write(b *strings.Builder) {
	fmt.Fprintf(b, "\tflowtable %s {\n\t\thook ingress priority 0\n", f.Name)
	if len(f.Links) > 0 {
		var quoted []string
		for _, link := range f.Links {
			quoted = append(quoted, quote(link))
		}
		fmt.Fprintf(b, "\t\tdevices = { %s }\n", strings.Join(quoted, ", "))
	}
	b.WriteString("\t}\n")
}

// fast is for networks whose established connections go by the flowtable. It is
// one flowtable for all, as a table can have a link in one only.
func fast() Part {
	return Part{Marker: FastMap, Ruleset: Ruleset{
		Maps:       []Map{{Name: FastMap, Key: KeyName, Value: ValueVerdict}},
		Flowtables: []Flowtable{{Name: FlowtableName}},
		Chains: []Chain{
			{Name: FlowChain, Rules: []Rule{{Do: Action{Kind: FlowAdd, Map: FlowtableName}}}},
			{
				Name: "afterwards", Hook: &Hook{Type: "filter", Name: "forward", Priority: afterFilters},
				Rules: []Rule{lookup(InName, FastMap), lookup(OutName, FastMap)},
			},
		},
	}}
}

// fast adds what the flowtable needs, where the extensions ask for it.
func (c *compiler) fast(n *Network, ext *xml.Extensions, where Where) {
	if ext == nil || !ext.Firewall.Offload {
		return
	}
	known := Match{Field: State, Word: Established}
	c.filter(n, FastMap, []Rule{
		{Match: []Match{{Field: Protocol, Word: "tcp"}, known}, Counter: true, Do: Action{Kind: Jump, Chain: FlowChain}},
		{Match: []Match{{Field: Protocol, Word: "udp"}, known}, Counter: true, Do: Action{Kind: Jump, Chain: FlowChain}},
	})
	n.Fast = []string{c.bridge}
	if c.dev != "" {
		n.Fast = append(n.Fast, c.dev)
	} else {
		n.Fast = append(n.Fast, where.Links...)
	}
	slices.Sort(n.Fast)
	n.Fast = slices.Compact(n.Fast)
}

// carry adds links to the flowtable.
func (r *Ruleset) carry(links []string) {
	for i := range r.Flowtables {
		all := slices.Concat(r.Flowtables[i].Links, links)
		slices.Sort(all)
		r.Flowtables[i].Links = slices.Compact(all)
	}
}

// Plain returns the rules for a kernel without flowtables; nil: none.
func (n *Network) Plain() *Network {
	if n == nil || n.Fast == nil {
		return n
	}
	chain := ChainName(FastMap, n.Bridge)
	plain := *n
	plain.Fast = nil
	plain.Chains = slices.DeleteFunc(slices.Clone(n.Chains), func(c Chain) bool { return c.Name == chain })
	plain.Elements = slices.DeleteFunc(slices.Clone(n.Elements), func(e Element) bool { return e.Chain == chain })
	if len(plain.Chains) == 0 && plain.Guard == nil {
		return nil
	}
	return &plain
}
