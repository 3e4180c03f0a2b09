package driver_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// portDoc is a port's document with more elements after the mandatory ones.
func portDoc(n int, more string) string {
	return fmt.Sprintf("<networkport><uuid>%s</uuid><owner><name>vm%d</name><uuid>%s</uuid></owner>"+
		"<mac address='52:54:00:aa:bb:%02x'/>%s</networkport>", uuid(n), n, uuid(n+100), n, more)
}

// inner returns what a port's document has after the mandatory elements.
func inner(doc string) string {
	_, rest, _ := strings.Cut(doc, "<mac ")
	_, rest, _ = strings.Cut(rest, "\n")
	rest, _, _ = strings.Cut(rest, "</networkport>")
	return rest
}

func (r *rig) create(net driver.Ref, n int, more string) (string, error) {
	r.t.Helper()
	ref, err := r.d.CreatePort(r.t.Context(), net, portDoc(n, more), false, false)
	if err != nil {
		return "", err
	}
	doc, err := r.d.PortXML(r.t.Context(), ref)
	if err != nil {
		r.t.Fatal(err)
	}
	return inner(doc), nil
}

func (r *rig) reclaim(net driver.Ref, n int, more string) error {
	_, err := r.d.CreatePort(r.t.Context(), net, portDoc(n, more), true, false)
	return err
}

func (r *rig) unplug(net driver.Ref, n int) error {
	return r.d.DeletePort(r.t.Context(), driver.PortRef{Network: net, UUID: uuid(n)})
}

// up defines and starts a network, named n, of the given elements.
func (r *rig) up(elements string) driver.Ref {
	r.t.Helper()
	ref := r.define("<network><name>n</name><uuid>" + uuid(200).String() + "</uuid>" + elements + "</network>")
	r.start(ref)
	return ref
}

func plain(s string) string { return strings.Join(strings.Fields(s), " ") }

