package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

// lease is what a machine does for an address on eth0.
const lease = "ip link set eth0 up\nudhcpc -i eth0 -f -n -q -t 20 -T 1 -x hostname:machine -s /etc/udhcpc\n"

// TestMachine is the main job with a real machine: Debian's QEMU driver plugs
// it into the default network by a port; the machine leases an address, finds
// its neighbour by name and reaches an outside host; when it turns itself off
// its port is gone.
func TestMachine(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		d := startVirbrd(t)
		d.up("default", natXML)
		links := len(bridgePorts(t, "virbr0"))
		const mac = "52:54:00:aa:bb:cc"
		m := newMachine(t, "real", `<interface type='network'><mac address='`+mac+`'/><source network='default'/><model type='virtio'/></interface>`, lease)
		m.boot(t)
		n := netnstest.NewGuest(t, "n", "virbr0")
		neighbour := n.DHCP(t, "-x", "hostname:neighbour")["ip"] // while the machine boots
		m.waitReady(t)

		fields := leaseRow(t, d, "default", mac)
		if fields[0] != "ipv4" || fields[2] != "machine" {
			t.Fatalf("net-dhcp-leases shows of the machine: %q", fields)
		}
		address := netip.MustParsePrefix(fields[1]).Addr().String()
		for command, want := range map[string]string{
			"ip -4 addr show dev eth0":                 "inet " + address + "/24 ",
			"nslookup -type=a neighbour 192.168.122.1": "Name:\tneighbour\nAddress: " + neighbour + "\n",
			"ping -c 1 -W 5 " + neighbour:              " 0% packet loss",
			"ping -c 1 -W 5 " + outside4:               " 0% packet loss",
		} {
			if got := m.sh(t, n, address, command); !strings.Contains(got, want) {
				t.Errorf("%s in the machine: %q is not in\n%s", command, want, got)
			}
		}

		uuids := portUUIDs(d, "default")
		if len(uuids) != 1 {
			t.Fatalf("net-port-list: %q", uuids)
		}
		doc := d.virsh("net-port-dumpxml", "default", uuids[0])
		for _, want := range []string{"<uuid>" + uuids[0] + "</uuid>", "<name>real</name>", "<mac address='" + mac + "'/>", "<plug type='network' bridge='virbr0'/>"} {
			if !strings.Contains(doc, want) {
				t.Errorf("the port lacks %s:\n%s", want, doc)
			}
		}
		if live := d.virsh("net-dumpxml", "default"); !strings.HasPrefix(live, "<network connections='1'>") {
			t.Errorf("with a machine plugged in:\n%s", live)
		}
		m.off(t, n, address)
		unplugged(t, d, "default")
		if left := bridgePorts(t, "virbr0"); len(left) != links+1 { // the neighbour's
			t.Errorf("on the bridge after the machine's end: %q", left)
		}
	})
}

// TestMachineKilled: a machine whose QEMU is killed, with an interface that has
// bandwidth reserved and one of a port group. Its ports are released.
func TestMachineKilled(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		d.up("shaped", `<network>
  <name>shaped</name><bridge name='virbr1'/><port isolated='yes'/>
  <bandwidth><inbound average='8000'/></bandwidth>
  <ip address='192.168.130.1' prefix='24'/>
  <portgroup name='plain' default='yes'/><portgroup name='trusty' trustGuestRxFilters='yes'/>
</network>`)
		m := newMachine(t, "killed", `
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='shaped'/>
      <bandwidth><inbound floor='100'/></bandwidth><model type='virtio'/></interface>
    <interface type='network'><mac address='52:54:00:00:00:02'/><source network='shaped' portgroup='trusty'/><model type='virtio'/></interface>`, "")
		m.boot(t)
		m.waitReady(t)
		docs := portDocs(d, "shaped")
		for mac, wants := range map[string][]string{
			"52:54:00:00:00:01": {"<bandwidth classID='3'>\n    <inbound floor='100'/>", "<port isolated='yes'/>", "<plug type='network' bridge='virbr1'/>"},
			"52:54:00:00:00:02": {"<group>trusty</group>", "<rxfilters trustGuest='yes'/>", "<plug type='network' bridge='virbr1'/>"},
		} {
			for _, want := range wants {
				if !strings.Contains(docs[mac], want) {
					t.Errorf("the port of %s lacks %s:\n%s", mac, want, docs[mac])
				}
			}
		}
		if class := run(t, "tc", "class", "show", "dev", "virbr1", "classid", "1:3"); !strings.Contains(class, "rate 800Kbit ceil 64Mbit") {
			t.Errorf("the class of a floor of 100 kB/s: %s", class)
		}
		for _, link := range bridgePorts(t, "virbr1") {
			if isolated := read(t, "/sys/class/net/"+link+"/brport/isolated"); strings.TrimSpace(isolated) != "1" {
				t.Errorf("%s is isolated: %s", link, isolated)
			}
		}
		m.killQEMU(t)
		unplugged(t, d, "shaped")
		if class := run(t, "tc", "class", "show", "dev", "virbr1", "classid", "1:3"); class != "" {
			t.Errorf("the class of a machine that is gone: %s", class)
		}
		if left := bridgePorts(t, "virbr1"); len(left) != 0 {
			t.Errorf("on the bridge after the machine's end: %q", left)
		}
	})
}

