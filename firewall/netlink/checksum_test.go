package netlink_test

import (
	"os/exec"
	"testing"

	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
)

func TestX(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		conn := open(t)
		t.Log(netlink.ProbeChecksums(conn))
		t.Log(netlink.FillChecksums(conn, "virbr0"))
		t.Log(netlink.FillChecksums(conn, "virbr1"))
		out, err := exec.Command("sh", "-c", "iptables-nft -t mangle -S; nft --debug=netlink list ruleset; dmesg | tail -3; iptables-nft -t mangle -D VIRBR_DHCP -o virbr0 -p udp --dport 68 -m comment --comment 'virbr virbr0' -j CHECKSUM --checksum-fill; iptables-nft -t mangle -S").CombinedOutput()
		t.Log(string(out), err)
		t.Log(netlink.UnfillChecksums(conn, "virbr0"))
		t.Log(nft(t, "", "list", "ruleset"))
		t.Log(netlink.UnfillChecksums(conn, "virbr1"))
		t.Log(nft(t, "", "list", "ruleset"))
	})
}
