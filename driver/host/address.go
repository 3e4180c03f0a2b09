package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
)

// addAddress adds an address to a link; one that it has already is renewed.
func (h *Host) addAddress(op step.AddAddress) error {
	doing := fmt.Sprintf("adding address %s to", op.Address)
	if !op.Address.IsValid() || op.Broadcast.IsValid() && op.Broadcast.BitLen() != op.Address.Addr().BitLen() {
		return opError(doing, op.Link, syscall.EINVAL)
	}
	index, err := h.index(op.Link)
	if err != nil {
		return opError(doing, op.Link, err)
	}
	msg := nl.NewIfAddrmsg(family(op.Address.Addr()))
	msg.Index = uint32(index)
	msg.Prefixlen = uint8(op.Address.Bits())
	if op.Address.Addr().Is6() {
		msg.IfAddrmsg.Flags = unix.IFA_F_NODAD
	}
	ip := op.Address.Addr().AsSlice()
	body := attrs{msg}
	body.put(unix.IFA_LOCAL, ip)
	body.put(unix.IFA_ADDRESS, ip)
	if op.Broadcast.IsValid() {
		body.put(unix.IFA_BROADCAST, op.Broadcast.AsSlice())
	}
	if op.Routeless {
		body.put(unix.IFA_FLAGS, nl.Uint32Attr(uint32(msg.IfAddrmsg.Flags)|unix.IFA_F_NOPREFIXROUTE))
	}
	if op.Deprecated { // struct ifa_cacheinfo: preferred for no time, valid for ever, two stamps
		times := make([]byte, 16)
		binary.NativeEndian.PutUint32(times[4:], math.MaxUint32)
		body.put(unix.IFA_CACHEINFO, times)
	}
	return opError(doing, op.Link, h.nl.change(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body...))
}

// delAddress removes an address from a link; one that is gone, or whose link
// is, is no error.
func (h *Host) delAddress(op step.DelAddress) error {
	doing := fmt.Sprintf("deleting address %s from", op.Address)
	if !op.Address.IsValid() {
		return opError(doing, op.Link, syscall.EINVAL)
	}
	index, err := h.index(op.Link)
	if errors.Is(err, syscall.ENODEV) {
		return nil
	}
	if err != nil {
		return opError(doing, op.Link, err)
	}
	msg := nl.NewIfAddrmsg(family(op.Address.Addr()))
	msg.Index = uint32(index)
	msg.Prefixlen = uint8(op.Address.Bits())
	err = h.nl.change(unix.RTM_DELADDR, 0, msg, nl.NewRtAttr(unix.IFA_LOCAL, op.Address.Addr().AsSlice()))
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return nil
	}
	return opError(doing, op.Link, err)
}

// family returns an address's family for netlink.
func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
