package netlink_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
)

// iptables runs iptables-nft on the mangle table.
func iptables(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "iptables-nft", append([]string{"-t", "mangle"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("iptables-nft -t mangle %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func fill(t *testing.T, conn *netlink.Conn, bridges ...string) {
	t.Helper()
	for _, bridge := range bridges {
		if err := netlink.FillChecksums(conn, bridge); err != nil {
			t.Fatal(err)
		}
	}
}

func unfill(t *testing.T, conn *netlink.Conn, bridges ...string) {
	t.Helper()
	for _, bridge := range bridges {
		if err := netlink.UnfillChecksums(conn, bridge); err != nil {
			t.Fatal(err)
		}
	}
}

// needTarget skips the test where the kernel has no CHECKSUM target.
func needTarget(t *testing.T, conn *netlink.Conn) {
	t.Helper()
	ok, err := netlink.ProbeChecksums(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		netnstest.Need(t, "needs x_tables' CHECKSUM target: use a kernel with CONFIG_NFT_COMPAT and CONFIG_NETFILTER_XT_TARGET_CHECKSUM")
	}
	if got := nft(t, "", "list", "ruleset"); got != "" {
		t.Errorf("probing left\n%s", got)
	}
}

// TestChecksumRules: iptables-nft understands what we make, and we take away no
// more than that.
func TestChecksumRules(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft", "iptables-nft")
	netnstest.Run(t, func(t *testing.T) {
		conn := open(t)
		needTarget(t, conn)
		policies := "-P PREROUTING ACCEPT\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n"
		jump := "-A POSTROUTING -p udp -m udp --dport 68 -m comment --comment virbr -j VIRBR_DHCP\n"
		rule := func(bridge string) string {
			return fmt.Sprintf("-A VIRBR_DHCP -o %s -p udp -m udp --dport 68 -m comment --comment \"virbr %s\" -j CHECKSUM --checksum-fill\n", bridge, bridge)
		}
		fill(t, conn, "virbr0", "br+a@b=c", "virbr0")
		if diff := cmp.Diff(policies+"-N VIRBR_DHCP\n"+jump+rule("virbr0")+rule("br+a@b=c"), iptables(t, "-S")); diff != "" {
			t.Errorf("filled twice (-want +got):\n%s", diff)
		}
		unfill(t, conn, "virbr0", "virbr0", "virbr")
		if diff := cmp.Diff(policies+"-N VIRBR_DHCP\n"+jump+rule("br+a@b=c"), iptables(t, "-S")); diff != "" {
			t.Errorf("one taken back (-want +got):\n%s", diff)
		}
		unfill(t, conn, "br+a@b=c", "br+a@b=c")
		if got := nft(t, "", "list", "ruleset"); got != "" {
			t.Errorf("all taken back, left\n%s", got)
		}
	})
}

// TestChecksumsBesideOthers: chains and tables that were there stay, and ours
// come again after others threw them out.
func TestChecksumsBesideOthers(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft", "iptables-nft")
	netnstest.Run(t, func(t *testing.T) {
		conn := open(t)
		needTarget(t, conn)
		for name, others := range map[string][]string{
			"a rule":         {"-A POSTROUTING -o eth0 -j ACCEPT"},
			"an empty chain": {"-A POSTROUTING -o eth0 -j ACCEPT", "-D POSTROUTING -o eth0 -j ACCEPT"},
			"another chain":  {"-A OUTPUT -o eth0 -j ACCEPT"},
		} {
			nft(t, "", "flush", "ruleset")
			for _, args := range others {
				iptables(t, strings.Fields(args)...)
			}
			before := nft(t, "", "list", "ruleset")
			fill(t, conn, "virbr0", "virbr1")
			if got := iptables(t, "-S"); !strings.Contains(got, "-o virbr1 ") {
				t.Errorf("%s: not filled:\n%s", name, got)
			}
			unfill(t, conn, "virbr0", "virbr1")
			if diff := cmp.Diff(before, nft(t, "", "list", "ruleset")); diff != "" {
				t.Errorf("%s (-before +after):\n%s", name, diff)
			}
		}
		fill(t, conn, "virbr0")
		iptables(t, "-F")
		fill(t, conn, "virbr0")
		if got := iptables(t, "-S"); strings.Count(got, "-j VIRBR_DHCP") != 1 || strings.Count(got, "-j CHECKSUM") != 1 {
			t.Errorf("filled after iptables -F:\n%s", got)
		}
		for _, args := range []string{"flush ruleset", "flush chain ip mangle POSTROUTING", "flush chain ip mangle VIRBR_DHCP", "list ruleset"} {
			nft(t, "", strings.Fields(args)...)
			if err := netlink.RefillChecksums(conn, []string{"virbr0", "virbr1"}); err != nil {
				t.Fatal(err)
			}
			if got := iptables(t, "-S"); strings.Count(got, "-j VIRBR_DHCP") != 1 || strings.Count(got, "-j CHECKSUM") != 2 {
				t.Errorf("filled after nft %s:\n%s", args, got)
			}
		}
		nft(t, "", "flush", "ruleset")
		unfill(t, conn, "virbr0")
		if err := netlink.FillChecksums(conn, "a*b"); err == nil {
			t.Error("a name that is none was taken")
		}
	})
}

// TestChecksumOfPackets: a guest that reads raw packets sees the right checksum
// only when it is filled in, and only on that bridge.
func TestChecksumOfPackets(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		conn := open(t)
		needTarget(t, conn)
		h := newHost(t, 1, "guest", func() *netnstest.Guest {
			addBridge(t, "virbr0")
			addAddress(t, "virbr0", netip.MustParsePrefix("10.0.1.1/24"), netip.MustParsePrefix("fd00:0:0:1::1/64"))
			return netnstest.NewGuest(t, "guest", "virbr0")
		})
		for _, c := range []struct {
			change func(*testing.T, *netlink.Conn, ...string)
			bridge string
			want   bool
		}{{nil, "", false}, {fill, "virbr1", false}, {fill, "virbr0", true}, {unfill, "virbr0", false}} {
			if c.change != nil {
				c.change(t, conn, c.bridge)
			}
			right, err := reply(h)
			if err != nil || right != c.want {
				t.Errorf("after a change of %q: checksum right: %v, %v; want %v", c.bridge, right, err, c.want)
			}
		}
	})
}

// reply sends the guest a datagram as a DHCP server does, and tells whether the
// checksum on its card is right.
func reply(h *host) (right bool, err error) {
	var raw int
	err = h.guest.Do(func() (err error) {
		raw, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(binary.NativeEndian.Uint16([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff})))
		return err
	})
	if err != nil {
		return false, err
	}
	defer func() { _ = unix.Close(raw) }()
	if err := unix.SetsockoptTimeval(raw, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience.Seconds())}); err != nil {
		return false, err
	}
	c, err := net.Dial("udp4", netip.AddrPortFrom(h.ip4, 68).String())
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("offer")); err != nil {
		return false, err
	}
	for buf := make([]byte, 2048); ; {
		n, _, err := unix.Recvfrom(raw, buf, 0)
		if err != nil {
			return false, err
		}
		if n >= 28 && buf[9] == unix.IPPROTO_UDP && binary.BigEndian.Uint16(buf[22:]) == 68 {
			return udpSum(buf[:n]) == 0xffff, nil
		}
	}
}

// udpSum adds up a UDP datagram in IPv4 with its pseudo header (RFC 768); the sum
// is 0xffff when the checksum is right.
func udpSum(packet []byte) uint16 {
	udp := packet[20:binary.BigEndian.Uint16(packet[2:])]
	sum := uint32(unix.IPPROTO_UDP) + uint32(len(udp))
	for i, b := range append(bytes.Clone(packet[12:20]), udp...) {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
