//go:build libvirt_dlopen

package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/netnstest"
)

// TestBinding makes every call that the Go binding has, on libvirt's own client
// library, that a network driver serves.
func TestBinding(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		b := &binding{t: t, conn: connectLibvirt(t, d)}
		b.connection()
		b.lists()
		net := b.network()
		b.updates(net)
		b.metadata(net)
		b.ports(net)
		b.leases(net)
		b.check("destroying", net.Destroy())
		b.check("undefining", net.Undefine())
		if _, err := b.conn.LookupNetworkByName("bound"); !errors.Is(err, libvirt.ERR_NO_NETWORK) {
			t.Errorf("looking up what is gone: %v", err)
		}
	})
}

func connectLibvirt(t *testing.T, d *daemon) *libvirt.Connect {
	t.Helper()
	conn, err := libvirt.NewConnect(d.uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close() })
	return conn
}

type binding struct {
	t    *testing.T
	conn *libvirt.Connect
}

func (b *binding) check(what string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Errorf("%s: %v", what, err)
	}
}

func (b *binding) equal(what string, want, got any) {
	b.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// connection makes the calls about the connection itself.
func (b *binding) connection() {
	kind, err := b.conn.GetType()
	b.check("type", err)
	b.equal("type", "network", kind)
	uri, err := b.conn.GetURI()
	b.check("URI", err)
	b.equal("URI", "network:///system?mode=direct", uri)
	secure, err := b.conn.IsSecure()
	b.check("is secure", err)
	b.equal("is secure", true, secure)
	_, err = b.conn.GetLibVersion()
	b.check("library version", err)
	for what, call := range map[string]func() error{
		"version":      func() error { _, err := b.conn.GetVersion(); return err },
		"host name":    func() error { _, err := b.conn.GetHostname(); return err },
		"system":       func() error { _, err := b.conn.GetSysinfo(0); return err },
		"capabilities": func() error { _, err := b.conn.GetCapabilities(); return err },
	} {
		if err := call(); !errors.Is(err, libvirt.ERR_NO_SUPPORT) {
			b.t.Errorf("%s: %v, want no support", what, err)
		}
	}
	b.check("setting an identity", b.conn.SetIdentity(&libvirt.ConnectIdentity{
		UserNameSet: true, UserName: "root", UNIXUserIDSet: true, ProcessIDSet: true, ProcessID: int64(os.Getpid()), ProcessTimeSet: true, ProcessTime: 1,
	}, 0))
}

// lists makes the calls that list networks.
func (b *binding) lists() {
	_, err := b.conn.NetworkDefineXML("<network><name>idle</name><forward mode='bridge'/></network>")
	b.check("defining", err)
	runs, err := b.conn.NetworkCreateXMLFlags("<network><name>passing</name><forward mode='vepa'/></network>", libvirt.NETWORK_CREATE_VALIDATE)
	b.check("creating", err)
	active, err := b.conn.ListNetworks()
	b.check("listing active ones", err)
	b.equal("active ones", []string{"passing"}, active)
	idle, err := b.conn.ListDefinedNetworks()
	b.check("listing inactive ones", err)
	b.equal("inactive ones", []string{"idle"}, idle)
	n, err := b.conn.NumOfNetworks()
	b.check("counting active ones", err)
	m, err := b.conn.NumOfDefinedNetworks()
	b.check("counting inactive ones", err)
	b.equal("numbers", []int{1, 1}, []int{n, m})
	for flags, want := range map[libvirt.ConnectListAllNetworksFlags][]string{
		0:                                       {"idle", "passing"},
		libvirt.CONNECT_LIST_NETWORKS_ACTIVE:    {"passing"},
		libvirt.CONNECT_LIST_NETWORKS_INACTIVE:  {"idle"},
		libvirt.CONNECT_LIST_NETWORKS_TRANSIENT: {"passing"},
		libvirt.CONNECT_LIST_NETWORKS_PERSISTENT | libvirt.CONNECT_LIST_NETWORKS_AUTOSTART: nil,
	} {
		all, err := b.conn.ListAllNetworks(flags)
		b.check("listing all", err)
		var names []string
		for i := range all {
			name, _ := all[i].GetName()
			names = append(names, name)
		}
		slices.Sort(names)
		b.equal(fmt.Sprintf("list with flags %d", flags), want, names)
	}
	b.check("destroying", runs.Destroy())
}

// network defines a network, starts it and asks all that there is about it.
func (b *binding) network() *libvirt.Network {
	net, err := b.conn.NetworkDefineXMLFlags(strings.ReplaceAll(natXML, "default", "bound"), libvirt.NETWORK_DEFINE_VALIDATE)
	if err != nil {
		b.t.Fatal(err)
	}
	b.check("marking for autostart", net.SetAutostart(true))
	b.check("starting", net.Create())
	on, err := net.GetAutostart()
	b.check("autostart", err)
	active, err := net.IsActive()
	b.check("active", err)
	persistent, err := net.IsPersistent()
	b.check("persistent", err)
	b.equal("autostart, active, persistent", []bool{true, true, true}, []bool{on, active, persistent})
	bridge, err := net.GetBridgeName()
	b.check("bridge", err)
	b.equal("bridge", "virbr0", bridge)
	uuid, err := net.GetUUIDString()
	b.check("UUID", err)
	again, err := b.conn.LookupNetworkByUUIDString(uuid)
	b.check("looking up by UUID", err)
	name, err := again.GetName()
	b.check("name", err)
	b.equal("name", "bound", name)
	live, err := net.GetXMLDesc(0)
	b.check("XML", err)
	config, err := net.GetXMLDesc(libvirt.NETWORK_XML_INACTIVE)
	b.check("inactive XML", err)
	if !strings.Contains(live, "<port start='1024' end='65535'/>") || strings.Contains(config, "<port start") {
		b.t.Errorf("XML of the running network\n%s\nand of the persistent one\n%s", live, config)
	}
	if err := net.Create(); !errors.Is(err, libvirt.ERR_OPERATION_INVALID) {
		b.t.Errorf("starting again: %v", err)
	}
	return net
}

func (b *binding) updates(net *libvirt.Network) {
	const host = "<host mac='52:54:00:00:00:77' name='bound' ip='192.168.122.77'/>"
	both := libvirt.NETWORK_UPDATE_AFFECT_LIVE | libvirt.NETWORK_UPDATE_AFFECT_CONFIG
	b.check("adding a host", net.Update(libvirt.NETWORK_UPDATE_COMMAND_ADD_LAST, libvirt.NETWORK_SECTION_IP_DHCP_HOST, -1, host, both))
	for _, flags := range []libvirt.NetworkXMLFlags{0, libvirt.NETWORK_XML_INACTIVE} {
		text, err := net.GetXMLDesc(flags)
		if err != nil || !strings.Contains(text, host) {
			b.t.Errorf("XML after the update, flags %d: %v\n%s", flags, err, text)
		}
	}
	err := net.Update(libvirt.NETWORK_UPDATE_COMMAND_MODIFY, libvirt.NETWORK_SECTION_BRIDGE, -1, "<bridge/>", both)
	if !errors.Is(err, libvirt.ERR_OPERATION_UNSUPPORTED) {
		b.t.Errorf("updating a bridge: %v", err)
	}
}

// metadata makes the calls where the client library has them, since 9.7; all
// that virbrd says about metadata is in TestMetadata.
func (b *binding) metadata(net *libvirt.Network) {
	version, err := libvirt.GetVersion()
	b.check("version", err)
	err = net.SetMetadata(libvirt.NETWORK_METADATA_ELEMENT, "<rack n='7'/>", "app", "urn:app:1", libvirt.NETWORK_UPDATE_AFFECT_LIVE)
	if version < 9_007_000 {
		if err == nil || !strings.Contains(err.Error(), "undefined symbol") {
			b.t.Errorf("metadata by a library that has none: %v", err)
		}
		return
	}
	b.check("setting metadata", err)
	text, err := net.GetMetadata(libvirt.NETWORK_METADATA_ELEMENT, "urn:app:1", libvirt.NETWORK_UPDATE_AFFECT_LIVE)
	b.check("getting metadata", err)
	b.equal("metadata", `<rack n="7"/>`, text)
	_, err = net.GetMetadata(libvirt.NETWORK_METADATA_TITLE, "", 0)
	if !errors.Is(err, libvirt.ERR_NO_NETWORK_METADATA) {
		b.t.Errorf("title that is not there: %v", err)
	}
}

func (b *binding) ports(net *libvirt.Network) {
	port, err := net.PortCreateXML(quietPort, uint32(libvirt.NETWORK_PORT_CREATE_VALIDATE))
	if err != nil {
		b.t.Fatal(err)
	}
	b.check("setting parameters", port.SetParameters(&libvirt.NetworkPortParameters{
		BandwidthInAverageSet: true, BandwidthInAverage: 100, BandwidthOutAverageSet: true, BandwidthOutAverage: 50, BandwidthOutBurstSet: true, BandwidthOutBurst: 7,
	}, 0))
	got, err := port.GetParameters(0)
	b.check("getting parameters", err)
	b.equal("parameters", &libvirt.NetworkPortParameters{
		BandwidthInAverageSet: true, BandwidthInAverage: 100, BandwidthInPeakSet: true, BandwidthInBurstSet: true, BandwidthInFloorSet: true,
		BandwidthOutAverageSet: true, BandwidthOutAverage: 50, BandwidthOutPeakSet: true, BandwidthOutBurstSet: true, BandwidthOutBurst: 7,
	}, got)
	uuid, err := port.GetUUIDString()
	b.check("UUID of a port", err)
	found, err := net.LookupNetworkPortByUUIDString(uuid)
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := found.GetXMLDesc(0)
	if err != nil || !strings.Contains(text, "<plug type='network' bridge='virbr0'/>") {
		b.t.Errorf("XML of a port: %v\n%s", err, text)
	}
	list, err := net.ListAllPorts(0)
	b.check("listing ports", err)
	b.equal("ports", 1, len(list))
	if _, err := net.PortCreateXML(quietPort, 0); !errors.Is(err, libvirt.ERR_NETWORK_PORT_EXIST) {
		b.t.Errorf("a port twice: %v", err)
	}
	b.check("deleting a port", found.Delete(0))
	if err := port.Delete(0); !errors.Is(err, libvirt.ERR_NO_NETWORK_PORT) {
		b.t.Errorf("deleting it again: %v", err)
	}
}

func (b *binding) leases(net *libvirt.Network) {
	guest := netnstest.NewGuest(b.t, "g", "virbr0")
	address, err := guest.DHCP(b.t, "-x", "hostname:alpha").Address()
	if err != nil {
		b.t.Fatal(err)
	}
	var list []libvirt.NetworkDHCPLease
	netnstest.Wait(b.t, "the lease is written", func() error { // after the guest has its address
		var err error
		if list, err = net.GetDHCPLeases(); err == nil && len(list) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
	if len(list) != 1 || list[0].IPaddr != address.String() || list[0].Hostname != "alpha" || list[0].Prefix != 24 || list[0].Iface != "virbr0" {
		b.t.Errorf("leases %+v, want %s", list, address)
	}
}

// TestBindingEvents: libvirt's client library hands on what virbrd tells.
func TestBindingEvents(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		if err := libvirt.EventRegisterDefaultImpl(); err != nil {
			t.Fatal(err)
		}
		d := startVirbrd(t)
		conn := connectLibvirt(t, d)
		told := make(chan string, 100)
		id, err := conn.NetworkEventLifecycleRegister(nil, func(_ *libvirt.Connect, n *libvirt.Network, e *libvirt.NetworkEventLifecycle) {
			name, _ := n.GetName()
			told <- fmt.Sprint(name, " ", e.Event)
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		var got []string
		d.virsh("net-define", file(t, quietXML))
		d.virsh("net-start", "quiet")
		d.virsh("net-destroy", "quiet")
		d.virsh("net-undefine", "quiet")
		go func() { // the library's loop runs in the caller's thread
			defer close(done)
			for len(got) < 4 && libvirt.EventRunDefaultImpl() == nil {
				for len(told) > 0 {
					got = append(got, <-told)
				}
			}
		}()
		<-done
		want := []string{"quiet 0", "quiet 2", "quiet 3", "quiet 1"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if err := conn.NetworkEventDeregister(id); err != nil {
			t.Error(err)
		}
	})
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := t.TempDir() + "/doc.xml"
	write(t, path, text)
	return path
}
