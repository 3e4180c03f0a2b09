package coexist

import "fmt"

// mend returns the command that a person gives to let a packet pass, in the
// owner's own words where there are such. Without a place for an accept it is the
// rule that must go.
func (t *Table) mend(o Obstacle, at place, placed bool) string {
	switch {
	case t.Name == TC:
		c := &t.Chains[t.chain(o.Chain)]
		return fmt.Sprintf("tc filter del dev %s %s pref %d", c.Devices[0], c.Hook, o.Handle)
	case switches[o.Owner] != "":
		return switches[o.Owner]
	case o.Owner == Firewalld:
		return "firewall-cmd --zone=libvirt --change-interface=" + o.Packet.link()
	case o.Owner == UFW && placed:
		return ufwCommand(o.Packet)
	case o.Owner == UFW:
		return "ufw status numbered; ufw delete NUMBER"
	case !placed && o.Handle != 0 && t.Legacy:
		return fmt.Sprintf("%s -D %s %d", t.program(), o.Chain, o.Handle)
	case !placed && o.Handle != 0:
		return fmt.Sprintf("nft delete rule %s %s handle %d", o.Table, o.Chain, o.Handle)
	}
	chain := o.Chain
	if placed {
		chain = t.Chains[at.chain].Name
	}
	if t.Legacy || t.Iptables() {
		return t.program() + " -I " + chain + " " + iptablesWords(o.Packet) + " -j ACCEPT"
	}
	return fmt.Sprintf("nft insert rule %s %s %s accept", o.Table, chain, nftWords(o.Packet))
}

// switches are the commands of programs that let a host speak to networks of its own
// past their tunnel.
var switches = map[Owner]string{
	Mullvad: "mullvad lan set allow",
	NordVPN: "nordvpn set lan-discovery enabled",
	IVPN:    "ivpn firewall -lan_allow",
}

// link is the interface that the packet is about.
func (p Packet) link() string {
	if p.In != "" {
		return p.In
	}
	return p.Out
}

// program is the one that changes the table.
func (t *Table) program() string {
	name := "iptables"
	if t.Family == IPv6 {
		name = "ip6tables"
	}
	if t.Legacy {
		name += "-legacy"
	}
	if t.Name != "filter" {
		name += " -t " + t.Name
	}
	return name
}

func ufwCommand(p Packet) string {
	switch {
	case p.Hook == Forward && p.In != "" && p.Out != "":
		return "ufw route allow in on " + p.In + " out on " + p.Out
	case p.Hook == Forward && p.In != "":
		return "ufw route allow in on " + p.In
	case p.Hook == Forward:
		return "ufw route allow out on " + p.Out
	case p.Hook == Input && p.Port != 0:
		return fmt.Sprintf("ufw allow in on %s to any port %d proto %s", p.In, p.Port, p.Proto)
	case p.Hook == Output:
		return "ufw allow out on " + p.Out
	}
	return "ufw allow in on " + p.In
}

func iptablesWords(p Packet) string {
	words := ""
	if p.In != "" {
		words += " -i " + p.In
	}
	if p.Out != "" {
		words += " -o " + p.Out
	}
	if p.Proto != "" {
		words += " -p " + p.Proto
	}
	if p.FromPort != 0 {
		words += fmt.Sprintf(" --sport %d", p.FromPort)
	}
	if p.Port != 0 {
		words += fmt.Sprintf(" --dport %d", p.Port)
	}
	if p.Type != 0 {
		words += fmt.Sprintf(" --icmpv6-type %d", p.Type)
	}
	switch {
	case p.Reply:
		words += " -m conntrack --ctstate RELATED,ESTABLISHED"
	case p.Translated:
		words += " -m conntrack --ctstate DNAT"
	}
	return words[min(1, len(words)):]
}

func nftWords(p Packet) string {
	words := ""
	if p.In != "" {
		words += fmt.Sprintf(" iifname '%q'", p.In)
	}
	if p.Out != "" {
		words += fmt.Sprintf(" oifname '%q'", p.Out)
	}
	switch {
	case p.FromPort != 0:
		words += fmt.Sprintf(" %s sport %d", p.Proto, p.FromPort)
	case p.Port != 0:
		words += fmt.Sprintf(" %s dport %d", p.Proto, p.Port)
	case p.Type != 0:
		words += fmt.Sprintf(" icmpv6 type %d", p.Type)
	case p.Proto != "":
		words += " meta l4proto " + p.Proto
	}
	switch {
	case p.Reply:
		words += " ct state established,related"
	case p.Translated:
		words += " ct status dnat"
	}
	return words[min(1, len(words)):]
}
