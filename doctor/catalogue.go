package doctor

import (
	"fmt"
	"strings"
)

// Kind is one thing that can be wrong on a host: a row of the catalogue.
type Kind struct {
	ID       string   // a stable word
	Severity Severity // unless a finding says otherwise
	Also     Severity // what some findings say; "": none does
	Summary  string   // what is wrong, in one line
	Meaning  string   // what that means, for whoever sees it for the first time
}

// The catalogue, in the order of the IDs.
var (
	acceptRA = Kind{"accept-ra", Warning, "", "the host forwards IPv6 and so no longer hears the router that its own IPv6 comes from",
		`A host that forwards IPv6 is a router, and a router ignores the advertisements of other routers unless accept_ra is 2. The
routes that it learned before stay until they expire, then its IPv6 is gone.`}
	addressDuplicate = Kind{"address-duplicate", Problem, "", "another machine on the bridge has the bridge's IPv6 address",
		`Before an IPv6 address is used the kernel asks whether another machine has it (duplicate address detection), and leaves it alone if so.`}
	addressMissing = Kind{"address-missing", Problem, "", "the bridge lacks an address of the definition",
		`The bridge's address is the guests' router, and where dnsmasq serves. Another program removed it: a network manager that manages the
bridge itself, or whoever switched the bridge off, which costs it its IPv6 addresses.`}
	agentDead = Kind{"agent-dead", Warning, "", "virbr's hook extends a network of libvirt's daemon, and its agent does not run",
		`Where libvirt's own daemon runs networks, virbr's hook is called when they start and stop; changes in between are followed by
"virbrd agent", which the hook starts. Without it guests that get another address are not found any more.`}
	bandwidthOff = Kind{"bandwidth-off", Warning, "", "the queues of <bandwidth> are missing",
		`Limits of <bandwidth> are queues of the kernel (tc). They are gone after another program deleted them, and never existed where the kernel lacks
such queues.`}
	brNetfilter = Kind{"br-netfilter", Warning, "", "the host's firewall drops traffic within a bridge",
		`With br_netfilter, frames between ports of one bridge pass iptables and nftables as if they were forwarded. A policy of drop there, as
Docker sets it, then cuts guests of one bridge off from each other.`}
	bridgeMissing = Kind{"bridge-missing", Problem, "", "the bridge does not exist",
		`Guests are attached to a bridge of the host. Without it they have no network at all.`}
	checksum = Kind{"checksum", Hint, "", "checksums of DHCP replies are not filled in (no act_csum)",
		`Virtual network cards leave checksums to hardware that does not exist. Most guests know; old DHCP clients read raw packets and drop those
with a wrong checksum. The kernel can fill it in, by tc's csum action or iptables' CHECKSUM target.`}
	conntrackFull = Kind{"conntrack-full", Warning, Problem, "the connection tracking table is full, or nearly",
		`The kernel remembers every connection that is translated or filtered. When its table is full, new connections are dropped ("nf_conntrack:
table full").`}
	definitionBroken = Kind{"definition-broken", Problem, "", "a network's file cannot be read, or contains what virbrd refuses",
		`A network's definition or status is a file. The daemon skips files that it cannot read at all, and the network does not exist for it. One
that libvirt accepted and virbrd would refuse is known and runs on, but does not start.`}
	deviceMissing = Kind{"device-missing", Problem, "", "a device that the definition names does not exist",
		`The definition names a device of the host that does not exist: it has another name, appears later, or its driver is not loaded.`}
	dhcpFull = Kind{"dhcp-full", Warning, "", "all addresses are leased",
		`Each lease holds an address until it expires, also those of guests that are gone.`}
	dnsmasqDead = Kind{"dnsmasq-dead", Problem, "", "no dnsmasq serves the network",
		`One dnsmasq for each network answers DHCP, DNS and router solicitations. Without it guests that boot get no address, and names are not found.`}
	dnsmasqDeaf = Kind{"dnsmasq-deaf", Problem, "", "dnsmasq runs, but does not listen where guests ask",
		`dnsmasq runs, but has no socket where guests ask. Another program had the port when the bridge's address came.`}
	dnsmasqMissing = Kind{"dnsmasq-missing", Problem, "", "dnsmasq is not installed",
		`dnsmasq is a program of its own, in a package of that name.`}
	dnsmasqOld = Kind{"dnsmasq-old", Problem, "", "dnsmasq is too old",
		`Networks need bind-dynamic and lifetimes of router advertisements.`}
	dnsmasqUnpatched = Kind{"dnsmasq-unpatched", Warning, "", "the dnsmasq package is older than the fix of CVE-2026-4892: the distribution's version and changelog count, not --version",
		`dnsmasq's process that calls the lease helper copies a DHCPv6 client's identifier into a buffer that may be too small for it. virbrd runs that
process as a user that may write leases only; libvirt's own driver runs it as root.`}
	extensionsBroken = Kind{"extensions-broken", Problem, "", "the extensions in <metadata> are invalid and not in force",
		`Forwards, public addresses and other extensions are in the network's <metadata>. If something there is wrong, none of it is used, for a half of it
might be worse.`}
	filesLimit = Kind{"files-limit", Warning, Problem, "the host runs out of open files",
		`The host has only so many open files; sockets count, too.`}
	forwardDropped = Kind{"forward-dropped", Problem, Warning, "another program's chain drops what the host forwards, at any hook on the path: whose, and which rule; a warning where it looks intended",
		`Every base chain of nftables and iptables sees a packet, and one that drops it has the last word: an accept in another table does not undo
that. So a firewall that drops what it does not know drops guests' packets.`}
	forwardTaken = Kind{"forward-taken", Warning, "", "a program listens on a port that is forwarded, or a forward waits for a port that is in use",
		`A port belongs to one: to a program that listens on it, to another network, or to the forward. The first one has it; a later forward
waits until it is free. One that came first takes connections before a program sees them.`}
	forwarding4Link = Kind{"forwarding4-link", Problem, "", "IPv4 forwarding is off for one interface",
		`Each interface has a forwarding switch of its own for IPv4, for the packets that arrive there. ip_forward writes all of them.`}
	forwarding4Off = Kind{"forwarding4-off", Problem, "", "IPv4 forwarding is off",
		`The host drops what is not for itself. The daemon switches forwarding on when the network starts; configuration tools and hardening scripts
switch it off.`}
	forwarding6Off = Kind{"forwarding6-off", Problem, "", "IPv6 forwarding is off",
		`The host drops IPv6 that is not for itself. One switch counts: net.ipv6.conf.all.forwarding.`}
	guestOutside = Kind{"guest-outside", Warning, "", "a forward targets an address that no guest can have",
		`A forward targets an address that the network's guests cannot have.`}
	guestStopped = Kind{"guest-stopped", Warning, "", "a guest sends what is not its own, and the guard drops it: which guest, and what",
		`On a network with <virbr:guard> a guest sends from its own addresses only, and is neither router nor DHCP server of the others. What it sends
beyond that is dropped and counted. It may be attacked or badly set up, or it has an address or a role that nobody declared.`}
	guestWaiting = Kind{"guest-waiting", Hint, "", "a forward waits for a guest, or another guest is at its address",
		`A forward to a guest by name or MAC address is in force as soon as the guest has an address, and follows it.`}
	hookFailed = Kind{"hook-failed", Problem, "", "the hook or its agent could not apply the extensions: why",
		`The hook or its agent could not do what the network's extensions ask for: another program has the port, another network the address, or
the request makes no sense. All of it is done, or nothing.`}
	hookMissing = Kind{"hook-missing", Problem, "", "a network of libvirt's daemon has extensions, and libvirt does not call virbr's hook",
		`libvirt's own daemon knows nothing of virbr's extensions. It calls the scripts in /etc/libvirt/hooks when networks start and stop, and one of
these must be virbr's.`}
	hookUncalled = Kind{"hook-uncalled", Problem, "", "the hook was not called when the network started",
		`libvirt looks for hook scripts when it starts and when it is reloaded. It does not call a script for networks that ran before the script existed.`}
	inotifyLimit = Kind{"inotify-limit", Warning, Problem, "inotify instances run out, and dnsmasq needs one",
		`dnsmasq watches files by inotify, and so do systemd, file managers and containers. Each user has only so many instances, 128 by default, and
all of root's programs share them.`}
	inputDropped = Kind{"input-dropped", Problem, Warning, "another program's chain drops what guests ask of the host",
		`Guests ask the host itself for addresses (DHCP, ports 67 and 547) and names (DNS, port 53). A chain for input that drops them leaves guests
without.`}
	interfaceWaiting = Kind{"interface-waiting", Hint, "", "a forward waits for the interface that it listens at",
		`A forward that listens at the addresses of an interface is in force while the interface exists and has one.`}
	linkDown = Kind{"link-down", Problem, "", "an interface is switched off",
		`An interface that is switched off (ip link set ... down) passes nothing.`}
	moduleAlone = Kind{"module-alone", Problem, "", "libvirtd has virbr's module, and virbrd does not run",
		`With package virbr-libvirtd a monolithic libvirtd passes every call about networks on to virbrd. Its socket must exist; systemd then starts
virbrd on demand.`}
	moduleOrder = Kind{"module-order", Warning, "", "libvirtd may start without virbrd, or their units exclude each other",
		`libvirtd starts guests with the host, which need their networks: its unit waits for virbrd's socket. And virbrd's unit must not exclude
libvirtd, as it does without package virbr-libvirtd.`}
	moduleRefused = Kind{"module-refused", Warning, Hint, "virbr's module has loaded libvirt's own driver: another version of libvirt; a hint where virbrd.conf says so",
		`virbr's module in the place of libvirtd's network driver serves those versions of libvirt that it knows. With others, or where virbrd.conf
says so, it loads libvirt's own driver, so that the host has networks.`}
	moduleUnloaded = Kind{"module-unloaded", Warning, "", "libvirtd has not been restarted since virbr's module was installed",
		`A program loads its modules when it starts: libvirtd serves networks by the driver that it has until it is restarted.`}
	noRoute4 = Kind{"no-route4", Warning, Hint, "the host has no IPv4 default route",
		`The host sends guests' packets where its own would go. It has no default route.`}
	noRoute6 = Kind{"no-route6", Warning, Hint, "the host has no IPv6 default route; a hint where guests have local prefixes only",
		`The host sends guests' packets where its own would go. It has no default route for IPv6. Local prefixes (ULA) still work among guests.`}
	notStarted = Kind{"not-started", Warning, "", "a network with autostart does not run",
		`Networks with autostart start with the daemon, once after each boot. Where virbrd tried, its reason is shown.`}
	outputDropped = Kind{"output-dropped", Problem, Warning, "another program's chain drops what the host answers its guests",
		`Answers of the host to its guests pass the chains for output.`}
	pidsLimit = Kind{"pids-limit", Warning, Problem, "the host runs out of process numbers",
		`The host has only so many process numbers.`}
	portBlocked = Kind{"port-blocked", Warning, "", "STP has closed a port",
		`The spanning tree protocol closes ports that would make a loop. A guest that bridges two cards, or that speaks the protocol itself, looks like one.`}
	portDown = Kind{"port-down", Warning, "", "a port is switched off",
		`The host's end of a guest's network card is switched off.`}
	portTaken = Kind{"port-taken", Problem, "", "another program has a port that dnsmasq needs: which",
		`Only one program can have a port of an address. A DNS server that listens on all addresses has port 53 of the bridge as well.`}
	prefixUndelegated = Kind{"prefix-undelegated", Warning, "", "no router delegates a prefix for the network, or too little for all: it has a local one instead",
		`A network with advprefix='auto' is to have a prefix that the router of an uplink delegates (DHCPv6). As long as there is none it has a local
prefix, whose addresses the host translates (NAT66): guests reach others, and nobody outside reaches them.`}
	prefixUnrouted = Kind{"prefix-unrouted", Problem, Warning, "the network's prefix is on the host's own link: the provider does not route it to the host, and nobody answers for guests",
		`Some providers do not route a prefix to a host, but take it to be on the link to it: their router asks there for each address (neighbour
discovery). Guests are behind the host, so the host must answer for them, which proxyndp has it do.`}
	resolvLoop = Kind{"resolv-loop", Warning, "", "the host asks the network's own dnsmasq for names",
		`dnsmasq asks the servers of the host's resolv.conf, without itself.`}
	resolvMissing = Kind{"resolv-missing", Problem, "", "dnsmasq knows no server to ask",
		`dnsmasq asks the servers of the host's resolv.conf. There are none.`}
	resolvSilent = Kind{"resolv-silent", Warning, "", "the host's name server is on the host and does not run",
		`resolv.conf names a server on the host itself that does not run.`}
	routeRefused = Kind{"route-refused", Problem, "", "routing rules, or a route that refuses, keep guests' packets from leaving",
		`Routing rules ("ip rule") and routes of the kinds prohibit, unreachable and blackhole refuse packets that the main table has a route for. VPNs
use them as kill switch, and administrators to confine networks.`}
	rpFilter = Kind{"rp-filter", Warning, Problem, "a strict reverse path filter drops what arrives for guests, or what they send",
		`A strict reverse path filter drops what arrives by another interface than the answer would leave by. On a host with two uplinks that is common.`}
	rulesDouble = Kind{"rules-double", Warning, "", "libvirt and virbr both have rules for the bridge",
		`libvirt's daemon and virbrd each have rules of their own; packets pass both.`}
	rulesMissing = Kind{"rules-missing", Problem, "", "the network's own firewall rules are incomplete",
		`The network's rules translate guests' addresses and isolate networks.`}
	rulesUnexamined = Kind{"rules-unexamined", Hint, "", "rules of other programs may drop guests' packets, and doctor does not understand their conditions",
		`doctor follows a packet through the rules of other programs. Some ask for what it does not know: a time, a program that decides. Whether they drop
guests' packets only a trace of the kernel tells.`}
	sctpMissing = Kind{"sctp-missing", Hint, "", "the host itself has no SCTP, and a port of it is forwarded",
		`A program that opens a connection by SCTP needs the protocol itself. Forwarding it needs connection tracking only.`}
	sctpUntracked = Kind{"sctp-untracked", Problem, "", "the kernel cannot forward SCTP",
		`A forward translates addresses, for which the kernel must know the protocol.`}
	startFails = Kind{"start-fails", Warning, "", "a network that is not running would not start: the reason, as the start reports it",
		`A dry run of the network's start, with the host as it is now, ends with the error that the start itself would end with.`}
	subnetClash = Kind{"subnet-clash", Problem, Warning, "another interface has the subnet or a part of it, or another routing table sends it elsewhere",
		`Two interfaces with the same addresses: the kernel uses one of the routes, and guests or hosts behind the other one cannot be reached. VPNs
that connect later do this, and a guest that runs networks of the same default subnet itself.`}
	subnetInside = Kind{"subnet-inside", Hint, "", "the subnet is part of one that the host is in",
		`The network's subnet is part of one that the host is in. The narrower one wins: hosts there with such addresses cannot be reached from this one.`}
	tasksLimit = Kind{"tasks-limit", Warning, Problem, "the control group that dnsmasq is started in runs out of processes",
		`systemd gives each service so many processes and threads (TasksMax). A network's dnsmasq belongs to the service of the daemon that started it.`}
	twoDaemons = Kind{"two-daemons", Warning, "", "virbrd and libvirt's daemon both run",
		`libvirt's daemon and virbrd exclude each other where they use the same places.`}
	ulaUntranslated = Kind{"ula-untranslated", Hint, "", "local IPv6 addresses leave the host untranslated",
		`Unique local addresses (RFC 4193) are not routed in the Internet. Mode nat translates IPv6 only where the definition says so.`}
	uplinkNone = Kind{"uplink-none", Problem, "", "guests are refused in a family: none of the network's uplinks can carry it",
		`A network with uplinks sends its guests' packets by them and by nothing else. An uplink can carry IPv4 or IPv6 while its link is up and the host
has a default route by it in that family. A tunnel without IPv6 means no IPv6.`}
	uplinkSpare = Kind{"uplink-spare", Warning, "", "guests leave by a later uplink, as an earlier one cannot carry them",
		`Of several uplinks the first that can carry a family has it. Guests come back to an earlier one as soon as it can.`}
	zoneLeft = Kind{"zone-left", Warning, "", "firewalld runs, and the bridge is in none of its zones",
		`firewalld sorts interfaces into zones, each with rules of its own. libvirt and virbrd put each bridge into a zone for guests when the network
starts; another program removed it.`}
	zoneMissing = Kind{"zone-missing", Problem, "", "firewalld runs and lacks the zone for guests",
		`libvirt's networks belong into a zone "libvirt" of firewalld, which comes with libvirt. Where it is missing libvirt's daemon refuses to start
networks; virbrd makes a zone of its own.`}
)