// What a port gets from its network, by forward mode and settings.
func TestAllocation(t *testing.T) {
	t.Parallel()
	const l3 = "<bridge name='virbr0' macTableManager='kernel'/>"
	tests := []struct{ name, network, port, want string }{
		{"isolated", l3, "", "<plug type='network' bridge='virbr0' macTableManager='kernel'/>"},
		{"open", "<forward mode='open'/><bridge name='virbr0'/>", "", "<plug type='network' bridge='virbr0'/>"},
		{"bridge", "<forward mode='bridge'/><bridge name='br0'/>", "", "<plug type='bridge' bridge='br0'/>"},
		{"macvtap bridge", "<forward mode='bridge' dev='eth0'/>", "", "<plug type='direct' dev='eth0' mode='bridge'/>"},
		{"vepa", "<forward mode='vepa' dev='eth0'/>", "", "<plug type='direct' dev='eth0' mode='vepa'/>"},
		{"private", "<forward mode='private' dev='eth0'/>", "", "<plug type='direct' dev='eth0' mode='private'/>"},
		{"passthrough", "<forward mode='passthrough' dev='eth0'/>", "", "<plug type='direct' dev='eth0' mode='passthrough'/>"},
		{"virtual functions by netdev", "<forward mode='passthrough'><pf dev='eth0'/></forward>", "",
			"<plug type='direct' dev='vf0' mode='passthrough'/>"},
		{"virtual functions by address", "<forward mode='hostdev' managed='yes'><driver name='vfio'/><pf dev='eth0'/></forward>", "",
			"<plug type='hostdev-pci' managed='yes'> <driver name='vfio'/> " +
				"<address domain='0x0000' bus='0x03' slot='0x10' function='0x0'/> </plug>"},
		{"unmanaged", "<forward mode='hostdev'><address type='pci' bus='3' slot='16' function='2'/></forward>", "",
			"<plug type='hostdev-pci' managed='no'> <address domain='0x0000' bus='0x03' slot='0x10' function='0x2'/> </plug>"},
		{"network's settings", "<forward mode='bridge'/><bridge name='br0'/><port isolated='yes'/><vlan><tag id='5'/></vlan>", "",
			"<vlan> <tag id='5'/> </vlan> <port isolated='yes'/> <plug type='bridge' bridge='br0'/>"},
		{"default port group", l3 + "<portgroup name='a'/><portgroup name='b' default='yes' trustGuestRxFilters='yes'>" +
			"<bandwidth><inbound average='9'/></bandwidth></portgroup>", "",
			"<bandwidth> <inbound average='9'/> </bandwidth> <rxfilters trustGuest='yes'/> <plug type='network' bridge='virbr0' macTableManager='kernel'/>"},
		{"port group by name", l3 + "<portgroup name='a'><bandwidth><outbound average='7'/></bandwidth></portgroup><portgroup name='b' default='yes'/>",
			"<group>a</group>", "<bandwidth> <outbound average='7'/> </bandwidth> <plug type='network' bridge='virbr0' macTableManager='kernel'/>"},
		{"unknown port group", l3 + "<portgroup name='b' default='yes'><bandwidth><outbound average='7'/></bandwidth></portgroup>",
			"<group>nobody</group>", "<plug type='network' bridge='virbr0' macTableManager='kernel'/>"},
		{"the port's own settings win", l3 + "<port isolated='yes'/><portgroup name='b' default='yes' trustGuestRxFilters='yes'>" +
			"<bandwidth><outbound average='7'/></bandwidth></portgroup>",
			"<port isolated='no'/><rxfilters trustGuest='no'/><bandwidth classID='7'><inbound average='1'/></bandwidth>",
			"<bandwidth> <inbound average='1'/> </bandwidth> <port isolated='no'/> <rxfilters trustGuest='no'/> " +
				"<plug type='network' bridge='virbr0' macTableManager='kernel'/>"},
		{"generated interfaceid", "<forward mode='bridge'/><bridge name='br0'/><virtualport type='openvswitch'/>", "",
			"<virtualport type='openvswitch'> <parameters interfaceid='01020304-0506-4708-890a-0b0c0d0e0f10'/> </virtualport> <plug type='bridge' bridge='br0'/>"},
		{"merged virtualport", "<forward mode='vepa' dev='eth0'/><virtualport type='802.1Qbg'><parameters managerid='11' typeid='12'/></virtualport>" +
			"<portgroup name='p' default='yes'><virtualport><parameters typeidversion='2' profileid='x'/></virtualport></portgroup>",
			"<virtualport><parameters managerid='11'/></virtualport>",
			"<virtualport type='802.1Qbg'> <parameters managerid='11' typeid='12' typeidversion='2' instanceid='01020304-0506-4708-890a-0b0c0d0e0f10'/> </virtualport> " +
				"<plug type='direct' dev='eth0' mode='vepa'/>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := sriov(t)
			got, err := r.create(r.up(tt.network), 1, tt.port)
			if err != nil {
				t.Fatal(err)
			}
			got = strings.ReplaceAll(got, "<group>a</group>", "")
			got = strings.ReplaceAll(got, "<group>nobody</group>", "")
			if diff := cmp.Diff(tt.want, plain(got)); diff != "" {
				t.Errorf("port (-want +got):\n%s", diff)
			}
		})
	}
}

// sriov returns a rig whose card has virtual functions.
func sriov(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.host.AddLink("br0", "bridge")
	r.host.VFs = map[string][]step.VF{"eth0": {
		{Netdev: "vf0", PCI: xml.PCIAddress{Bus: 3, Slot: 16}},
		{PCI: xml.PCIAddress{Bus: 3, Slot: 16, Function: 2}},
		{Netdev: "vf2", PCI: xml.PCIAddress{Bus: 3, Slot: 16, Function: 4}},
	}}
	r.open()
	return r
}

