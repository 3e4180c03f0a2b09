package coexist

import "strings"

// Owner is who makes the rules of a chain.
type Owner string

// The owners that are told apart. Iptables and Nftables are an administrator's
// own rules, or those of a program that is not known.
const (
	Docker     Owner = "Docker"
	UFW        Owner = "ufw"
	Firewalld  Owner = "firewalld"
	NixOS      Owner = "the NixOS firewall"
	Libvirt    Owner = "libvirt"
	Kubernetes Owner = "Kubernetes"
	Podman     Owner = "Podman"
	Tailscale  Owner = "Tailscale"
	Mullvad    Owner = "Mullvad VPN"
	NordVPN    Owner = "NordVPN"
	IVPN       Owner = "IVPN"
	VPN        Owner = "a VPN"
	Iptables   Owner = "iptables"
	Nftables   Owner = "nftables"
	Traffic    Owner = "tc"
)

// owners know chains by how their names begin.
var owners = []struct {
	prefix string
	owner  Owner
}{
	{"DOCKER", Docker}, {"ufw-", UFW}, {"ufw6-", UFW}, {"nixos-fw", NixOS}, {"LIBVIRT_", Libvirt}, {"libvirt-", Libvirt},
	{"KUBE-", Kubernetes}, {"CNI-", Podman}, {"NETAVARK", Podman}, {"ts-", Tailscale},
	{"IVPN-", IVPN}, {"nordvpn", NordVPN}, {"mullvad", Mullvad}, {"piavpn.", VPN}, {"evpn.", VPN}, {"windscribe", VPN}, {"killswitch", VPN},
}

// tables are those of one owner alone.
var tables = map[string]Owner{
	"docker-bridges": Docker, "nixos-fw": NixOS, "libvirt_network": Libvirt, "netavark": Podman,
	"mullvad": Mullvad, "nordvpn": NordVPN, TC: Traffic,
}

// only returns the owner of the whole table; "": it does not say. While it
// reloads firewalld has further tables that drop everything.
func (t *Table) only() Owner {
	if strings.HasPrefix(t.Name, "firewalld") {
		return Firewalld
	}
	return tables[t.Name]
}

// chainOwner returns who owns a chain by its name; "": it does not say.
func chainOwner(name string) Owner {
	for _, o := range owners {
		if strings.HasPrefix(name, o.prefix) {
			return o.owner
		}
	}
	return ""
}

// owner returns who owns a chain of the table. The built-in chains of iptables
// and what an administrator made belong to whose chains they lead to first:
// their policy is the work of ufw, or else of Docker, NixOS or a VPN.
func (t *Table) owner(chain int) Owner {
	if o := t.only(); o != "" {
		return o
	}
	c := &t.Chains[chain]
	if o := chainOwner(c.Name); o != "" {
		return o
	}
	found := map[Owner]bool{}
	if c.Hook != "" {
		for _, r := range c.Rules {
			found[chainOwner(r.Verdict.Chain)] = true
		}
	}
	for _, o := range []Owner{UFW, Docker, NixOS, Mullvad, NordVPN, IVPN, VPN} {
		if found[o] {
			return o
		}
	}
	if t.Legacy || t.Iptables() {
		return Iptables
	}
	return Nftables
}
