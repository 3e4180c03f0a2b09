package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// TestNamesInEachOthersWay: with libvirt's layout a directory with ports of "foo.xml"
// is where foo has its status, one of "foo.pid" where foo's dnsmasq has its pid. All
// of them run, with ports and dnsmasq, also after a restart of the daemon.
func TestNamesInEachOthersWay(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		names := []string{"foo.xml", "foo.pid", "driver.pid", "autostarted", "foo"}
		for i, name := range names {
			d.up(name, fmt.Sprintf("<network><name>%s</name><bridge name='vb-%d'/><ip address='10.77.%d.1' prefix='24'>"+
				"<dhcp><range start='10.77.%[3]d.2' end='10.77.%[3]d.9'/></dhcp></ip></network>", name, i, i))
			port := filepath.Join(t.TempDir(), "port.xml")
			write(t, port, fmt.Sprintf("<networkport><uuid>11111111-0000-4000-8000-00000000000%d</uuid><owner><name>vm%d</name><uuid>22222222-0000-4000-8000-00000000000%d</uuid></owner><mac address='52:54:00:77:00:0%d'/></networkport>", i, i, i, i))
			d.virsh("net-port-create", name, port)
		}
		d.stop()
		d.start(bin("virbrd"))
		for i, name := range names {
			if ports := d.virsh("net-port-list", name, "--uuid"); len(strings.Fields(ports)) != 1 {
				t.Errorf("%s: ports %q", name, ports)
			}
			g := netnstest.NewGuest(t, fmt.Sprintf("g%d", i), fmt.Sprintf("vb-%d", i))
			if _, err := g.DHCP(t).Address(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, name := range names {
			d.virsh("net-destroy", name)
			d.virsh("net-undefine", name)
		}
	})
}