func TestRefusedPorts(t *testing.T) {
	t.Parallel()
	const l3 = "<bridge name='virbr0'/>"
	const shaped = l3 + "<bandwidth><inbound average='1000'/></bandwidth>"
	tests := []struct {
		name, network, port string
		kind                driver.Kind
		want                string
	}{
		{"plugged already", l3, "<plug type='network' bridge='virbr0'/>", driver.KindInvalidArg, "Port reclaim not requested but plug type is not none"},
		{"virtualport, L3", l3, "<virtualport type='openvswitch'/>", driver.KindConfigUnsupported,
			"<virtualport type='openvswitch'> not supported for network 'n' which uses IP forwarding"},
		{"virtualport, bridge", "<forward mode='bridge'/><bridge name='br0'/>", "<virtualport type='802.1Qbh'><parameters profileid='x'/></virtualport>",
			driver.KindConfigUnsupported, "<virtualport type='802.1Qbh'> not supported for network 'n' which uses a bridge device"},
		{"virtualport, macvtap", "<forward mode='bridge' dev='eth0'/>", "<virtualport type='openvswitch'/>",
			driver.KindConfigUnsupported, "<virtualport type='openvswitch'> not supported for network 'n' which uses a macvtap device"},
		{"virtualport, hostdev", "<forward mode='hostdev'><pf dev='eth0'/></forward>", "<virtualport type='openvswitch'/>",
			driver.KindConfigUnsupported, "<virtualport type='openvswitch'> not supported for network 'n' which uses an SR-IOV Virtual Function via PCI passthrough"},
		{"no pool", "<forward mode='vepa'/>", "", driver.KindInternal, "network 'n' uses a direct mode, but has no forward dev and no interface pool"},
		{"floor, bridge", "<forward mode='bridge'/><bridge name='br0'/><bandwidth><inbound average='1'/></bandwidth>",
			"<bandwidth><inbound floor='1'/></bandwidth>", driver.KindOperationUnsupported,
			"Invalid use of 'floor' on interface with MAC address 52:54:00:aa:bb:01 - 'floor' is only supported for interface type 'network' " +
				"with forward type 'nat', 'route', 'open' or none"},
		{"floor, no inbound", l3, "<bandwidth><inbound floor='1'/></bandwidth>", driver.KindOperationUnsupported,
			"Invalid use of 'floor' on interface with MAC address 52:54:00:aa:bb:01 - network 'n' has no inbound QoS set"},
		{"floor above the average", shaped, "<bandwidth><inbound floor='1001'/></bandwidth>", driver.KindOperationInvalid,
			"Cannot plug '52:54:00:aa:bb:01' interface into 'virbr0' because new combined inbound floor=1001 would overcommit average=1000 on network 'n'"},
		{"floor above the peak", l3 + "<bandwidth><inbound average='1000' peak='2000'/></bandwidth>", "<bandwidth><inbound floor='18446744073709551615'/></bandwidth>",
			driver.KindOperationInvalid,
			"Cannot plug '52:54:00:aa:bb:01' interface into 'virbr0' because new combined inbound floor=18446744073709551615 would overcommit peak=2000 on network 'n'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := sriov(t)
			net := r.up(tt.network)
			before, files := r.host.State(), r.files()
			_, err := r.create(net, 1, tt.port)
			wantKind(t, err, tt.kind, tt.want)
			if diff := cmp.Diff(before, r.host.State()); diff != "" {
				t.Errorf("host (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(files, r.files()); diff != "" {
				t.Errorf("files (-before +after):\n%s", diff)
			}
			if refs, err := r.d.Ports(t.Context(), net); err != nil || len(refs) != 0 {
				t.Errorf("ports: %v, %v", refs, err)
			}
		})
	}
}

// Virtual ports that do not fit together are refused in the words of libvirt's
// XML helpers.
func TestVirtualPortsThatDoNotFit(t *testing.T) {
	t.Parallel()
	const vepa = "<forward mode='vepa' dev='eth0'/>"
	tests := []struct{ name, network, port, want string }{
		{"types", vepa + "<virtualport type='802.1Qbh'/>", "<virtualport type='802.1Qbg'/>", "attempt to merge virtualports with mismatched types (802.1Qbg and 802.1Qbh)"},
		{"numbers", vepa + "<virtualport type='802.1Qbg'><parameters managerid='1'/></virtualport>", "<virtualport><parameters managerid='2'/></virtualport>",
			"attempt to merge virtualports with mismatched managerids (2 and 1)"},
		{"profiles", vepa + "<virtualport type='802.1Qbh'><parameters profileid='a'/></virtualport>", "<virtualport><parameters profileid='b'/></virtualport>",
			"attempt to merge virtualports with mismatched profileids (b and a)"},
		{"managerid", vepa, "<virtualport type='802.1Qbg'/>", "missing managerid in <virtualport type='802.1Qbg'>"},
		{"typeid", vepa, "<virtualport type='802.1Qbg'><parameters managerid='1'/></virtualport>", "missing typeid in <virtualport type='802.1Qbg'>"},
		{"typeidversion", vepa, "<virtualport type='802.1Qbg'><parameters managerid='1' typeid='1'/></virtualport>", "missing typeidversion in <virtualport type='802.1Qbg'>"},
		{"profileid", vepa, "<virtualport type='802.1Qbh'/>", "missing profileid in <virtualport type='802.1Qbh'>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := sriov(t)
			_, err := r.create(r.up(tt.network), 1, tt.port)
			e, ok := errors.AsType[*xml.Error](err)
			if !ok || e.Kind != xml.KindXML || e.Origin != xml.OriginHelper || e.Msg != tt.want {
				t.Errorf("got %#v, want %q", err, tt.want)
			}
		})
	}
}

