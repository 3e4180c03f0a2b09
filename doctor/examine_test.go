package doctor_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/xml"
)

var update = flag.Bool("update", false, "write the catalogue into its page")

const definition = `<network><name>default</name><uuid>c0ffee00-0000-4000-8000-000000000001</uuid>
  <metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>EXTENSION</virbr:network></metadata>
  <forward mode='nat'><nat ipv6='yes'/></forward><bridge name='virbr0'/><mac address='52:54:00:00:01:01'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.4'/></dhcp></ip>
  <ip family='ipv6' address='fd00:122::1' prefix='64'/>
</network>`

func define(t *testing.T, text string) *xml.Network {
	t.Helper()
	def, err := xml.ParseNetwork([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// sound is a host in which nothing is in the way.
func sound(t *testing.T) *doctor.Facts {
	t.Helper()
	process := doctor.Process{PID: 812, Name: "dnsmasq"}
	listener := func(proto, address string, port uint16) step.Listener {
		return step.Listener{Proto: proto, Address: netip.MustParseAddr(address), Port: port, Process: process}
	}
	return &doctor.Facts{
		Plan: step.Facts{
			Links:   map[string]step.Link{"virbr0": {Kind: "bridge"}, "eth0": {}, "vnet0": {Master: "virbr0"}},
			Dnsmasq: step.DnsmasqFacts{Path: "/usr/sbin/dnsmasq", Major: 2, Minor: 90},
			Routes: []step.Route{
				{Dest: netip.MustParsePrefix("0.0.0.0/0"), Link: "eth0", Gateway: netip.MustParseAddr("203.0.113.1")},
				{Dest: netip.MustParsePrefix("::/0"), Link: "eth0", Gateway: netip.MustParseAddr("fe80::1")},
				{Dest: netip.MustParsePrefix("192.168.122.0/24"), Link: "virbr0"},
			},
		},
		Links: map[string]doctor.Link{
			"virbr0": {Up: true, STP: "on", Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.122.1/24"), netip.MustParsePrefix("fd00:122::1/64")}},
			"eth0":   {Up: true}, "vnet0": {Up: true, PortState: "forwarding"},
		},
		Sysctls: map[string]string{
			"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", "net/ipv4/conf/all/rp_filter": "0",
			"net/ipv4/conf/virbr0/forwarding": "1", "net/ipv4/conf/eth0/forwarding": "1",
		},
		Listeners: []step.Listener{
			listener("udp", "192.168.122.1", 53), listener("udp", "fd00:122::1", 53), listener("udp", "0.0.0.0", 67),
		},
		Resolv:  doctor.Resolv{Servers: []netip.Addr{netip.MustParseAddr("203.0.113.53")}},
		Daemons: doctor.Daemons{Systemd: true, Virbrd: doctor.Process{PID: 700, Name: "virbrd", Unit: "virbrd.service"}},
		Limits:  []step.Limit{{Kind: step.LimitInotify, Value: 128, Free: 16, Key: "fs/inotify/max_user_instances"}},
		Filters: &coexist.Survey{},
		Checked: 1000,
		Networks: []doctor.Network{{
			Name: "default", Def: define(t, strings.Replace(definition, "EXTENSION", "", 1)), Active: true, Started: doctor.KeeperVirbrd,
			Dnsmasq: process, Rules: doctor.Rules{Own: true}, Checksums: true,
		}},
	}
}

func found(r *doctor.Report) []string {
	list := []string{}
	for _, f := range r.Findings {
		list = append(list, f.ID+" "+string(f.Severity))
	}
	return list
}

func TestSound(t *testing.T) {
	t.Parallel()
	r := doctor.Examine(sound(t))
	if len(r.Findings) > 0 || !r.Well() {
		t.Errorf("findings: %+v", r.Findings)
	}
	for _, s := range append(r.Host, r.Networks[0].Steps...) {
		if s.State != "ok" && s.Name != "forwards" && s.Name != "uplinks" && s.Name != "hook" {
			t.Errorf("step %+v", s)
		}
	}
}

// underLibvirt makes the network one of libvirt's, to which the hook adds.
func underLibvirt(f *doctor.Facts) {
	f.Daemons.Virbrd, f.Daemons.Holder = doctor.Process{}, doctor.Process{PID: 701, Name: "libvirtd", Unit: "libvirtd.service"}
	f.Hook = doctor.Hook{Scripts: []string{"/etc/libvirt/hooks/network.d/50-virbr"}, Agent: doctor.Process{PID: 702, Name: "virbrd"}}
	n := &f.Networks[0]
	n.Started, n.Extended, n.Rules = doctor.KeeperLibvirt, true, doctor.Rules{Libvirt: true}
}

// withModule makes the host one whose libvirtd has virbr's module.
func withModule(f *doctor.Facts) {
	f.Libvirt = doctor.Libvirt{
		Monolithic: true, Module: "/m/libvirt_driver_network.so", Original: "/m/libvirt_driver_network.so.distrib",
		Libvirtd: doctor.Process{PID: 703, Name: "libvirtd", Unit: "libvirtd.service"}, Loaded: true, Listens: true, Ordered: true,
	}
}

// TestChoose is the decision table of docs/migrating.md.
func TestChoose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		change     func(f *doctor.Facts)
		fits, uses doctor.Way
	}{
		{"Debian", func(f *doctor.Facts) { f.Libvirt = doctor.Libvirt{Monolithic: true, Module: "/m"} }, doctor.WayModule, doctor.WayNone},
		{"Debian with the hook", func(f *doctor.Facts) { f.Libvirt.Monolithic, f.Hook.Scripts = true, []string{"/h"} }, doctor.WayModule, doctor.WayHook},
		{"Debian with virbr-libvirtd", withModule, doctor.WayModule, doctor.WayModule},
		{"Fedora", func(f *doctor.Facts) { f.Libvirt.Modular, f.Libvirt.Monolithic = true, true }, doctor.WaySocket, doctor.WayNone},
		{"Fedora with virbrd", func(f *doctor.Facts) {
			f.Libvirt.Modular, f.Daemons.Virbrd = true, doctor.Process{PID: 1, Name: "virbrd"}
		}, doctor.WaySocket, doctor.WaySocket},
		{"no libvirt", func(*doctor.Facts) {}, doctor.WaySocket, doctor.WayNone},
	} {
		f := sound(t)
		f.Daemons.Virbrd = doctor.Process{}
		c.change(f)
		got := doctor.Choose(f)
		if got.Fits != c.fits || got.Uses != c.uses || (got.How == "") != (got.Fits == got.Uses) || got.Why == "" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// TestFindings is about what no test can inject into a kernel at will; the rest is
// in tests/e2e.
func TestFindings(t *testing.T) {
	t.Parallel()
	extend := func(t *testing.T, f *doctor.Facts, text string) {
		f.Networks[0].Def = define(t, strings.Replace(definition, "EXTENSION", text, 1))
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, f *doctor.Facts)
		want   []string
		mend   string
	}{
		{"conntrack full", func(_ *testing.T, f *doctor.Facts) {
			f.Limits = append(f.Limits, step.Limit{Kind: step.LimitConnections, Value: 1000, Key: "net/netfilter/nf_conntrack_max"})
		}, []string{"conntrack-full problem"}, "sysctl -w net/netfilter/nf_conntrack_max=2000"},
		{"inotify nearly used up", func(_ *testing.T, f *doctor.Facts) { f.Limits[0].Free = 3 }, []string{"inotify-limit warning"}, "sysctl -w fs/inotify/max_user_instances=1024"},
		{"old dnsmasq", func(_ *testing.T, f *doctor.Facts) { f.Plan.Dnsmasq.Minor = 66 }, []string{"dnsmasq-old problem"}, "apt-get install --only-upgrade"},
		{"dnsmasq without a fix", func(_ *testing.T, f *doctor.Facts) {
			f.DnsmasqPackage = doctor.Package{Name: "dnsmasq-base", Version: "2.90-4~deb12u1"}
		}, []string{"dnsmasq-unpatched warning"}, "apt-get install --only-upgrade"},
		{"no dnsmasq", func(_ *testing.T, f *doctor.Facts) { f.Plan.Dnsmasq.Path, f.Networks[0].Dnsmasq = "", doctor.Process{} }, []string{"dnsmasq-missing problem"}, "apt-get install dnsmasq-base"},
		{"two daemons", func(_ *testing.T, f *doctor.Facts) {
			f.Daemons.Holder = doctor.Process{PID: 701, Name: "libvirtd", Unit: "libvirtd.service"}
		}, []string{"two-daemons warning"}, "systemctl stop libvirtd.service"},
		{"libvirtd not restarted", func(_ *testing.T, f *doctor.Facts) { withModule(f); f.Libvirt.Loaded, f.Libvirt.Beside = false, true }, []string{"module-unloaded warning"}, "systemctl stop libvirtd.service && systemctl start virbrd.socket"},
		{"an unknown libvirt", func(_ *testing.T, f *doctor.Facts) { withModule(f); f.Libvirt.Beside = true }, []string{"module-refused warning"}, "apt-get install --only-upgrade virbr virbr-libvirtd"},
		{"module disabled", func(_ *testing.T, f *doctor.Facts) { withModule(f); f.Libvirt.Beside, f.Libvirt.Disabled = true, true }, []string{"module-refused hint"}, "sed -i"},
		{"module without virbrd", func(_ *testing.T, f *doctor.Facts) {
			withModule(f)
			f.Daemons.Virbrd, f.Libvirt.Listens = doctor.Process{}, false
		}, []string{"module-alone problem"}, "systemctl enable --now virbrd.socket"},
		{"units in any order", func(_ *testing.T, f *doctor.Facts) { withModule(f); f.Libvirt.Ordered = false }, []string{"module-order warning"}, "apt-get install --reinstall virbr-libvirtd"},
		{"units that exclude each other", func(_ *testing.T, f *doctor.Facts) { withModule(f); f.Libvirt.Excluded = true }, []string{"module-order warning"}, "apt-get install --reinstall virbr-libvirtd"},
		{"module in use", func(_ *testing.T, f *doctor.Facts) { withModule(f) }, []string{}, ""},
		{"dnsmasq dead under systemd", func(_ *testing.T, f *doctor.Facts) { f.Networks[0].Dnsmasq, f.Listeners = doctor.Process{}, nil }, []string{"dnsmasq-dead problem"}, "systemctl reload virbrd.service"},
		{"virbrd dead too", func(_ *testing.T, f *doctor.Facts) {
			f.Networks[0].Dnsmasq, f.Daemons.Virbrd, f.Listeners = doctor.Process{}, doctor.Process{}, nil
		}, []string{"dnsmasq-dead problem"}, "systemctl start virbrd.service"},
		{"DHCP full", func(_ *testing.T, f *doctor.Facts) {
			for _, a := range []string{"192.168.122.2", "192.168.122.3", "192.168.122.4"} {
				f.Networks[0].Leases = append(f.Networks[0].Leases, dnsmasq.Entry{Address: a, MAC: "52:54:00:00:00:01", Expiry: 1001})
			}
		}, []string{"dhcp-full warning"}, "virsh -c network:///system net-edit default"},
		{"DHCP was full", func(_ *testing.T, f *doctor.Facts) {
			for _, a := range []string{"192.168.122.2", "192.168.122.3", "192.168.122.4"} {
				f.Networks[0].Leases = append(f.Networks[0].Leases, dnsmasq.Entry{Address: a, MAC: "52:54:00:00:00:01", Expiry: 999})
			}
		}, []string{}, ""},
		{"routes from advertisements", func(_ *testing.T, f *doctor.Facts) {
			f.Plan.Routes[1].FromRA, f.Plan.AcceptRA = true, map[string]int{"eth0": 1}
		}, []string{"accept-ra warning"}, "sysctl -w net/ipv6/conf/eth0/accept_ra=2"},
		{"a port closed by STP", func(_ *testing.T, f *doctor.Facts) { f.Links["vnet0"] = doctor.Link{Up: true, PortState: "blocking"} }, []string{"port-blocked warning"}, "ip link set virbr0 type bridge stp_state 0"},
		{"a duplicate address", func(_ *testing.T, f *doctor.Facts) {
			l := f.Links["virbr0"]
			l.Duplicate = []netip.Addr{netip.MustParseAddr("fd00:122::1")}
			f.Links["virbr0"] = l
		}, []string{"address-duplicate problem"}, "ip addr del fd00:122::1/64 dev virbr0 && ip addr add fd00:122::1/64 dev virbr0 nodad"},
		{"rules of both", func(_ *testing.T, f *doctor.Facts) { f.Networks[0].Rules.Libvirt = true }, []string{"rules-double warning"}, "systemctl restart virbrd.service"},
		{"no module for checksums", func(_ *testing.T, f *doctor.Facts) { f.Networks[0].Checksums = false }, []string{"checksum hint"}, ""},
		{"a module for checksums", func(_ *testing.T, f *doctor.Facts) {
			f.Networks[0].Checksums, f.Modules = false, map[string]doctor.Module{"act_csum": doctor.ModuleAvailable}
		}, []string{"checksum hint"}, "modprobe act_csum && { systemctl restart virbrd.service; }"},
		{"a wider subnet on link", func(_ *testing.T, f *doctor.Facts) {
			f.Plan.Routes = append(f.Plan.Routes, step.Route{Dest: netip.MustParsePrefix("192.168.0.0/16"), Link: "eth0"})
		}, []string{"subnet-inside hint"}, ""},
		{"a prefix on the provider's link", func(_ *testing.T, f *doctor.Facts) {
			f.Networks[0].Def.Advertise = &xml.Advertise{Prefix: "2001:db8:31::/64"}
			l := f.Links["virbr0"]
			l.Addresses = append(l.Addresses, netip.MustParsePrefix("2001:db8:31::1/64"))
			f.Links["virbr0"] = l
			for addr, port := range map[string]uint16{"2001:db8:31::1": 53, "::": 547} {
				l := f.Listeners[0]
				l.Address, l.Port = netip.MustParseAddr(addr), port
				f.Listeners = append(f.Listeners, l)
			}
			f.Plan.Routes = append(f.Plan.Routes, step.Route{Dest: netip.MustParsePrefix("2001:db8:31::/64"), Link: "eth0"})
		}, []string{"prefix-unrouted problem"}, "virsh -c network:///system net-edit default"},
		{"a wider route by a gateway", func(_ *testing.T, f *doctor.Facts) {
			f.Plan.Routes = append(f.Plan.Routes, step.Route{Dest: netip.MustParsePrefix("192.168.0.0/16"), Link: "eth0", Gateway: netip.MustParseAddr("203.0.113.9")})
		}, []string{}, ""},
		{"not translated", func(t *testing.T, f *doctor.Facts) {
			f.Networks[0].Def = define(t, strings.Replace(strings.Replace(definition, "EXTENSION", "", 1), "<nat ipv6='yes'/>", "", 1))
		}, []string{"ula-untranslated hint"}, ""},
		{"a guest that is awaited", func(t *testing.T, f *doctor.Facts) {
			extend(t, f, "<virbr:portForward proto='tcp' guest='web1'><virbr:range start='80'/></virbr:portForward>")
		}, []string{"guest-waiting hint"}, ""},
		{"a guest that is there, and a port that is taken", func(t *testing.T, f *doctor.Facts) {
			extend(t, f, "<virbr:portForward proto='tcp' guest='WEB1'><virbr:range start='80'/></virbr:portForward>")
			f.Networks[0].Leases = []dnsmasq.Entry{{Address: "192.168.122.3", MAC: "52:54:00:00:00:01", Hostname: "web1"}}
			f.Listeners = append(f.Listeners, step.Listener{Proto: "tcp", Address: netip.IPv6Unspecified(), Both: true, Port: 80, Process: doctor.Process{PID: 90, Name: "nginx", Unit: "nginx.service"}})
		}, []string{"forward-taken warning"}, "systemctl stop nginx.service"},
		{"what virbrd says of forwards", func(t *testing.T, f *doctor.Facts) {
			extend(t, f, "<virbr:portForward proto='tcp' guest='web'><virbr:range start='80'/></virbr:portForward>"+
				"<virbr:portForward proto='tcp' dev='eth9' guest='web'><virbr:range start='81'/></virbr:portForward>"+
				"<virbr:portForward proto='tcp' guest='db'><virbr:range start='82'/></virbr:portForward>")
			ext, err := f.Networks[0].Def.Extensions()
			if err != nil {
				t.Fatal(err)
			}
			at := []netip.Addr{netip.MustParseAddr("192.168.122.3")} // of which no lease tells
			f.Networks[0].Resolutions = &doctor.Resolutions{Forwards: []doctor.Resolved{
				{XML: ext.Forwards[0].XML(), Active: true, Addresses: at},
				{XML: ext.Forwards[1].XML(), Addresses: at, Reason: "waiting for interface eth9, which is not there"},
				{XML: ext.Forwards[2].XML(), Reason: "taken by network 'b', tried again every 15 seconds"},
			}}
		}, []string{"interface-waiting hint", "forward-taken warning"}, "virbr forward list default"},
		{"an uplink that cannot carry, one that comes later, and a family that none can carry", func(t *testing.T, f *doctor.Facts) {
			extend(t, f, "<virbr:uplink dev='wg0'/><virbr:uplink dev='eth1'/>")
			ext, err := f.Networks[0].Def.Extensions()
			if err != nil {
				t.Fatal(err)
			}
			wg0, eth1 := ext.Uplinks[0].XML(), ext.Uplinks[1].XML()
			f.Networks[0].Resolutions = &doctor.Resolutions{Uplinks: []doctor.Uplink{
				{XML: wg0, Reason: "link wg0 is down, or has no carrier"}, {XML: wg0, IPv6: true, Reason: "link wg0 is down, or has no carrier"},
				{XML: eth1, Used: true, Since: 1}, {XML: eth1, IPv6: true, Reason: "there is no IPv6 default route by eth1"},
			}}
		}, []string{"uplink-spare warning", "uplink-none problem"}, "virbr uplink list default"},
		{"a guest by its name in full", func(t *testing.T, f *doctor.Facts) {
			f.Networks[0].Def = define(t, strings.Replace(strings.Replace(definition, "EXTENSION",
				"<virbr:portForward proto='tcp' guest='WEB1.lab.test'><virbr:range start='80'/></virbr:portForward>", 1), "<bridge", "<domain name='lab.test'/><bridge", 1))
			f.Networks[0].Leases = []dnsmasq.Entry{{Address: "192.168.122.3", MAC: "52:54:00:00:00:01", Hostname: "web1"}}
		}, []string{}, ""},
		{"a guest that cannot be", func(t *testing.T, f *doctor.Facts) {
			extend(t, f, "<virbr:portForward proto='tcp' guest='10.1.2.3'><virbr:range start='80'/></virbr:portForward>")
		}, []string{"guest-outside warning"}, ""},
		{"extensions that cannot be read", func(t *testing.T, f *doctor.Facts) { extend(t, f, "<virbr:gate/>") }, []string{"extensions-broken problem"}, ""},
		{"a definition that is not accepted", func(_ *testing.T, f *doctor.Facts) {
			f.Networks[0].Def.Fault = &xml.Fault{Reasons: []error{errors.New("invalid char in domain name")}}
		}, []string{"definition-broken problem"}, "virsh -c network:///system net-edit default"},
		{"a broken definition", func(_ *testing.T, f *doctor.Facts) { f.Networks[0].Def, f.Networks[0].Unread = nil, "line 3" }, []string{"definition-broken problem"}, "virbr check /etc/libvirt/qemu/networks/default.xml"},
		{"a device that is gone", func(t *testing.T, f *doctor.Facts) {
			f.Networks[0].Def = define(t, "<network><name>default</name><forward mode='nat' dev='eth7'/><bridge name='virbr0'/><ip address='192.168.122.1' netmask='255.255.255.0'/></network>")
		}, []string{"device-missing problem"}, ""},
		{"a control group that is full", func(_ *testing.T, f *doctor.Facts) {
			f.Limits[0] = step.Limit{Kind: step.LimitTasks, Value: 100, Free: 3, Key: "/sys/fs/cgroup/system.slice/virbrd.service/pids.max"}
		}, []string{"tasks-limit warning"}, "systemctl set-property virbrd.service TasksMax=1024"},
		{"a control group without systemd", func(_ *testing.T, f *doctor.Facts) {
			f.Daemons.Systemd = false
			f.Limits[0] = step.Limit{Kind: step.LimitTasks, Value: 1000, Key: "/sys/fs/cgroup/a b/pids.max"}
		}, []string{"tasks-limit problem"}, "echo 2000 > '/sys/fs/cgroup/a b/pids.max'"},
		{"no SCTP in the kernel's conntrack", func(t *testing.T, f *doctor.Facts) {
			extend(t, f, "<virbr:portForward proto='sctp' guest='192.168.122.3'><virbr:range start='80'/></virbr:portForward>")
			f.Sysctls["net/netfilter/nf_conntrack_max"] = "1"
		}, []string{"sctp-untracked problem"}, ""},
		{"SCTP that is not loaded", func(t *testing.T, f *doctor.Facts) {
			extend(t, f, "<virbr:portForward proto='sctp' guest='192.168.122.3'><virbr:range start='80'/></virbr:portForward>")
			f.Modules = map[string]doctor.Module{"sctp": doctor.ModuleAvailable}
		}, []string{"sctp-missing hint"}, "modprobe sctp"},
		{"no SCTP", func(t *testing.T, f *doctor.Facts) {
			extend(t, f, "<virbr:portForward proto='sctp' guest='192.168.122.3'><virbr:range start='80'/></virbr:portForward>")
			f.Modules = map[string]doctor.Module{"sctp": doctor.ModuleAbsent}
		}, []string{"sctp-missing hint"}, ""},
		{"a zone that is missing", func(_ *testing.T, f *doctor.Facts) {
			f.Firewalld = &doctor.Firewalld{Zones: []string{"public"}, Links: map[string]string{"virbr0": ""}}
		}, []string{"zone-missing problem"}, "firewall-cmd --permanent --new-zone=libvirt && "},
		{"an agent that runs", func(t *testing.T, f *doctor.Facts) {
			underLibvirt(f)
			f.Networks[0].Added = &plan.Report{From: "metadata"}
			f.Networks[0].Rules = doctor.Rules{Own: true, Libvirt: true}
		}, []string{}, ""},
		{"an agent that is dead, after it failed", func(t *testing.T, f *doctor.Facts) {
			underLibvirt(f)
			f.Networks[0].Added = &plan.Report{From: "metadata", Error: "port 80 belongs to nginx (pid 7)"}
			f.Hook.Agent = doctor.Process{}
		}, []string{"hook-failed problem", "agent-dead warning"}, "virbrd hook --apply default"},
		{"a hook that was not called", func(_ *testing.T, f *doctor.Facts) { underLibvirt(f) }, []string{"hook-uncalled problem"}, "virbrd hook --apply default"},
		{"no hook", func(_ *testing.T, f *doctor.Facts) {
			underLibvirt(f)
			f.Hook = doctor.Hook{}
		}, []string{"hook-missing problem"}, "virbrd hook --install"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := sound(t)
			c.change(t, f)
			r := doctor.Examine(f)
			if diff := cmp.Diff(c.want, found(r)); diff != "" {
				t.Fatalf("findings (-want +got):\n%s", diff)
			}
			if len(c.want) > 0 && !strings.HasPrefix(r.Findings[0].Mend, c.mend) {
				t.Errorf("mended by %q, want %q", r.Findings[0].Mend, c.mend)
			}
		})
	}
}

// TestNotRunning: what keeps a network from starting is told before anybody tries.
func TestNotRunning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(f *doctor.Facts)
		want   []string
		seen   string
	}{
		{"nothing", func(*doctor.Facts) {}, []string{}, ""},
		{"nothing, and it should run", func(f *doctor.Facts) { f.Networks[0].Autostart = true }, []string{"not-started warning"}, ""},
		{"nothing now, and the last start failed", func(f *doctor.Facts) {
			f.Networks[0].Autostart, f.Networks[0].Failed = true, "virbrd, 2026-11-29 15:00: no free subnet"
		}, []string{"not-started warning"}, "no free subnet"},
		{"port 53 taken", func(f *doctor.Facts) {
			f.Listeners = []step.Listener{{Proto: "udp", Address: netip.IPv4Unspecified(), Port: 53, Process: doctor.Process{PID: 7, Name: "named"}}}
			f.Networks[0].Autostart = true
		}, []string{"port-taken problem"}, "DNS port 53 of 192.168.122.1 is taken by named (pid 7)"},
		{"the bridge's name in use", func(f *doctor.Facts) { f.Plan.Links["virbr0"] = step.Link{Kind: "veth"} }, []string{"start-fails warning"},
			"error creating bridge interface virbr0: File exists"},
		{"the subnet in use", func(f *doctor.Facts) { f.Plan.Routes[2].Link = "eth0" }, []string{"subnet-clash warning"}, "Network is already in use by interface eth0"},
		{"a part of the subnet elsewhere", func(f *doctor.Facts) {
			f.Plan.Routes[2] = step.Route{Dest: netip.MustParsePrefix("192.168.122.128/25"), Link: "eth0"}
		}, []string{"subnet-clash hint"}, ""},
		{"resolv.conf leads nowhere", func(f *doctor.Facts) { f.Resolv = doctor.Resolv{Missing: true, Target: "/run/nowhere"} }, []string{"resolv-missing problem"},
			"/run/nowhere"},
		{"no dnsmasq", func(f *doctor.Facts) { f.Plan.Dnsmasq.Path = "" }, []string{"dnsmasq-missing problem"}, ""},
		{"routes from advertisements", func(f *doctor.Facts) {
			f.Plan.Routes[1].FromRA, f.Plan.AcceptRA = true, map[string]int{"eth0": 1}
		}, []string{"start-fails warning"}, "Check the host setup: interface eth0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := sound(t)
			f.Networks[0].Active, f.Networks[0].Dnsmasq, f.Listeners = false, doctor.Process{}, nil
			delete(f.Plan.Links, "virbr0")
			f.Plan.Routes[2].Link = "virbr0"
			c.change(f)
			r := doctor.Examine(f)
			if diff := cmp.Diff(c.want, found(r)); diff != "" {
				t.Fatalf("findings (-want +got):\n%s", diff)
			}
			if text := fmt.Sprintf("%+v", r.Findings); !strings.Contains(text, c.seen) {
				t.Errorf("%q is not in %s", c.seen, text)
			}
		})
	}
}

