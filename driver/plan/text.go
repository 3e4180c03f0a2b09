package plan

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/virbr/virbr/xml"
)

// String returns the plan as people read it: one op a line, in order.
func (p *Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		b.WriteString(s.Do.String() + "\n")
	}
	return b.String()
}

// word returns text as one printable word, quoted where it would not be one.
func word(text string) string {
	plain := func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r == 0x7f || !strconv.IsPrint(r) }
	if text == "" || strings.ContainsFunc(text, plain) {
		return strconv.Quote(text)
	}
	return text
}

func (o AddBridge) String() string {
	text := "link add " + word(o.Name) + " type bridge"
	if !o.MAC.IsZero() {
		text += " address " + o.MAC.String()
	}
	return text
}

func (o DelLink) String() string { return "link delete " + word(o.Name) }

func (o SetMTU) String() string { return fmt.Sprintf("link set %s mtu %d", word(o.Link), o.MTU) }

func (o SetBridge) String() string {
	return fmt.Sprintf("bridge set %s %s %d", word(o.Bridge), word(o.Attr), o.Value)
}

func (o SetSysctl) String() string {
	text := "sysctl " + word(o.Key) + " = " + word(o.Value)
	if o.IfExists {
		text += " (if present)"
	}
	return text
}

func (o AddAddress) String() string {
	text := "address add " + o.Address.String()
	if o.Broadcast.IsValid() {
		text += " broadcast " + o.Broadcast.String()
	}
	if o.Address.Addr().Is6() {
		text += " nodad"
	}
	if o.Deprecated {
		text += " deprecated"
	}
	if o.Routeless {
		text += " noprefixroute"
	}
	return text + " dev " + word(o.Link)
}

func (o DelAddress) String() string {
	return "address delete " + o.Address.String() + " dev " + word(o.Link)
}

func (o SetUp) String() string { return "link set " + word(o.Link) + " up" }

func (o SetDown) String() string { return "link set " + word(o.Link) + " down" }

func (o AddRoute) String() string {
	return fmt.Sprintf("route add %s via %s dev %s metric %d", o.Dest, o.Gateway, word(o.Link), o.Metric)
}

func (o AddRules) String() string {
	if o.Rules == nil {
		return "firewall install nothing"
	}
	names := make([]string, len(o.Rules.Chains))
	for i, c := range o.Rules.Chains {
		names[i] = word(c.Name)
	}
	return "firewall install " + word(o.Rules.Bridge) + " (" + strings.Join(names, " ") + ")"
}

func (o DelRules) String() string { return "firewall remove " + word(o.Bridge) }

func (o FillChecksums) String() string { return "checksums fill " + word(o.Bridge) }

func (o UnfillChecksums) String() string { return "checksums leave " + word(o.Bridge) }

func (o SetZone) String() string {
	zone := "libvirt (if firewalld runs)"
	switch {
	case o.Zone != "":
		zone = word(o.Zone)
	case o.Routed:
		zone = "libvirt-routed (if firewalld runs)"
	}
	return "zone set " + word(o.Link) + " " + zone
}

func (o UnsetZone) String() string { return "zone unset " + word(o.Link) }

func (o WriteFile) String() string {
	return fmt.Sprintf("file write %s mode %04o (%d bytes)", word(o.Path), o.Mode, len(o.Data))
}

func (o StartDnsmasq) String() string {
	return fmt.Sprintf("dnsmasq start %s conf %s pid %s", word(o.Bridge), word(o.Conf), word(o.PidFile))
}

func (o AwaitDnsmasq) String() string { return "dnsmasq await " + word(o.PidFile) }

func (o SignalDnsmasq) String() string {
	return "dnsmasq signal TERM " + word(o.PidFile)
}
func (o StopDnsmasq) String() string { return "dnsmasq stop " + word(o.PidFile) }

func (o RegisterDNS) String() string {
	return fmt.Sprintf("resolved register %s server %s dev %s", word(o.Domain), o.Server, word(o.Link))
}

func (o ShapeNetwork) String() string {
	return "shape " + word(o.Bridge) + rateText(" inbound", o.Bandwidth.Inbound) + rateText(" outbound", o.Bandwidth.Outbound)
}

func rateText(direction string, r *xml.Rate) string {
	if r == nil {
		return ""
	}
	text := direction
	for _, part := range []struct {
		name  string
		value uint64
	}{{"average", r.Average}, {"peak", r.Peak}, {"floor", r.Floor}, {"burst", r.Burst}} {
		if part.value != 0 {
			text += fmt.Sprintf(" %s %d", part.name, part.value)
		}
	}
	return text
}

func (o UnshapeNetwork) String() string { return "unshape " + word(o.Bridge) }