// Devices are given out by how many ports they have, and none twice where it
// must not be shared.
func TestPools(t *testing.T) {
	t.Parallel()
	const shared = "<interface dev='a'/><interface dev='b'/><interface dev='c'/></forward>"
	const full = "network 'n' requires exclusive access to interfaces, but none are available"
	tests := []struct {
		name, network, port string
		want                []string // devices of one port after the other
	}{
		{"shared", "<forward mode='bridge'>" + shared, "", []string{"a", "b", "c", "a", "b"}},
		{"passthrough", "<forward mode='passthrough'>" + shared, "", []string{"a", "b", "c", full}},
		{"private", "<forward mode='private'>" + shared, "", []string{"a", "b", "c", "a"}},
		{"private, 802.1Qbh", "<forward mode='private'>" + shared, "<virtualport type='802.1Qbh'><parameters profileid='x'/></virtualport>",
			[]string{"a", "b", "c", full}},
		{"netdevs of virtual functions", "<forward mode='passthrough'><pf dev='eth0'/></forward>", "", []string{"vf0", "vf2", full}},
		{"virtual functions", "<forward mode='hostdev'><pf dev='eth0'/></forward>", "", []string{"0x0", "0x2", "0x4", full}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := sriov(t)
			net := r.up(tt.network)
			for i, want := range tt.want {
				got, err := r.create(net, i+1, tt.port)
				if want == full {
					wantKind(t, err, driver.KindInternal, full)
				} else if err != nil || !strings.Contains(got, "dev='"+want+"'") && !strings.Contains(got, "function='"+want+"'") {
					t.Fatalf("port %d: %v %s, want device %s", i+1, err, got, want)
				}
			}
			if err := r.unplug(net, 2); err != nil {
				t.Fatal(err)
			}
			got, err := r.create(net, 50, tt.port)
			if want := tt.want[1]; err != nil || !strings.Contains(got, "'"+want+"'") {
				t.Errorf("after %s was given back: %v %s", want, err, got)
			}
		})
	}
}

// The counters of live XML, the port's file, the guest file, and what is left
// when all is over.
func TestPortLife(t *testing.T) {
	t.Parallel()
	r := sriov(t)
	net := r.define(natNet("default", 0))
	_, err := r.d.Ports(t.Context(), net)
	wantKind(t, err, driver.KindOperationInvalid, "network 'default' is not active")
	_, err = r.create(net, 1, "")
	wantKind(t, err, driver.KindOperationInvalid, "network 'default' is not active")
	r.start(net)
	before := r.files()
	for i := range 3 {
		if _, err := r.create(net, i+1, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.xml(net, false); !strings.HasPrefix(got, "<network connections='3'>\n") {
		t.Errorf("live document:\n%s", got)
	}
	if got := r.xml(net, true); strings.Contains(got, "connections") {
		t.Errorf("inactive document:\n%s", got)
	}
	path := filepath.Join(r.dirs.State, "default/ports", uuid(2).String()+".xml")
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("port file: %v, %v", st, err)
	}
	want := `-->

<networkport>
  <uuid>` + uuid(2).String() + `</uuid>
  <owner>
    <name>vm2</name>
    <uuid>` + uuid(102).String() + `</uuid>
  </owner>
  <mac address='52:54:00:aa:bb:02'/>
  <plug type='network' bridge='virbr0'/>
</networkport>
`
	if got := r.read(path); !strings.HasPrefix(got, "<!--\n") || !strings.HasSuffix(got, want) {
		t.Errorf("port file:\n%s", got)
	}
	macs := filepath.Join(r.dirs.Dnsmasq, "virbr0.macs")
	if got, want := plain(r.read(macs)), `[ { "domain": "vm1", "macs": [ "52:54:00:aa:bb:01" ] }, `+
		`{ "domain": "vm2", "macs": [ "52:54:00:aa:bb:02" ] }, { "domain": "vm3", "macs": [ "52:54:00:aa:bb:03" ] } ]`; got != want {
		t.Errorf("guests: %s", got)
	}
	_, err = r.create(net, 2, "")
	wantKind(t, err, driver.KindPortExists, "Network port with UUID "+uuid(2).String()+" already exists")
	for i := range 3 {
		if err := r.unplug(net, i+1); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, r.unplug(net, 1), driver.KindNoPort, "Network port with UUID "+uuid(1).String()+" does not exist")
	if got := plain(r.read(macs)); got != "[]" {
		t.Errorf("guests: %s", got)
	}
	if err := os.Remove(macs); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, r.files()); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}

