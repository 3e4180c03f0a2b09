package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/qemutest"
)

// TestSCTP: SCTP between virtual machines by way of a forward. One serves, and is
// reached from outside, from another network of the host, and from its own, each at
// an address of the host. Without the forward nobody reaches it.
func TestSCTP(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		run(t, "ip", "link", "add", "uplink", "type", "bridge")
		run(t, "ip", "addr", "add", uplink4+"/24", "dev", "uplink")
		run(t, "ip", "link", "set", "uplink", "up")
		d := startVirbrd(t)
		const forward = `<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>
  <virbr:portForward proto='sctp' guest='server'><virbr:range start='9000' to='5000'/></virbr:portForward>
</virbr:network></metadata>`
		d.up("default", strings.Replace(natXML, "<forward", forward+"<forward", 1))
		d.up("other", strings.NewReplacer("default", "other", "virbr0", "virbr1", "192.168.122", "192.168.130").Replace(natXML))
		d.up("wire", `<network><name>wire</name><forward mode='bridge'/><bridge name='uplink'/></network>`)

		const serverMAC, clientMAC, client4 = "52:54:00:00:00:11", "52:54:00:00:00:12", "203.0.113.7"
		nic := func(network, mac string) string { // named: two drivers would both choose vnet0
			return `<interface type='network'><mac address='` + mac + `'/><source network='` + network + `'/><target dev='tap` + strings.ReplaceAll(mac, ":", "")[6:] + `'/><model type='virtio'/></interface>`
		}
		sctp := qemutest.Guest{Modules: []string{"sctp"}, Programs: []string{"socat"}}
		sctp.Init = strings.Replace(lease, "hostname:machine", "hostname:server", 1) + "socat SCTP4-LISTEN:5000,fork PIPE &\n"
		server := newMachineWith(t, "server", nic("default", serverMAC), sctp)
		sctp.Init = lease + "ip link set eth1 up\nip addr add " + client4 + "/24 dev eth1\n" +
			"ip link set eth2 up\nip addr add 192.168.122.253/24 dev eth2\n"
		client := newMachineWith(t, "client", nic("other", clientMAC)+nic("wire", "52:54:00:00:00:13")+nic("default", "52:54:00:00:00:14"), sctp)
		server.boot(t)
		client.boot(t)
		server.waitReady(t)
		client.waitReady(t)
		besideClient := netnstest.NewGuest(t, "c", "virbr1")
		besideClient.Address(t, netip.MustParsePrefix("192.168.130.254/24"))
		clientAt, _, _ := strings.Cut(leaseRow(t, d, "other", clientMAC)[1], "/")
		// SCTP knows no half-closed associations: who asks stays for the answer.
		ask := func(to string) string {
			return "(echo by sctp; sleep 5) | timeout 20 socat - SCTP4-CONNECT:" + to + ":9000\n"
		}
		for name, to := range map[string]string{
			"from outside": uplink4, "from another network": "192.168.130.1", "from the same network": "192.168.122.1",
		} {
			if got := client.sh(t, besideClient, clientAt, ask(to)); got != "by sctp\n" {
				t.Errorf("%s to %s: %q", name, to, got)
			}
		}
		mustVirbr(t, "forward", "remove", "default", "1")
		if got := client.sh(t, besideClient, clientAt, ask(uplink4)); strings.Contains(got, "by sctp\n") || !strings.Contains(got, "refused") {
			t.Errorf("without the forward: %q", got)
		}
	})
}
