package packages

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/qemutest"
)

// confined runs in a virtual machine: virbrd under the profile and without new
// privileges, as its unit has it, and a guest that gets a lease.
const confined = `
trap 'dmesg | grep -i apparmor | tail -30' EXIT
mount -t securityfs securityfs /sys/kernel/security
apparmor_parser --replace --skip-cache /etc/virbrd.profile
mkdir -p /etc/libvirt /var/lib/libvirt /var/lib/misc
ip link set lo up
setpriv --no-new-privs /usr/sbin/virbrd &
n=0; until virsh -c network:///system net-list >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.2; done
echo "daemon: $(cat /proc/$(cat /run/virtnetworkd.pid)/attr/current)"
set -e
virsh -c network:///system net-create /etc/lab.xml
echo "dnsmasq: $(cat /proc/$(cat /run/libvirt/network/lab.pid)/attr/current)"
ip netns add guest
ip link add lab0p1 master lab0 type veth peer name eth0 netns guest
ip link set lab0p1 up
ip -n guest link set eth0 address 52:54:00:11:22:33 up
ip netns exec guest busybox udhcpc -i eth0 -n -q -x hostname:one -s /bin/true
virsh -c network:///system net-dhcp-leases lab
virsh -c network:///system net-update lab add dns-host '<host ip="10.9.0.9"><hostname>nine</hostname></host>' --live
virsh -c network:///system net-destroy lab
dmesg | grep 'apparmor="DENIED"' || echo "nothing was denied"
`

// TestConfined: with the AppArmor profile enforced by a real kernel, dnsmasq has
// the tight one and everything works.
func TestConfined(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "apparmor_parser")
	profile, err := exec.CommandContext(t.Context(), "apparmor_parser", "--skip-kernel-load", "--preprocess", filepath.Join(packaging, "apparmor/usr.sbin.virbrd")).Output()
	if err != nil {
		t.Fatal(err)
	}
	abi := read(t, "/etc/apparmor.d/abi/3.0")
	out := qemutest.Run(t, qemutest.Guest{
		Modules: []string{"bridge", "veth", "af_packet", "nf_tables", "nft_ct", "nft_chain_nat", "nft_nat", "nft_masq", "nft_reject_inet",
			"nft_compat", "xt_tcpudp", "xt_CHECKSUM", "sch_ingress", "sch_htb", "cls_u32", "act_csum", "act_police"},
		Programs: []string{"ip", "nft", "tc", "virsh", "dnsmasq", "busybox", "setpriv", "apparmor_parser"},
		Copies:   map[string]string{"/usr/sbin/virbrd": dist("bin/virbrd"), "/usr/sbin/virbr_leaseshelper": dist("bin/virbr_leaseshelper")},
		Files: map[string]string{
			"/etc/virbrd.profile":     string(profile),
			"/etc/apparmor.d/abi/3.0": abi,
			"/etc/passwd":             "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
			"/etc/group":              "root:x:0:\nnogroup:x:65534:\n",
			"/etc/resolv.conf":        "",
			"/etc/lab.xml": `<network><name>lab</name><forward mode='nat'/><bridge name='lab0' stp='off'/>
				<ip address='10.9.0.1' prefix='24'><dhcp><range start='10.9.0.2' end='10.9.0.9'/></dhcp></ip></network>`,
		},
		Init: confined,
	})
	for _, want := range []string{
		"daemon: virbrd (enforce)", "dnsmasq: virbrd//&virbrd//dnsmasq (enforce)", "52:54:00:11:22:33", "Updated network lab live state", "nothing was denied",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q:\n%s", want, out)
		}
	}
}