// TestQuotes: names of others do not become part of a shell's grammar.
func TestQuotes(t *testing.T) {
	t.Parallel()
	f := sound(t)
	f.Networks[0].Name = "a'; rm -rf / #"
	f.Networks[0].Active, f.Networks[0].Autostart = false, true
	f.Listeners = nil
	delete(f.Plan.Links, "virbr0")
	r := doctor.Examine(f)
	if got, want := r.Findings[0].Mend, `virsh -c network:///system net-start 'a'\''; rm -rf / #'`; got != want {
		t.Errorf("mended by %s, want %s", got, want)
	}
}

// TestCatalogue: every kind of the source is in the catalogue once, sorted, and some code
// tells of it; and the page prints the catalogue.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	source := ""
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, "_test.go") {
			source += string(text)
		}
	}
	made := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+) += Kind\{"([a-z0-9-]+)", `).FindAllStringSubmatch(source, -1) {
		made[m[2]] = true
		if n := len(regexp.MustCompile(`\b`+m[1]+`\b`).FindAllString(source, -1)); n < 3 {
			t.Errorf("nothing tells of %s", m[2])
		}
	}
	var listed []string
	for _, k := range doctor.Catalogue() {
		listed = append(listed, k.ID)
		if k.Severity == "" || k.Summary == "" || k.Meaning == "" {
			t.Errorf("%s is not explained", k.ID)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(made)), listed); diff != "" {
		t.Errorf("kinds of the source (-) and the catalogue (+):\n%s", diff)
	}
	const page, begin, end = "../docs/doctor.md", "<!-- the catalogue of package doctor: go test ./doctor -run Catalogue -update -->\n\n", "\n## JSON"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the catalogue", page)
	}
	if want := head + begin + doctor.Table() + end + tail; want != string(text) {
		if !*update {
			t.Fatalf("%s is not what the catalogue prints (-update): %s", page, cmp.Diff(want, string(text)))
		}
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJSON: lists are lists, also empty ones.
func TestJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(doctor.Examine(&doctor.Facts{Filters: &coexist.Survey{}}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"version":1`, `"networks":[]`, `"findings":[]`, `"unchecked":[]`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}