// A stop drops ports and says nothing about them; the next start has none.
func TestStopDropsPorts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	out := filepath.Join(r.dir, "out")
	r.script("network", `echo "$2 $3" >>`+out)
	r.open()
	net := r.define(natNet("default", 0))
	r.start(net)
	if _, err := r.create(net, 1, ""); err != nil {
		t.Fatal(err)
	}
	r.destroy(net)
	_, err := r.d.LookupPort(t.Context(), net, uuid(1))
	wantKind(t, err, driver.KindNoPort, "Network port with UUID "+uuid(1).String()+" does not exist")
	r.start(net)
	if refs, err := r.d.Ports(t.Context(), net); err != nil || len(refs) != 0 {
		t.Errorf("ports: %v, %v", refs, err)
	}
	want := "start begin\nstarted begin\nport-created begin\nstopped end\nstart begin\nstarted begin\n"
	if diff := cmp.Diff(want, r.read(out)); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
}

func TestReclaim(t *testing.T) {
	t.Parallel()
	direct := func(dev string) string { return "<plug type='direct' dev='" + dev + "' mode='passthrough'/>" }
	pci := func(f int) string {
		return fmt.Sprintf("<plug type='hostdev-pci'><address bus='3' slot='16' function='%d'/></plug>", f)
	}
	const passthrough, hostdev = "<forward mode='passthrough'><pf dev='eth0'/></forward>", "<forward mode='hostdev'><pf dev='eth0'/></forward>"
	tests := []struct{ name, network, port, want string }{
		{"bridge", "<bridge name='virbr0'/>", "<plug type='network' bridge='other'/>", ""},
		{"no bridge", passthrough, "<plug type='bridge' bridge='br0'/>", "Unexpectedly got a network port without a network bridge"},
		{"no plug", passthrough, "", "Port reclaim requested but plug type is none"},
		{"device", passthrough, direct("vf2"), ""},
		{"no such device", passthrough, direct("vf9"), "network 'n' doesn't have dev='vf9' in use by network port '" + uuid(2).String() + "'"},
		{"device in use", passthrough, direct("vf0"), "network 'n' claims dev='vf0' is already in use by a different port"},
		{"shared device", "<forward mode='bridge' dev='vf0'/>", direct("vf0"), ""},
		{"address", hostdev, pci(4), ""},
		{"no such address", hostdev, pci(5), "network 'n' doesn't have PCI device 0000:03:10.5 in use by network port"},
		{"address in use", hostdev, pci(0), "network 'n' claims the PCI device at domain=0 bus=3 slot=16 function=0 is already in use by a different network port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := sriov(t)
			net := r.up(tt.network)
			if _, err := r.create(net, 1, ""); err != nil { // has the first device
				t.Fatal(err)
			}
			err := r.reclaim(net, 2, tt.port)
			if _, msg := kindOf(err); tt.want != "" && msg != tt.want || tt.want == "" && err != nil {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			want := "<network connections='1'>"
			if tt.want == "" {
				want = "<network connections='2'>"
			}
			if got := r.xml(net, false); !strings.HasPrefix(got, want) {
				t.Errorf("want %s:\n%s", want, got)
			}
		})
	}
}

// A restart of the daemon keeps ports, their counters and floors, and tells the
// hooks of each.
func TestPortsOutliveTheDaemon(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	out := filepath.Join(r.dir, "out")
	r.script("network", `echo "$2" >>`+out)
	r.open()
	net := r.define(natNet("default", 0))
	r.start(net)
	for i := range 2 {
		if _, err := r.create(net, i+1, fmt.Sprintf("<bandwidth><inbound floor='%d00'/></bandwidth>", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	live, state := r.xml(net, false), r.host.State()
	bad := filepath.Join(r.dirs.State, "default/ports", uuid(77).String()+".xml")
	r.write(bad, "<networkport/>")
	r.reopen()
	if diff := cmp.Diff(live, r.xml(net, false)); diff != "" {
		t.Errorf("live document (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(state, r.host.State()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
	if got, want := strings.Fields(r.read(out)), strings.Fields("start started port-created port-created port-created port-created"); !cmp.Equal(got, want) {
		t.Errorf("hooks: %v", got)
	}
	for i := range 2 {
		if err := r.unplug(net, i+1); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.host.State(); !strings.Contains(got, "class virbr0 2 rate 1000\n") || strings.Contains(got, "floor") {
		t.Errorf("host:\n%s", got)
	}
}
