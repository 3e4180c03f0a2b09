package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		links := len(ports(t, "virbr0"))
		const mac = "52:54:00:aa:bb:cc"
		m := boot(t, "real", `<interface type='network'><mac address='`+mac+`'/><source network='default'/><model type='virtio'/></interface>`, lease)
		n := netnstest.NewGuest(t, "n", "virbr0")
		neighbour := n.DHCP(t, "-x", "hostname:neighbour")["ip"] // while the machine boots
		m.waitReady(t)

		fields := row(d.virsh("net-dhcp-leases", "default"), mac)
		if len(fields) < 6 || fields[3] != "ipv4" || fields[5] != "machine" {
			t.Fatalf("net-dhcp-leases shows of the machine: %q", fields)
		}
		address := netip.MustParsePrefix(fields[4]).Addr().String()
		for command, want := range map[string]string{
			"ip -4 addr show dev eth0":                "inet " + address + "/24 ",
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
		m.waitEnd(t)
		unplugged(t, d, "default")
		if left := ports(t, "virbr0"); len(left) != links+1 { // the neighbour's
			t.Errorf("on the bridge after the machine's end: %q", left)
		}
	})
}

// TestMachineKilled: a machine with three interfaces, one with a reserved
// bandwidth, one of a port group, and one on a device of the host by macvtap,
// whose QEMU is killed. All its ports are released.
func TestMachineKilled(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("shaped", `<network>
  <name>shaped</name><bridge name='virbr1'/>
  <bandwidth><inbound average='8000'/></bandwidth>
  <ip address='192.168.130.1' prefix='24'/>
  <portgroup name='plain' default='yes'/><portgroup name='quiet'><port isolated='yes'/></portgroup>
</network>`)
		d.up("wire", `<network><name>wire</name><forward mode='bridge'><interface dev='uplink'/></forward></network>`)
		m := boot(t, "killed", `
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='shaped'/>
      <bandwidth><inbound floor='100'/></bandwidth><model type='virtio'/></interface>
    <interface type='network'><mac address='52:54:00:00:00:02'/><source network='shaped' portgroup='quiet'/><model type='virtio'/></interface>
    <interface type='network'><mac address='52:54:00:00:00:03'/><source network='wire'/><model type='virtio'/></interface>`,
			`for mac in 1 2 3; do
  link=$(ip -o link | grep 52:54:00:00:00:0$mac | cut -d: -f2)
  ip link set $link up
  [ $mac != 1 ] || ip addr add 192.168.130.7/24 dev $link
  [ $mac != 3 ] || ip addr add 203.0.113.7/24 dev $link
done
`)
		m.waitReady(t)
		if got := m.sh(t, out, "203.0.113.7", "ping -c 1 -W 5 192.168.130.1"); !strings.Contains(got, " 0% packet loss") {
			t.Errorf("a machine reached by macvtap pings its other network:\n%s", got)
		}

		byMAC := map[string]string{}
		for _, name := range []string{"shaped", "wire"} {
			for _, uuid := range portUUIDs(d, name) {
				doc := d.virsh("net-port-dumpxml", name, uuid)
				_, rest, _ := strings.Cut(doc, "<mac address='")
				byMAC[rest[:17]] = doc
			}
		}
		for mac, wants := range map[string][]string{
			"52:54:00:00:00:01": {"<group>plain</group>", "<inbound floor='100'/>", "<plug type='network' bridge='virbr1'/>"},
			"52:54:00:00:00:02": {"<group>quiet</group>", "<port isolated='yes'/>", "<plug type='network' bridge='virbr1'/>"},
			"52:54:00:00:00:03": {"<plug type='direct' dev='uplink' mode='bridge'/>"},
		} {
			for _, want := range wants {
				if !strings.Contains(byMAC[mac], want) {
					t.Errorf("the port of %s lacks %s:\n%s", mac, want, byMAC[mac])
				}
			}
		}
		if live := d.virsh("net-dumpxml", "wire"); !strings.Contains(live, "<interface dev='uplink' connections='1'/>") {
			t.Errorf("with a machine on a device:\n%s", live)
		}
		if class := run(t, "tc", "class", "show", "dev", "virbr1", "classid", "1:3"); !strings.Contains(class, "rate 800Kbit ceil 64Mbit") {
			t.Errorf("the class of a floor of 100 kB/s: %s", class)
		}
		m.killQEMU(t)
		m.waitEnd(t)
		unplugged(t, d, "shaped")
		unplugged(t, d, "wire")
		if class := run(t, "tc", "class", "show", "dev", "virbr1", "classid", "1:3"); class != "" {
			t.Errorf("the class of a machine that is gone: %s", class)
		}
		if left := ports(t, "virbr1"); len(left) != 0 {
			t.Errorf("on the bridge after the machine's end: %q", left)
		}
	})
}

// unplugged wants a network without ports, in its lists and on disk.
func unplugged(t *testing.T, d *daemon, network string) {
	t.Helper()
	if uuids := portUUIDs(d, network); len(uuids) != 0 {
		t.Errorf("ports left in network %s: %q", network, uuids)
	}
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

// ports lists the links on a bridge.
func ports(t *testing.T, bridge string) []string {
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

// row returns the words of the line of a table that has a word.
func row(table, word string) []string {
	for line := range strings.Lines(table) {
		if strings.Contains(line, word) {
			words := strings.Fields(line)
			if len(words) > 1 { // the date and the time are two words of one column
				words = words[1:]
			}
			return words
		}
	}
	return nil
}
