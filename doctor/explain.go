package doctor

import (
	"maps"
	"slices"
)

// explanations say of each finding what it means, for who sees it for the first
// time.
var explanations = map[string]string{
	"accept-ra": `A host that forwards IPv6 is a router, and a router does not listen to other
routers' advertisements unless accept_ra is 2. The routes that it learned before
stay until they expire, then its IPv6 is gone.`,
	"address-duplicate": `Before an IPv6 address is used the kernel asks whether somebody has it (duplicate
address detection), and leaves it alone if so.`,
	"address-missing": `The bridge's address is the guests' router, and where dnsmasq serves. Somebody
removed it: a network manager that takes the bridge for its own, a person, or
the bridge was switched off, which costs it its IPv6 addresses.`,
	"agent-dead": `Where libvirt's own daemon runs networks, virbr's hook is called when they start
and stop; what happens in between is the work of "virbrd agent", which the hook
starts. Without it guests that get another address are not found any more.`,
	"bandwidth-off": `Limits of <bandwidth> are queues of the kernel (tc). They go when somebody
deletes them, or never came where the kernel has no such queues.`,
	"br-netfilter": `With br_netfilter frames between ports of one bridge go through iptables and
nftables as if they were forwarded. A policy of drop there, as Docker sets it,
then cuts guests of one bridge off from each other.`,
	"bridge-missing": `Guests are plugged into a bridge of the host. Without it they have no network at
all.`,
	"checksum": `Virtual network cards leave checksums to hardware that is not there. Most guests
know; old DHCP clients read raw packets and drop those with a wrong checksum. The
kernel can fill it in, by tc's csum action or iptables' CHECKSUM target.`,
	"conntrack-full": `The kernel remembers every connection that is translated or filtered. When its
table is full, new connections are dropped ("nf_conntrack: table full").`,
	"definition-broken": `A network's definition or status is a file. The daemon leaves out files that it
cannot read at all, and the network does not exist for it. One that libvirt accepted
and virbrd would refuse is known and runs on, but does not start.`,
	"device-missing": `The definition names a device of the host that does not exist: it has another
name, comes later, or its driver is not loaded.`,
	"dhcp-full": `Each lease takes an address until it ends, also those of guests that are gone.`,
	"dnsmasq-dead": `One dnsmasq a network answers DHCP, DNS and router solicitations. Without it
guests that boot get no address, and names are not found.`,
	"dnsmasq-deaf": `dnsmasq runs, but has no socket where guests ask. Another program had the port
when the bridge's address came.`,
	"dnsmasq-missing": `dnsmasq is a program of its own, in a package of that name.`,
	"dnsmasq-unpatched": `dnsmasq's process that calls the lease helper copies a DHCPv6 client's identifier
into a buffer that may be too small for it. virbrd has that process run as a user that
may write leases only; libvirt's own driver runs it as root.`,
	"dnsmasq-old": `Networks need bind-dynamic and lifetimes of router advertisements.`,
	"extensions-broken": `Forwards, public addresses and the like are in the network's <metadata>. What is
wrong there is left out as a whole, for a half of it might be worse.`,
	"files-limit": `The host has only so many open files; sockets are such, too.`,
	"forward-dropped": `Every base chain of nftables and iptables is asked about a packet, and one that
drops it has the last word: an accept in another table does not undo that. So a
firewall that drops what it does not know drops guests' packets.`,
	"forward-taken": `A port belongs to one: to a program that listens on it, to another network, or to
the forward. Who came first has it; a forward that came later waits until it is free.
One that came first takes connections before a program sees them.`,
	"forwarding4-link": `Each interface has a forwarding switch of its own for IPv4, which decides about
the packets that come in there. ip_forward writes all of them.`,
	"forwarding4-off": `The host drops what is not for itself. The daemon switches forwarding on when
the network starts; configuration tools and hardening scripts switch it off.`,
	"forwarding6-off": `The same for IPv6, where one switch counts: net.ipv6.conf.all.forwarding.`,
	"guest-outside":   `A forward leads to an address that the network's guests cannot have.`,
	"guest-waiting": `A forward to a guest by name or MAC address is in force as soon as the guest has
an address, and follows it.`,
	"hook-failed": `The hook or its agent could not do what the network's extensions ask for: another
program has the port, another network the address, or what is asked makes no
sense. All of it is done, or nothing.`,
	"hook-missing": `libvirt's own daemon knows nothing of virbr's extensions. It calls the scripts in
/etc/libvirt/hooks when networks start and stop, and one of these must be virbr's.`,
	"hook-uncalled": `libvirt looks for hook scripts when it starts and when it is reloaded. A script that
came later, or a network that ran already, is not called for.`,
	"interface-waiting": `A forward that listens at the addresses of an interface is in force while the
interface is there and has one.`,
	"inotify-limit": `dnsmasq watches files by inotify, and so do systemd, file managers and
containers. Each user has only so many instances, 128 by default, and all of
root's programs share them.`,
	"input-dropped": `Guests ask the host itself for addresses (DHCP, ports 67 and 547) and names
(DNS, port 53). A chain for input that drops them leaves guests without.`,
	"link-down": `An interface that is switched off (ip link set ... down) passes nothing.`,
	"module-alone": `With package virbr-libvirtd a monolithic libvirtd hands every call about networks
on to virbrd. Its socket has to be there; systemd starts virbrd when it is asked.`,
	"module-order": `libvirtd starts guests with the host, which want their networks: its unit waits for
virbrd's socket. And virbrd's unit must not exclude libvirtd, as it does without
package virbr-libvirtd.`,
	"module-refused": `virbr's module in the place of libvirtd's network driver serves those versions of
libvirt that it knows. With others, or where virbrd.conf says so, it loads libvirt's own
driver, so that the host has networks.`,
	"module-unloaded": `A program loads its modules when it starts: libvirtd serves networks by the driver
that it has until it is started again.`,
	"no-route4":      `The host sends guests' packets where its own would go. It has no way out.`,
	"no-route6":      `The same for IPv6. Local prefixes (ULA) still work among guests.`,
	"not-started":    `Networks with autostart start with the daemon, once after each boot.`,
	"output-dropped": `Answers of the host to its guests pass the chains for output.`,
	"pids-limit":     `The host has only so many process numbers.`,
	"port-blocked": `The spanning tree protocol closes ports that would make a loop. A guest that
bridges two cards, or that speaks the protocol itself, looks like one.`,
	"port-down": `The host's end of a guest's network card is switched off.`,
	"port-taken": `Only one program can have a port of an address. A DNS server that listens on all
addresses has port 53 of the bridge as well.`,
	"resolv-loop":    `dnsmasq asks the servers of the host's resolv.conf, without itself.`,
	"resolv-missing": `dnsmasq asks the servers of the host's resolv.conf. There are none.`,
	"resolv-silent":  `resolv.conf names a server on the host itself that does not run.`,
	"prefix-unrouted": `Some providers do not route a prefix to a host, but take it to be on the link to
it: their router asks there for each address (neighbour discovery). Guests are
behind the host, so the host must answer for them, which proxyndp has it do.`,
	"route-refused": `Rules of routing ("ip rule") and routes of the kinds prohibit, unreachable and
blackhole refuse packets that the main table has a way for. VPNs use them as kill
switch, and administrators to keep networks in.`,
	"rp-filter": `A strict reverse path filter drops what comes in by another interface than the
answer would leave by. On a host with two ways out that is common.`,
	"rules-double": `libvirt's daemon and virbrd each have rules of their own; packets pass both.`,
	"rules-unexamined": `doctor follows a packet through the rules of others. Some ask for what it does not
know: a mark, a time, a program that decides. Whether they drop guests' packets
only a trace of the kernel tells.`,
	"rules-missing": `The network's rules translate guests' addresses and keep networks apart.`,
	"sctp-missing": `Who opens a connection by SCTP needs the protocol himself. Forwarding it needs
connection tracking only.`,
	"sctp-untracked": `A forward translates addresses, for which the kernel must know the protocol.`,
	"start-fails": `A dry run of the network's start, with what is on this host now, ends with the
error that the start itself would end with.`,
	"subnet-clash": `Two interfaces with the same addresses: the kernel uses one of the routes, and
guests or hosts behind the other one cannot be reached. VPNs that come up later
do this, and a guest that runs networks of the same default subnet itself.`,
	"subnet-inside": `The network's subnet is part of one that the host is in. The narrower one wins:
hosts there with such addresses cannot be reached from this one.`,
	"tasks-limit": `systemd gives each service so many processes and threads (TasksMax). A network's
dnsmasq belongs to the service of the daemon that started it.`,
	"two-daemons": `libvirt's daemon and virbrd exclude each other where they use the same places.`,
	"ula-untranslated": `Unique local addresses (RFC 4193) mean nothing outside. Mode nat translates IPv6
only where the definition says so.`,
	"zone-left": `firewalld sorts interfaces into zones, each with rules of its own. libvirt and
virbrd put each bridge into a zone for guests when the network starts; somebody
took it out.`,
	"zone-missing": `libvirt's networks belong into a zone "libvirt" of firewalld, which comes with
libvirt. Where it is missing libvirt's daemon refuses to start networks; virbrd
makes a zone of its own.`,
}

// Explain returns what a finding means; false: there is no such finding.
func Explain(id string) (string, bool) {
	text, ok := explanations[id]
	return text, ok
}

// IDs returns the words for all findings, in order.
func IDs() []string { return slices.Sorted(maps.Keys(explanations)) }
