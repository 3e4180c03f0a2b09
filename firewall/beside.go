package firewall

import (
	"slices"

	"github.com/virbr/virbr/xml"
)

// CompileIPv6 returns the rules of [Compile] for a network of which somebody else
// filters and translates IPv4, such as libvirt. What extensions forward is in them
// for both families. nil where its forward mode has no rules.
func CompileIPv6(def *xml.Network, ext *xml.Extensions, where Where) (*Network, error) {
	n, err := compile(def, ext, where, true)
	if n == nil || err != nil {
		return nil, err
	}
	nat4 := ChainName(NAT4Map, n.Bridge)
	n.Chains = slices.DeleteFunc(n.Chains, func(c Chain) bool { return c.Name == nat4 })
	n.Elements = slices.DeleteFunc(n.Elements, func(e Element) bool { return e.Chain == nat4 })
	for i := range n.Chains {
		if c := &n.Chains[i]; c.Name == ChainName(LeaveMap, n.Bridge) || c.Name == ChainName(EnterMap, n.Bridge) {
			c.Rules = append([]Rule{allow(Match{Field: Family, Word: IPv4})}, c.Rules...)
		}
	}
	return n, n.Validate()
}
