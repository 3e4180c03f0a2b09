package e2e

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// TestMACTable: a network whose forwarding table libvirt keeps has a bridge that
// filters VLANs; a kernel that has no such bridges is an error that says so, and
// leaves nothing. tests/kernel runs this on a kernel that has them.
func TestMACTable(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "virsh", "ip", "dnsmasq")
		filters := exec.Command("ip", "link", "add", "probe", "type", "bridge", "vlan_filtering", "1").Run() == nil
		if filters {
			run(t, "ip", "link", "del", "probe")
		}
		d := startVirbrd(t)
		write(t, "/run/tables.xml", `<network><name>tables</name><bridge name='virbr0' macTableManager='libvirt'/>
<ip address='192.168.150.1' prefix='24'/></network>`)
		d.virsh("net-define", "/run/tables.xml")
		_, err := d.try("net-start", "tables")
		if filters {
			if err != nil {
				t.Fatal(err)
			}
			t.Log("bridges filter VLANs here")
			if got := strings.TrimSpace(read(t, "/sys/class/net/virbr0/bridge/vlan_filtering")); got != "1" {
				t.Errorf("vlan_filtering of the bridge is %s", got)
			}
			return
		}
		const want = "error: Failed to start network tables\n" +
			"error: Unable to set bridge virbr0 vlan_filtering via ioctl: Operation not supported\n"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("starting: %v, want\n%s", err, want)
		}
		if links := run(t, "ip", "-o", "link"); strings.Contains(links, "virbr0") {
			t.Errorf("left behind: %s", links)
		}
	})
}