// TestMachineOnDevice: a machine on a device of the host by macvtap; virbrd is
// restarted while it runs. The driver does not live to release the port, so it
// is done by hand.
func TestMachineOnDevice(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("wire", `<network><name>wire</name><forward mode='bridge'><interface dev='uplink'/></forward></network>`)
		const mac, address = "52:54:00:00:00:03", "203.0.113.7"
		m := newMachine(t, "direct", `<interface type='network'><mac address='`+mac+`'/><source network='wire'/><model type='virtio'/></interface>`,
			"ip link set eth0 up\nip addr add "+address+"/24 dev eth0\n")
		m.boot(t)
		m.waitReady(t)
		if got := m.sh(t, out, address, "ping -c 1 -W 5 "+outside4); !strings.Contains(got, " 0% packet loss") {
			t.Errorf("from the machine to outside:\n%s", got)
		}
		before := portDocs(d, "wire")
		if want := "<plug type='direct' dev='uplink' mode='bridge'/>"; len(before) != 1 || !strings.Contains(before[mac], want) {
			t.Fatalf("the ports are not one with %s: %q", want, before)
		}
		d.stop()
		d.start(bin("virbrd"))
		if diff := cmp.Diff(before, portDocs(d, "wire")); diff != "" {
			t.Errorf("ports before and after a restart:\n%s", diff)
		}
		if live := d.virsh("net-dumpxml", "wire"); !strings.Contains(live, "<interface dev='uplink' connections='1'/>") {
			t.Errorf("with a machine on a device:\n%s", live)
		}
		d.virsh("net-port-delete", "wire", portUUIDs(d, "wire")[0])
		unplugged(t, d, "wire")
	})
}

// unplugged waits until a network has no ports, and wants none on disk.
func unplugged(t *testing.T, d *daemon, network string) {
	t.Helper()
	netnstest.Wait(t, "the ports of "+network+" are released", func() error {
		if uuids := portUUIDs(d, network); len(uuids) != 0 {
			return fmt.Errorf("they are %q", uuids)
		}
		return nil
	})
	if live := d.virsh("net-dumpxml", network); strings.Contains(live, "connections=") {
		t.Errorf("network %s without a machine:\n%s", network, live)
	}
	if files, _ := filepath.Glob("/run/libvirt/network/" + network + ".ports/*"); len(files) != 0 {
		t.Errorf("port files left: %q", files)
	}
}

// portUUIDs lists the ports of a network.
func portUUIDs(d *daemon, network string) []string {
	d.t.Helper()
	return strings.Fields(d.virsh("net-port-list", network, "--uuid"))
}

// portDocs returns the documents of a network's ports by MAC address.
func portDocs(d *daemon, network string) map[string]string {
	d.t.Helper()
	docs := map[string]string{}
	for _, uuid := range portUUIDs(d, network) {
		doc := d.virsh("net-port-dumpxml", network, uuid)
		_, rest, _ := strings.Cut(doc, "<mac address='")
		mac, _, _ := strings.Cut(rest, "'")
		docs[mac] = doc
	}
	return docs
}

// bridgePorts lists the links on a bridge.
func bridgePorts(t *testing.T, bridge string) []string {
	t.Helper()
	entries, err := os.ReadDir("/sys/class/net/" + bridge + "/brif")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// row returns the words of a table's line after a word.
func row(table, word string) []string {
	_, rest, _ := strings.Cut(table, " "+word+" ")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Fields(line)
}