// Catalogue lists all kinds of findings, in the order of their IDs.
func Catalogue() []Kind {
	return []Kind{
		acceptRA, addressDuplicate, addressMissing, agentDead, bandwidthOff, brNetfilter, bridgeMissing, checksum, conntrackFull, definitionBroken,
		deviceMissing, dhcpFull, dnsmasqDead, dnsmasqDeaf, dnsmasqMissing, dnsmasqOld, dnsmasqUnpatched, extensionsBroken, filesLimit, forwardDropped,
		forwardTaken, forwarding4Link, forwarding4Off, forwarding6Off, guestOutside, guestStopped, guestWaiting, hookFailed, hookMissing, hookUncalled, inotifyLimit,
		inputDropped, interfaceWaiting, linkDown, moduleAlone, moduleOrder, moduleRefused, moduleUnloaded, noRoute4, noRoute6, notStarted, outputDropped,
		pidsLimit, portBlocked, portDown, portTaken, prefixUndelegated, prefixUnrouted, resolvLoop, resolvMissing, resolvSilent, routeRefused, rpFilter, rulesDouble,
		rulesMissing, rulesUnexamined, sctpMissing, sctpUntracked, startFails, subnetClash, subnetInside, tasksLimit, twoDaemons, ulaUntranslated,
		uplinkNone, uplinkSpare, zoneLeft, zoneMissing,
	}
}

// Table returns the catalogue as a table in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| finding | severity | what is wrong |\n|---|---|---|\n")
	for _, k := range Catalogue() {
		severity := string(k.Severity)
		if k.Also != "" {
			severity += ", " + string(k.Also)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.ID, severity, strings.NewReplacer("<", "`<", ">", ">`", " --version", " `--version`").Replace(k.Summary))
	}
	return b.String()
}
