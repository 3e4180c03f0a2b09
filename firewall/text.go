package firewall

import (
	"fmt"
	"slices"
	"strings"
)

// String prints the ruleset as a script for nft -f. The script adds to a table
// that is already there.
func (r *Ruleset) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s {\n", r.Family, TableName)
	for i, m := range r.Maps {
		if i > 0 {
			b.WriteByte('\n')
		}
		r.writeMap(&b, m)
	}
	for _, f := range r.Flowtables {
		b.WriteByte('\n')
		f.write(&b)
	}
	for _, c := range r.Chains {
		b.WriteByte('\n')
		c.write(&b)
	}
	b.WriteString("}\n")
	return b.String()
}

// String prints the whole table with this one network in it, as a script for
// nft -f. A nil network has no rules and prints nothing.
func (n *Network) String() string {
	if n == nil {
		return ""
	}
	var text string
	if len(n.Chains) > 0 {
		text = n.base().With(n).String()
	}
	return text + n.Guard.String()
}

// String prints the table of guards with this one in it, as a script for nft -f. A
// nil guard prints nothing.
func (g *Guard) String() string {
	if g == nil {
		return ""
	}
	all := Ruleset{Family: BridgeTable, Data: g.Data()}
	for _, p := range GuardParts() {
		if g.Needs(p) {
			all.Maps = append(all.Maps, p.Maps...)
			all.Chains = append(all.Chains, p.Chains...)
		}
	}
	return all.String()
}

func (r *Ruleset) writeMap(b *strings.Builder, m Map) {
	if m.Value == ValueNone {
		fmt.Fprintf(b, "\tset %s {\n\t\ttype %s\n", m.Name, m.Key)
	} else {
		fmt.Fprintf(b, "\tmap %s {\n\t\ttype %s : %s\n", m.Name, m.Key, m.Value)
	}
	if m.Ranges {
		b.WriteString("\t\tflags interval\n")
	}
	if m.Size > 0 {
		fmt.Fprintf(b, "\t\tsize %d\n\t\tflags dynamic,timeout\n\t\ttimeout %ds\n", m.Size, m.Timeout)
	}
	if m.Counter {
		b.WriteString("\t\tcounter\n")
	}
	var elements []string
	for _, e := range r.Elements {
		if e.Map == m.Name {
			elements = append(elements, e.String())
		}
	}
	for _, d := range r.Data {
		if d.Map == m.Name {
			elements = append(elements, d.String())
		}
	}
	if len(elements) > 0 {
		fmt.Fprintf(b, "\t\telements = { %s }\n", strings.Join(elements, ",\n\t\t\t     "))
	}
	b.WriteString("\t}\n")
}

// String prints the element as in a list of elements:
// "192.168.122.0/24 : jump nat4_virbr0".
func (e Element) String() string {
	key := e.Prefix.String()
	if !e.Prefix.IsValid() {
		key = quote(e.Name)
	}
	return key + " : jump " + e.Chain
}

func (c *Chain) write(b *strings.Builder) {
	fmt.Fprintf(b, "\tchain %s {\n", c.Name)
	if h := c.Hook; h != nil {
		fmt.Fprintf(b, "\t\ttype %s hook %s priority %d; policy accept;\n", h.Type, h.Name, h.Priority)
	}
	for _, r := range c.Rules {
		fmt.Fprintf(b, "\t\t%s\n", r)
	}
	b.WriteString("\t}\n")
}

// String prints the rule in nft's language, or as a comment where that has no
// words for it.
func (r Rule) String() string {
	var parts []string
	if r.Do.Kind == Embedded || r.Do.Kind == KeepLink || slices.ContainsFunc(r.Match, Match.unnamed) {
		parts = append(parts, "# by netlink only:")
	}
	for _, m := range r.Match {
		parts = append(parts, m.String())
	}
	if r.Counter {
		parts = append(parts, "counter")
	}
	return strings.Join(append(parts, r.Do.String()), " ")
}

// unnamed reports whether nft has no words for a condition, or only newer versions.
func (m Match) unnamed() bool {
	return slices.Contains(m.Key.Fields, NDTarget) || slices.Contains(m.Key.Fields, NDLinkAddress)
}

