package systems

import (
	"strings"
	"testing"
)

// on runs a test on each Debian, one after the other: a machine needs both
// processors of most machines that run tests.
func on(t *testing.T, test func(t *testing.T, m *machine)) {
	for _, suite := range suites {
		t.Run(suite, func(t *testing.T) { test(t, boot(t, suite, payload(t))) })
	}
}

// asShipped is Debian's libvirt, as people use it, with a guest that runs on its default
// network and starts with the machine.
const asShipped = `lab
guest
virsh net-start default
virsh net-autostart default
virsh start guest
virsh autostart guest
pings 5
seen
`

// serves says that virbrd has the default network, and libvirtd the guest on it.
const serves = `wait_for 120 shows ' default .*active .*yes' virsh net-list
wait_for 120 shows ' guest .*running' virsh list
shows '[0-9a-f]-[0-9a-f]' virsh net-port-list default
pings 1
shows 192.168.122. virsh domifaddr guest --source lease
shows 52:54:00:00:00:07 virsh net-dhcp-leases default
systemctl is-active virbrd.service libvirtd.service
nft list table inet virbr | grep -q virbr0
! nft list ruleset | grep -q LIBVIRT_
pings 3
`

// resolves says that systemd-resolved is told of a network's names. It asks nobody on a
// link without carrier: a bridge has that from its first guest on.
const resolves = `cat >/root/named.xml <<X
<network><name>named</name><domain name='lab.test' localOnly='yes' register='yes'/><bridge name='vb-named'/>
<dns><host ip='10.77.0.9'><hostname>printer.lab.test</hostname></host></dns>
<ip address='10.77.0.1' netmask='255.255.255.0'/></network>
X
virsh net-define /root/named.xml
virsh net-start named
ip link add guest0 type veth peer name guest1
ip link set guest0 master vb-named up
ip link set guest1 up
wait_for 60 shows 10.77.0.9 resolvectl query printer.lab.test
ip link del guest0
virsh net-destroy named
virsh net-undefine named
`

// healthy says that systemd and AppArmor have nothing to say against it.
const healthy = `systemctl --failed --no-legend
[ -z "$(systemctl --failed --no-legend)" ]
aa-status --json | grep -q '"virbrd": *"enforce"'
! journalctl -b -k | grep 'apparmor="DENIED"'
`

// TestDebian is the life of virbr on a Debian with libvirt: its packages are installed
// beside a guest that runs, are used and upgraded. In full the machine boots again and the
// guest is there; and when they are removed libvirt has its networks as before.
func TestDebian(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		m.lab(t, asShipped)
		m.lab(t, "dpkg -i /payload/virbr_1.0_*.deb /payload/virbr-libvirtd_1.0_*.deb\npings 5\nno_gap\n"+serves+healthy)
		m.lab(t, "virbr doctor default || true\nsystemctl reload virbrd\npings 3\nno_gap")
		m.lab(t, "dpkg -i /payload/virbr_1.1_*.deb /payload/virbr-libvirtd_1.1_*.deb\npings 5\nno_gap\ndpkg-query -W virbr virbr-libvirtd | grep -c '1\\.1' | grep 2\n"+serves+healthy)
		if !full() { // one boot a system is what fits into each run of the tests
			return
		}
		m.reboot(t)
		m.lab(t, serves+healthy)
		m.reset(t)
		m.lab(t, serves+healthy+resolves)
		m.lab(t, "dpkg -r virbr-libvirtd virbr\npings 5\n"+libvirtServes)
		m.lab(t, "virsh net-destroy default\nvirsh net-start default\ndpkg -P virbr-libvirtd virbr\n! grep -rs virbr /etc/apparmor.d")
	})
}

// lab is sh with the functions of lab.sh.
func (m *machine) lab(t *testing.T, script string) string {
	t.Helper()
	out := m.sh(t, ". /payload/lab.sh\n"+script)
	t.Log(strings.TrimSpace(out))
	return out
}
