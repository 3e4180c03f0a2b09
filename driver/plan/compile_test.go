package plan_test

import (
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// places are where libvirt keeps its files.
var places = plan.Dirs{Run: "/run/libvirt/network", Dnsmasq: "/var/lib/libvirt/dnsmasq"}

// quiet is a host with dnsmasq where nothing is in the way.
func quiet() step.Facts {
	return step.Facts{Dnsmasq: step.DnsmasqFacts{Path: "/usr/sbin/dnsmasq", Major: 2, Minor: 90}}
}

// parse reads a network of the given elements.
func parse(t testing.TB, elements string) *xml.Network {
	t.Helper()
	def, err := xml.ParseNetwork([]byte("<network><name>net</name>" + elements + "</network>"))
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func compile(t *testing.T, def *xml.Network) *plan.Plan {
	t.Helper()
	p, err := plan.Compile(def, nil, quiet(), places)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// corpus returns the definitions of the golden cases that have a plan.
func corpus(t *testing.T) map[string]*xml.Network {
	t.Helper()
	files, err := filepath.Glob("../../tests/corpus/conf-*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	defs := make(map[string]*xml.Network)
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		def, err := xml.ParseNetwork(archive.Files[0].Data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		defs[strings.TrimSuffix(filepath.Base(file), ".txtar")] = def
	}
	return defs
}

// TestStepsOfAStart: what each step of a network with everything says for its
// failure, whether the start goes on then, and what takes it back. The lines
// themselves are goldens, see tests/corpus.
func TestStepsOfAStart(t *testing.T) {
	t.Parallel()
	def := parse(t, `
<forward mode='nat'/>
<bridge name='virbr0' macTableManager='libvirt' delay='3'/>
<mtu size='1400'/>
<domain name='a.test' localOnly='yes' register='yes'/>
<bandwidth><inbound average='10'/></bandwidth>
<ip address='10.1.0.1' prefix='24'><dhcp><range start='10.1.0.2' end='10.1.0.9'/></dhcp></ip>
<ip family='ipv6' address='fd00::1' prefix='64'/>
<route address='10.2.0.0' prefix='16' gateway='10.1.0.2'/>`)
	type row struct{ do, fail, undo string }
	want := []row{
		{"link add virbr0 type bridge", "error creating bridge interface virbr0", "link delete virbr0"},
		{"link set virbr0 mtu 1400", "Cannot set interface MTU on 'virbr0'", ""},
		{"bridge set virbr0 forward_delay 300", "Unable to set bridge virbr0 forward_delay", ""},
		{"bridge set virbr0 stp_state 1", "Unable to set bridge virbr0 stp_state", ""},
		{"sysctl net/ipv6/conf/virbr0/disable_ipv6 = 0 (if present)", "cannot write to '/proc/sys/net/ipv6/conf/virbr0/disable_ipv6' on bridge 'virbr0'", ""},
		{"sysctl net/ipv6/conf/virbr0/accept_ra = 0 (if present)", "cannot write to '/proc/sys/net/ipv6/conf/virbr0/accept_ra' on bridge 'virbr0'", ""},
		{"sysctl net/ipv6/conf/virbr0/autoconf = 0 (if present)", "cannot write to '/proc/sys/net/ipv6/conf/virbr0/autoconf' on bridge 'virbr0'", ""},
		{"address add 10.1.0.1/24 broadcast 10.1.0.255 dev virbr0", "Failed to add IP address 10.1.0.1/24 bcast 10.1.0.255 to virbr0", ""},
		{"address add fd00::1/64 nodad dev virbr0", "Failed to add IP address fd00::1/64 to virbr0", ""},
		{"bridge set virbr0 vlan_filtering 1", "Unable to set bridge virbr0 vlan_filtering via ioctl", ""},
		{"link set virbr0 up", "Cannot set interface flags on 'virbr0'", "link set virbr0 down"},
		{"route add 10.2.0.0/16 via 10.1.0.2 dev virbr0 metric 1 (tolerated)", "", ""},
		{"sysctl net/ipv4/ip_forward = 1", "failed to enable IP forwarding", ""},
		{"sysctl net/ipv6/conf/all/forwarding = 1", "failed to enable IP forwarding", ""},
		{"routing keep virbr0 for 10.1.0.0/24 fd00::/64 (tolerated)", "", "routing forget virbr0"},
		{"file write /var/lib/libvirt/dnsmasq/net.conf mode 0600", "", ""},
		{"file write /var/lib/libvirt/dnsmasq/net.hostsfile mode 0644", "", ""},
		{"file write /var/lib/libvirt/dnsmasq/net.addnhosts mode 0644", "", ""},
		{"dnsmasq start virbr0 conf /var/lib/libvirt/dnsmasq/net.conf pid /run/libvirt/network/net.pid", "", "dnsmasq stop /run/libvirt/network/net.pid"},
		{"zone set virbr0 libvirt (if firewalld runs)", "", "zone unset virbr0"},
		{"firewall install virbr0 (leave_virbr0 enter_virbr0 nat4_virbr0 ingress_virbr0)", "", "firewall remove virbr0"},
		{"firewall of others: accept virbr0 (tolerated)", "", "firewall of others: forget virbr0"},
		{"checksums fill virbr0 (tolerated)", "", "checksums leave virbr0"},
		{"dnsmasq await /run/libvirt/network/net.pid", "", ""},
		{"resolved register a.test server 10.1.0.1 dev virbr0", "", ""},
		{"shape virbr0 inbound average 10", "", "unshape virbr0"},
	}
	var got []row
	for _, s := range compile(t, def).Steps {
		r := row{do: s.Do.String(), fail: s.Fail}
		if w, ok := s.Do.(step.WriteFile); ok {
			r.do = strings.Split(w.String(), " (")[0]
		}
		if s.Tolerate {
			r.do += " (tolerated)"
		}
		if s.Undo != nil {
			r.undo = s.Undo.String()
		}
		got = append(got, r)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

const dhcp = "<ip address='10.1.0.1' prefix='24'><dhcp><range start='10.1.0.2' end='10.1.0.9'/></dhcp></ip>"

func TestStartIsRefused(t *testing.T) {
	t.Parallel()
	const (
		bridge = "<bridge name='virbr0'/>"
		nat    = "<forward mode='nat'/>" + bridge
		six    = "<ip family='ipv6' address='fd00::1' prefix='64'/>"
		static = "<route address='10.2.0.0' prefix='16' gateway='10.1.0.2'/>"
		check  = "Check the host setup: interface eth0 has kernel autoconfigured IPv6 routes and enabling forwarding without accept_ra set to 2 will cause the kernel to flush them, breaking networking."
	)
	route := func(dest, link string) step.Route { return step.Route{Dest: netip.MustParsePrefix(dest), Link: link} }
	ra := step.Route{Dest: netip.MustParsePrefix("::/0"), Link: "eth0", FromRA: true}
	for _, tt := range []struct {
		name, elements string
		facts          func(*step.Facts)
		kind           plan.Kind
		msg            string // "": not refused
	}{
		{"same subnet", nat + dhcp, func(f *step.Facts) { f.Routes = []step.Route{route("10.1.0.0/24", "eth0")} }, plan.KindInternal, "Network is already in use by interface eth0"},
		{"larger subnet", nat + dhcp, func(f *step.Facts) { f.Routes = []step.Route{route("10.1.0.0/16", "eth0")} }, 0, ""},
		{"smaller subnet", nat + dhcp, func(f *step.Facts) { f.Routes = []step.Route{route("10.1.0.0/25", "eth0")} }, 0, ""},
		{"own bridge", nat + dhcp, func(f *step.Facts) { f.Routes = []step.Route{route("10.1.0.0/24", "virbr0")} }, 0, ""},
		{"same IPv6 subnet", nat + six, func(f *step.Facts) { f.Routes = []step.Route{route("fd00::/64", "eth0")} }, 0, ""},
		{"clash of a static route", nat + dhcp + static, func(f *step.Facts) { f.Routes = []step.Route{route("10.2.0.0/16", "eth0")} }, plan.KindInternal,
			"Route address '10.2.0.0' conflicts with IP address for 'eth0'"},
		{"RA routes and accept_ra 1", nat + six, func(f *step.Facts) { f.Routes = []step.Route{ra}; f.AcceptRA = map[string]int{"eth0": 1} }, plan.KindInternal, check},
		{"RA routes and accept_ra 1 for all", nat + six, func(f *step.Facts) { f.Routes = []step.Route{ra}; f.AcceptRA = map[string]int{"eth0": 0, "all": 1} }, plan.KindInternal, check},
		{"RA routes and accept_ra 2", nat + six, func(f *step.Facts) { f.Routes = []step.Route{ra}; f.AcceptRA = map[string]int{"eth0": 2, "all": 1} }, 0, ""},
		{"RA routes and no IPv6 address", nat + dhcp, func(f *step.Facts) { f.Routes = []step.Route{ra}; f.AcceptRA = map[string]int{"eth0": 1} }, 0, ""},
		{"RA routes and an isolated network", bridge + six, func(f *step.Facts) { f.Routes = []step.Route{ra}; f.AcceptRA = map[string]int{"eth0": 1} }, 0, ""},
		{"no bridge name", "", nil, plan.KindInternal, "network 'net' has no bridge name defined"},
		{"no dnsmasq", nat + dhcp, func(f *step.Facts) { f.Dnsmasq = step.DnsmasqFacts{} }, plan.KindSystem, "Unable to find 'dnsmasq' binary in $PATH: No such file or directory"},
		{"no dnsmasq, none wanted", bridge, func(f *step.Facts) { f.Dnsmasq = step.DnsmasqFacts{} }, 0, ""},
		{"old dnsmasq", nat + dhcp, func(f *step.Facts) { f.Dnsmasq.Minor = 66 }, plan.KindUnsupported, "dnsmasq version >= 2.67 required but 2.66 found"},
		{"oldest dnsmasq", nat + dhcp, func(f *step.Facts) { f.Dnsmasq.Minor = 67 }, 0, ""},
		{"dnsmasq of another age", nat + dhcp, func(f *step.Facts) { f.Dnsmasq.Major, f.Dnsmasq.Minor = 3, 0 }, 0, ""},
		{"netmask with holes", bridge + "<ip address='10.1.0.1' netmask='255.0.255.0'/>", nil, plan.KindInternal, "bridge 'virbr0' has an invalid netmask or IP address"},
		{"no such physical function", "<forward mode='hostdev'><pf dev='eth9'/></forward>", nil, plan.KindInternal, "No usable Vf's present on SRIOV PF eth9"},
		{"physical function without functions", "<forward mode='passthrough'><pf dev='eth9'/></forward>", func(f *step.Facts) {
			f.VFs = map[string][]step.VF{"eth9": {{PCI: xml.PCIAddress{Bus: 1}}}}
		}, plan.KindInternal, "No usable Vf's present on SRIOV PF eth9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			facts := quiet()
			if tt.facts != nil {
				tt.facts(&facts)
			}
			_, err := plan.Compile(parse(t, tt.elements), nil, facts, places)
			if tt.msg == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if pe, ok := errors.AsType[*plan.Error](err); !ok || pe.Kind != tt.kind || pe.Msg != tt.msg {
				t.Errorf("got %#v, want kind %d, %q", err, tt.kind, tt.msg)
			}
		})
	}
}

// TestHostileBridgeNames: no definition, wherever it came from, makes a plan
// with a path out of /proc/sys/net.
func TestHostileBridgeNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"..", ".", "a/b", "a b", "a\nb", "a:b", "abcdefghijklmnop", "a\x7f"} {
		for _, mode := range []xml.ForwardMode{xml.ForwardNone, xml.ForwardOpen, xml.ForwardBridge} {
			def := &xml.Network{Name: "net", Forward: xml.Forward{Mode: mode}, Bridge: xml.Bridge{Name: name}}
			if name == "a:b" && mode == xml.ForwardBridge {
				continue // an alias of somebody's bridge
			}
			if p, err := plan.Compile(def, nil, quiet(), places); err == nil {
				t.Errorf("mode %d accepts %q:\n%s", mode, name, p)
			}
		}
	}
}

func TestPreexistingBridgeIsNeverOurs(t *testing.T) {
	t.Parallel()
	p := compile(t, parse(t, "<forward mode='bridge'/><bridge name='br0' macTableManager='libvirt'/><bandwidth><outbound average='1'/></bandwidth>"))
	for _, s := range p.Steps {
		for _, op := range []step.Op{s.Do, s.Undo} {
			switch op.(type) {
			case step.AddBridge, step.DelLink, step.SetDown, step.DelRules:
				t.Errorf("step %q of a bridge that others made", op)
			}
		}
	}
	for _, op := range plan.Stop(parse(t, "<forward mode='bridge'/><bridge name='br0'/>"), nil, places) {
		t.Errorf("%q stops a bridge that others made", op)
	}
}

func TestWithoutIPv6(t *testing.T) {
	t.Parallel()
	facts := quiet()
	facts.NoIPv6 = true
	p, err := plan.Compile(parse(t, "<forward mode='nat'/><bridge name='virbr0'/>"+dhcp), nil, facts, places)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p.String(), "net/ipv6") {
		t.Errorf("the kernel has no IPv6, and the plan is\n%s", p)
	}
}

func TestPartsOfAStart(t *testing.T) {
	t.Parallel()
	for name, def := range corpus(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole, facts := compile(t, def).Steps, quiet()
			parts := map[string][]step.Step{}
			if def.Bridge.Name != "" && def.Forward.Mode.Routed() {
				var err error
				if parts["firewall"], err = plan.Firewall(def, nil); err != nil {
					t.Fatal(err)
				}
				if parts["dnsmasq"], err = plan.Serve(def, &facts, places); err != nil {
					t.Fatal(err)
				}
			}
			for part, steps := range parts {
				for line := range strings.Lines((&plan.Plan{Steps: steps}).String()) {
					if !strings.Contains((&plan.Plan{Steps: whole}).String(), line) {
						t.Errorf("%s is no part of the start: %s", part, line)
					}
				}
			}
		})
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	const ip4, ip6 = "<bridge name='virbr0'/><ip address='10.1.0.1' prefix='24'/>", "<bridge name='virbr0'/><ip family='ipv6' address='fd00::1' prefix='64'/>"
	for _, tt := range []struct {
		name, elements string
		start, end     uint32
	}{
		{"nat", "<forward mode='nat'/>" + ip4, 1024, 65535},
		{"nat with ports", "<forward mode='nat'><nat><port start='5' end='6'/></nat></forward>" + ip4, 5, 6},
		{"nat, IPv6 not translated", "<forward mode='nat'/>" + ip6, 0, 0},
		{"nat, IPv6 translated", "<forward mode='nat'><nat ipv6='yes'/></forward>" + ip6, 1024, 65535},
		{"route", "<forward mode='route'/>" + ip4, 0, 0},
	} {
		def := parse(t, tt.elements)
		before := *def
		live, err := plan.Live(def, quiet())
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if nat := live.Forward.NAT; nat.PortStart != tt.start || nat.PortEnd != tt.end {
			t.Errorf("%s: ports %d-%d, want %d-%d", tt.name, nat.PortStart, nat.PortEnd, tt.start, tt.end)
		}
		if def.Forward.NAT != before.Forward.NAT {
			t.Errorf("%s: the definition itself was changed", tt.name)
		}
	}
}

func TestLivePool(t *testing.T) {
	t.Parallel()
	facts := quiet()
	vf1, vf2 := xml.PCIAddress{Bus: 3, Slot: 16}, xml.PCIAddress{Bus: 3, Slot: 16, Function: 2}
	facts.VFs = map[string][]step.VF{"eth9": {{Netdev: "eth9v0", PCI: vf1}, {PCI: vf2}}}
	for _, tt := range []struct {
		name, forward string
		want          []xml.ForwardInterface
	}{
		{"netdevs", "<forward mode='passthrough'><pf dev='eth9'/></forward>", []xml.ForwardInterface{{Dev: "eth9v0"}}},
		{"PCI addresses", "<forward mode='hostdev'><pf dev='eth9'/></forward>", []xml.ForwardInterface{{PCI: &vf1}, {PCI: &vf2}}},
		{"a pool of its own", "<forward mode='private'><interface dev='eth1'/></forward>", []xml.ForwardInterface{{Dev: "eth1"}}},
	} {
		live, err := plan.Live(parse(t, tt.forward), facts)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, live.Forward.Interfaces); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

// TestStopUndoesStart: without a record, Stop does all that the record would
// have said, in the same order, and nothing to other links.
func TestStopUndoesStart(t *testing.T) {
	t.Parallel()
	for name, def := range corpus(t) {
		undo, stop := step.StopOrder(step.Undos(compile(t, def).Steps)), plan.Stop(def, nil, places)
		next := 0
		for _, op := range stop {
			if next < len(undo) && undo[next] == op {
				next++
			} else if _, extra := op.(step.UnfillChecksums); !extra {
				t.Errorf("%s: %q is not what a start needs undone", name, op)
			}
		}
		if next != len(undo) {
			t.Errorf("%s: stop lacks %q", name, undo[next])
		}
		if diff := cmp.Diff(stop, step.StopOrder(stop)); diff != "" {
			t.Errorf("%s: Stop is not in StopOrder (-stop +order)\n%s", name, diff)
		}
	}
}

func TestStopOrder(t *testing.T) {
	t.Parallel()
	want := []step.Op{
		step.UnshapeNetwork{Bridge: "b"}, step.StopDnsmasq{PidFile: "p"}, step.SetDown{Link: "b"}, step.UnfillChecksums{Bridge: "b"},
		step.DelRules{Bridge: "b"}, step.UnsetZone{Link: "b"}, step.DelLink{Name: "b"},
	}
	mixed := slices.Concat(want[3:], want)
	slices.Reverse(mixed)
	if diff := cmp.Diff(want, step.StopOrder(mixed)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