// String prints the condition in nft's language.
func (m Match) String() string {
	var value string
	switch m.Field {
	case Faster:
		return meter(m.Set, "over ", m.Rate, m.Burst)
	case InName, OutName, DestLink, FromLink:
		value = quote(m.Word)
	case Source4, Dest4, Source6, Dest6, FirstSource4, FirstSource6, FirstDest4, FirstDest6, Answerer4, Answerer6:
		value = m.Prefix.String()
		if m.Prefix.IsSingleIP() {
			value = m.Prefix.Addr().String()
		}
	case ConnMark, PackMark:
		return m.mark()
	case Protocol, State, Status, Direction, Family, DestType, FirstPort, AnswererPort, Socket, InIndex:
		value = m.Word
	case DestPort:
		value = span(m.Port, 0)
	case ICMP4Type, ICMP6Type:
		value = span(uint16(m.Lo), uint16(m.Hi))
	case Key:
		if m.Not {
			return m.Key.String() + " != @" + m.Set
		}
		return m.Key.String() + " @" + m.Set
	default:
		value = m.frame()
	}
	if m.Not {
		return string(m.Field) + " != " + value
	}
	return string(m.Field) + " " + value
}

// frame prints what a condition about a frame compares with.
func (m Match) frame() string {
	switch m.Field {
	case EtherDest:
		return m.MAC.String()
	case EtherType, FrameProtocol:
		return m.Word
	case VLANID:
		if m.Not {
			return "0"
		}
		return "== 0"
	case SNAP:
		return fmt.Sprintf("%#x", snapHeader)
	case ARPSource:
		return m.Prefix.Addr().String()
	case NDOption:
		return fmt.Sprintf("%#04x", m.Port)
	case Fragment:
		return "exists"
	case FragmentOffset:
		return "0"
	default:
		return "unknown"
	}
}

// meter prints what counts how fast the port is.
func meter(set, over string, rate, burst uint16) string {
	return fmt.Sprintf("update @%s { iifname limit rate %s%d/second burst %d packets }", set, over, rate, burst)
}

// mark prints a condition about a mark.
func (m Match) mark() string {
	if m.Mask == 0 {
		return fmt.Sprintf("%s %#x", m.Field, m.Mark)
	}
	return fmt.Sprintf("%s & %#x == %#x", m.Field, m.Mask, m.Mark)
}

// String prints the action in nft's language.
func (a Action) String() string {
	switch a.Kind {
	case Return, Reject, Accept, Drop, NoTrack:
		return string(a.Kind)
	case Jump:
		return "jump " + a.Chain
	case FlowAdd:
		return "flow add @" + a.Map
	case Tell:
		return fmt.Sprintf("%s log group %d snaplen %d", meter(a.Map, "", a.Rate, a.Burst), GuardLog, GuardSnap)
	case DNAT:
		return fmt.Sprintf("dnat %s to %s map @%s", a.family(), a.Key, a.Map)
	case Mark:
		return fmt.Sprintf("meta mark set meta mark | %#x", uint32(VouchMark))
	case Unmark:
		return fmt.Sprintf("meta mark set meta mark & %#x", ^uint32(VouchMark))
	case KeepLink:
		return fmt.Sprintf("ct mark set meta iif | %#x", uint32(LinkMark))
	case TellLink:
		return "meta mark set ct mark"
	case Rewrite:
		switch {
		case a.To.IsValid():
			return fmt.Sprintf("%s set %s", a.Field, a.To)
		case a.By != "":
			return fmt.Sprintf("%s set %s map @%s", a.Field, a.By, a.Map)
		}
		return fmt.Sprintf("%s set %s map @%s", a.Field, a.Field, a.Map)
	case Embedded:
		return fmt.Sprintf("embedded %s set %s map @%s", a.Field, a.Field, a.Map)
	case Lookup:
		return fmt.Sprintf("%s vmap @%s", a.Field, a.Map)
	case Masquerade:
		if a.PortStart != 0 {
			return "masquerade to " + a.ports()
		}
		return "masquerade"
	case SNAT:
		if a.Map != "" {
			return fmt.Sprintf("snat %s to %s map @%s", a.family(), a.Key, a.Map)
		}
		to := a.AddrStart.String()
		if a.AddrEnd != a.AddrStart {
			to += "-" + a.AddrEnd.String()
		}
		return "snat ip to " + to + a.ports()
	}
	return fmt.Sprintf("unknown action %q", string(a.Kind))
}

// family names the family of translated addresses.
func (a Action) family() string {
	if a.IPv6 {
		return "ip6"
	}
	return "ip"
}

func (a Action) ports() string {
	switch a.PortStart {
	case 0:
		return ""
	case a.PortEnd:
		return fmt.Sprintf(":%d", a.PortStart)
	}
	return fmt.Sprintf(":%d-%d", a.PortStart, a.PortEnd)
}

// quote puts a device name between quotes. nft knows no escapes; CheckDevice
// has made sure that the name needs none.
func quote(name string) string { return `"` + name + `"` }
