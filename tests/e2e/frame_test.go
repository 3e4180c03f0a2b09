package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/netnstest"
)

// cable is the end of a guest's cable: whole frames go out and come in by it.
type cable struct {
	t    *testing.T
	file *os.File
	mac  net.HardwareAddr
}

func newCable(t *testing.T, g *netnstest.Guest) *cable {
	t.Helper()
	w := &cable{t: t, mac: g.MAC}
	err := g.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all)
		if err != nil {
			return err
		}
		w.file = os.NewFile(uintptr(fd), "packets")
		err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(link.Index), Type: unix.PACKET_MR_PROMISC})
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.file.Close() })
	return w
}

func (w *cable) send(frame []byte) {
	w.t.Helper()
	if _, err := w.file.Write(frame); err != nil {
		w.t.Fatal(err)
	}
}

// until reads frames until one has the last word in it, and returns which of some
// others were in them.
func (w *cable) until(last string, others ...string) (seen []string) {
	w.t.Helper()
	buf := make([]byte, 4096)
	if err := w.file.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			w.t.Fatalf("waiting for %q: %v", last, err)
		}
		for _, o := range others {
			if bytes.Contains(buf[:n], []byte(o)) {
				seen = append(seen, o)
			}
		}
		if bytes.Contains(buf[:n], []byte(last)) {
			return seen
		}
	}
}

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// frame makes a frame of Ethernet (IEEE 802.3), filled up to its least length.
func frame(to, from net.HardwareAddr, kind uint16, body []byte) []byte {
	b := append(slices.Clone(to), from...)
	b = append(binary.BigEndian.AppendUint16(b, kind), body...)
	if rest := 60 - len(b); rest > 0 {
		b = append(b, make([]byte, rest)...)
	}
	return b
}

// tagged puts a VLAN tag into a frame.
func tagged(f []byte, tpid, vlan uint16) []byte {
	tag := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, tpid), vlan)
	return slices.Concat(f[:12], tag, f[12:])
}

// arp makes an ARP packet (RFC 826): 1 asks, 2 answers.
func arp(op uint16, sha net.HardwareAddr, spa netip.Addr, tha net.HardwareAddr, tpa netip.Addr) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, 1, 8, 0, 6, 4}, op)
	return slices.Concat(b, sha, spa.AsSlice(), tha, tpa.AsSlice())
}

// sum is the Internet checksum (RFC 1071).
func sum(parts ...[]byte) uint16 {
	var s uint32
	for i, b := range bytes.Join(parts, nil) {
		s += uint32(b) << (8 * (1 - i%2))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// udp makes a UDP datagram without a checksum.
func udp(from, to uint16, body []byte) []byte {
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from), to)
	return append(binary.BigEndian.AppendUint16(b, uint16(8+len(body))), append([]byte{0, 0}, body...)...)
}

// ipv4 makes a packet (RFC 791).
func ipv4(from, to netip.Addr, proto byte, body []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x45, 0}, uint16(20+len(body)))
	b = slices.Concat(append(b, 0, 0, 0, 0, 64, proto, 0, 0), from.AsSlice(), to.AsSlice())
	binary.BigEndian.PutUint16(b[10:], sum(b))
	return append(b, body...)
}

// ipv6 makes a packet (RFC 8200).
func ipv6(from, to netip.Addr, next byte, body []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(body)))
	return slices.Concat(append(b, next, 255), from.AsSlice(), to.AsSlice(), body)
}

// icmp6 makes a message (RFC 4443) with its checksum.
func icmp6(from, to netip.Addr, kind byte, body []byte) []byte {
	m := append([]byte{kind, 0, 0, 0}, body...)
	pseudo := binary.BigEndian.AppendUint32(slices.Concat(from.AsSlice(), to.AsSlice()), uint32(len(m)))
	binary.BigEndian.PutUint16(m[2:], sum(append(pseudo, 0, 0, 0, syscall.IPPROTO_ICMPV6), m))
	return m
}

// option makes an option of neighbour discovery with a link layer address.
func option(kind byte, mac net.HardwareAddr) []byte { return append([]byte{kind, 1}, mac...) }

// neighbour makes a solicitation or an advertisement (RFC 4861 sections 4.3 and 4.4).
func neighbour(kind byte, target netip.Addr, options ...[]byte) []byte {
	flags := []byte{0, 0, 0, 0}
	if kind == 136 {
		flags[0] = 0x20 // override
	}
	return slices.Concat(flags, target.AsSlice(), bytes.Join(options, nil))
}

// router makes the body of a router advertisement with a lifetime (section 4.2).
func router() []byte { return []byte{64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0} }

// lowlink is the link-local address of a MAC address (RFC 4291 appendix A).
func lowlink(m net.HardwareAddr) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fe80::%02x%02x:%02xff:fe%02x:%02x%02x", m[0]^2, m[1], m[2], m[3], m[4], m[5]))
}
