package host_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// TestGuestsAreAsked: guests answer for the addresses that they have, and all IPv6
// guests can be had to tell theirs.
func TestGuestsAreAsked(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		_, guest := uplink(t, h)
		guest.Run(t, "ip", "-6", "addr", "add", "fd00:7::7a3c:11ff:1:1/64", "dev", "eth0", "nodad")
		addrs := []netip.Addr{
			netip.MustParseAddr("10.7.0.2"), netip.MustParseAddr("10.7.0.99"), netip.MustParseAddr("192.0.2.77"),
			netip.MustParseAddr("fd00:7::2"), netip.MustParseAddr("fd00:7::99"),
		}
		mac := xml.MAC(guest.MAC)
		want := []step.Neighbour{{Address: addrs[0], MAC: mac}, {Address: addrs[3], MAC: mac}}
		netnstest.Wait(t, "the guest answers", func() error {
			got, err := h.Ask(t.Context(), "virbr0", addrs)
			slices.SortFunc(got, func(a, b step.Neighbour) int { return a.Address.Compare(b.Address) })
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("%v", got)
			}
			return err
		})
		netnstest.Wait(t, "the guest tells an address", func() error {
			_, err := h.Ask(t.Context(), "virbr0", []netip.Addr{netip.IPv6LinkLocalAllNodes()})
			list, failed := h.Neighbours(t.Context(), "virbr0")
			told := slices.ContainsFunc(list, func(n step.Neighbour) bool { return n.Address.Is6() && !n.Address.IsLinkLocalUnicast() && n.MAC == mac })
			if err = errors.Join(err, failed); err == nil && !told {
				err = fmt.Errorf("%v", list)
			}
			return err
		})
		if _, err := h.Ask(t.Context(), "nosuch", addrs); err == nil {
			t.Error("a bridge that is not there is asked")
		}
	})
}

// solicitations has a guest ask whether anybody has some addresses, each from a MAC
// address of its own.
func solicitations(t *testing.T, g *netnstest.Guest, macs []xml.MAC, addrs []netip.Addr) {
	t.Helper()
	err := g.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		for i, a := range addrs {
			b := a.As16()
			frame := append([]byte{0x33, 0x33, 0xff, b[13], b[14], b[15]}, macs[i][:]...)
			frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255)
			frame = append(append(frame, make([]byte, 16)...), 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, b[13], b[14], b[15])
			frame = append(append(frame, 135, 0, 0, 0, 0, 0, 0, 0), b[:]...) // the checksum is nobody's who only listens
			if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil && !errors.Is(err, syscall.ENOBUFS) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSnoopIsBoundedByPort: a guest that takes addresses without end, from any MAC
// address, fills no table, and another one is heard.
func TestSnoopIsBoundedByPort(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		_, guest := uplink(t, h)
		other := netnstest.NewGuest(t, "other", "virbr0")
		run(t, h, step.SnoopGuests{Bridge: "virbr0"})
		var macs []xml.MAC
		var addrs []netip.Addr
		for i := range 500 {
			macs = append(macs, xml.MAC{2, 0, 0, 1, byte(i >> 8), byte(i)})
			addrs = append(addrs, netip.AddrFrom16([16]byte{0: 0xfd, 3: 7, 8: 1, 14: byte(i >> 8), 15: byte(i)}))
		}
		solicitations(t, guest, macs, addrs)
		last := netip.MustParseAddr("fd00:7::1:2:3:4")
		netnstest.Wait(t, "the other guest is heard", func() error {
			solicitations(t, other, []xml.MAC{xml.MAC(other.MAC)}, []netip.Addr{last})
			list, err := h.Neighbours(t.Context(), "virbr0")
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(list, func(n step.Neighbour) bool { return n.Address == last && n.MAC == xml.MAC(other.MAC) }) {
				return errors.New("it is not")
			}
			entered := 0
			for _, n := range list {
				if n.MAC[0] == 2 && n.MAC[3] == 1 {
					entered++
				}
			}
			if entered == 0 || entered > 100 {
				t.Errorf("%d addresses of the other port are entered", entered)
			}
			return nil
		})
		run(t, h, step.UnsnoopGuests{Bridge: "virbr0"})
	})
}
