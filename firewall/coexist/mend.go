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
	var w words
	w.add(p.In != "", "-i %s", p.In)
	w.add(p.Out != "", "-o %s", p.Out)
	w.add(p.Proto != "", "-p %s", p.Proto)
	w.add(p.FromPort != 0, "--sport %d", p.FromPort)
	w.add(p.Port != 0, "--dport %d", p.Port)
	w.add(p.Type != 0, "--icmpv6-type %d", p.Type)
	w.add(p.Reply, "-m conntrack --ctstate RELATED,ESTABLISHED")
	w.add(p.Translated && !p.Reply, "-m conntrack --ctstate DNAT")
	return w.String()
}

func nftWords(p Packet) string {
	var w words
	w.add(p.In != "", "iifname '%q'", p.In)
	w.add(p.Out != "", "oifname '%q'", p.Out)
	switch {
	case p.FromPort != 0:
		w.add(true, "%s sport %d", p.Proto, p.FromPort)
	case p.Port != 0:
		w.add(true, "%s dport %d", p.Proto, p.Port)
	case p.Type != 0:
		w.add(true, "icmpv6 type %d", p.Type)
	default:
		w.add(p.Proto != "", "meta l4proto %s", p.Proto)
	}
	w.add(p.Reply, "ct state established,related")
	w.add(p.Translated && !p.Reply, "ct status dnat")
	return w.String()
}
