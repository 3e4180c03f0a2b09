package kernel

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/qemutest"
)

const bridge = "virbr0"

// TestChecksums: the kernel fills in the checksum of what is sent to DHCP clients
// by tc's csum action, else by the CHECKSUM target; a kernel with neither gets
// a warning. A guest that reads raw packets, as DHCP clients do, tells.
func TestChecksums(t *testing.T) {
	t.Parallel()
	qemutest.RunTest(t, qemutest.Guest{
		Modules:  []string{"bridge", "veth", "nf_tables", "sch_ingress", "cls_u32", "af_packet"},
		Spare:    []string{"act_csum", "nft_compat", "xt_tcpudp", "xt_CHECKSUM"},
		Programs: []string{"ip", "tc", "nft"},
	}, func(t *testing.T) {
		h, _ := newHost(t)
		do(t, h, step.AddBridge{Name: bridge},
			step.SetSysctl{Key: "net/ipv6/conf/" + bridge + "/disable_ipv6", Value: "1"}, // its addresses come and go with the link
			step.AddAddress{Link: bridge, Address: netip.MustParsePrefix("10.0.1.1/24"), Broadcast: netip.MustParseAddr("10.0.1.255")},
			step.SetUp{Link: bridge})
		guest := netnstest.NewGuest(t, "guest", bridge)
		guest.Address(t, netip.MustParsePrefix("10.0.1.2/24"))
		before := netnstest.Snapshot(t)
		for _, c := range []struct {
			modules, unload []string
			down            bool // the bridge, as at a network's start
			filter, rule    bool // what does it
		}{
			{modules: nil},
			{modules: []string{"act_csum"}, unload: []string{"act_csum"}, filter: true},
			{modules: []string{"nft_compat", "xt_tcpudp", "xt_CHECKSUM"}, rule: true},
			{modules: []string{"act_csum"}, rule: true}, // guests lose nothing
			{modules: nil, down: true, filter: true},    // preferred
		} {
			for _, m := range c.modules {
				qemutest.Load(t, m)
			}
			h, log := newHost(t) // it remembers what the kernel lacks
			if right(t, guest, "10.0.1.2") {
				t.Errorf("with %q: the checksum is right before we do anything", c.modules)
			}
			if c.down {
				do(t, h, step.SetDown{Link: bridge})
			}
			do(t, h, step.FillChecksums{Bridge: bridge}, step.SetUp{Link: bridge})
			if got, want := right(t, guest, "10.0.1.2"), c.filter || c.rule; got != want {
				t.Errorf("with %q: the checksum is right: %v, want %v", c.modules, got, want)
			}
			state := netnstest.Snapshot(t)
			if got := strings.Contains(state["tc "+bridge], "action order 1: csum (iph, udp)"); got != c.filter {
				t.Errorf("with %q: there is a filter: %v, want %v:\n%s", c.modules, got, c.filter, state["tc "+bridge])
			}
			if got := strings.Contains(state["rules"], "CHECKSUM"); got != c.rule {
				t.Errorf("with %q: there is a rule: %v, want %v:\n%s", c.modules, got, c.rule, state["rules"])
			}
			if got, want := strings.Contains(log.String(), "kernel has neither act_csum"), !c.filter && !c.rule; got != want {
				t.Errorf("with %q: warned: %v, want %v:\n%s", c.modules, got, want, log)
			}
			do(t, h, step.UnfillChecksums{Bridge: bridge})
			same(t, before, netnstest.Snapshot(t))
			for _, m := range c.unload {
				qemutest.Unload(t, m)
			}
		}
	})
}

// newHost returns a host and what it logs.
func newHost(t *testing.T) (*host.Host, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	h, err := host.New(host.Config{Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h, log
}

func do(t *testing.T, h *host.Host, ops ...step.Op) {
	t.Helper()
	for _, op := range ops {
		if err := h.Run(t.Context(), op); err != nil {
			t.Fatalf("%s: %v", op, err)
		}
	}
}

// patience bounds the wait for a packet; it measures nothing.
const patience = 30 * time.Second

// right sends a guest a datagram as a DHCP server does, and tells whether its
// checksum is right when it arrives.
func right(t *testing.T, guest *netnstest.Guest, address string) bool {
	t.Helper()
	var raw int
	err := guest.Do(func() (err error) {
		raw, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(binary.NativeEndian.Uint16([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff})))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(raw) }()
	if err := unix.SetsockoptTimeval(raw, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience.Seconds())}); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("udp4", address+":68")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("offer")); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 2048); ; {
		n, _, err := unix.Recvfrom(raw, buf, 0)
		if err != nil {
			t.Fatalf("waiting for the datagram: %v", err)
		}
		if n >= 28 && buf[9] == unix.IPPROTO_UDP && binary.BigEndian.Uint16(buf[22:]) == 68 {
			return sum(buf[:n]) == 0xffff
		}
	}
}

// sum adds up a UDP datagram in IPv4 with its pseudo header (RFC 768); it is
// 0xffff when the checksum is right.
func sum(packet []byte) uint16 {
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
