package host

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// checkLink refuses what the kernel would not take as an interface's name
// (dev_valid_name), before it becomes part of a path or a request.
func checkLink(name string) error {
	bad := func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == 0x7f }
	if name == "" || len(name) >= unix.IFNAMSIZ || name == "." || name == ".." || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("checking the interface name %q: %w", name, syscall.EINVAL)
	}
	return nil
}

// index returns a link's index by one ioctl, which costs no dump; ENODEV: there
// is no such link.
func (h *Host) index(name string) (int, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(h.fd, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, err
	}
	return int(ifr.Uint32()), nil
}

// isUp reports whether a link is up, by one ioctl; ENODEV: there is no such link.
func (h *Host) isUp(name string) (bool, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return false, err
	}
	err = unix.IoctlIfreq(h.fd, unix.SIOCGIFFLAGS, ifr)
	return ifr.Uint16()&unix.IFF_UP != 0, err
}

// newLink sends a RTM_NEWLINK request about the link of a name.
func (h *Host) newLink(name string, flags int, msg *nl.IfInfomsg, more ...nl.NetlinkRequestData) error {
	if err := checkLink(name); err != nil {
		return err
	}
	body := attrs{msg}
	body.put(unix.IFLA_IFNAME, nl.ZeroTerminated(name))
	return h.nl.change(unix.RTM_NEWLINK, flags, append(body, more...)...)
}

// bridgeInfo is what says that a link is a bridge.
func bridgeInfo() *nl.RtAttr {
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	return info
}

// addBridge makes a bridge in one request, so that it is never seen without its
// MAC address.
func (h *Host) addBridge(op step.AddBridge) error {
	var more attrs
	if op.MAC != (xml.MAC{}) {
		more.put(unix.IFLA_ADDRESS, op.MAC[:])
	}
	err := h.newLink(op.Name, unix.NLM_F_CREATE|unix.NLM_F_EXCL, nl.NewIfInfomsg(unix.AF_UNSPEC), append(more, bridgeInfo())...)
	return opError("creating bridge", op.Name, err)
}

func (h *Host) setMTU(op step.SetMTU) error {
	err := h.newLink(op.Link, 0, nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(op.MTU)))
	return opError("setting the MTU of", op.Link, err)
}

// bridgeAttributes are the attributes of SetBridge and the size of their values
// (linux/if_link.h). The forward delay is in units of 1/100 s.
var bridgeAttributes = map[string]struct{ id, bits int }{
	"forward_delay":  {nl.IFLA_BR_FORWARD_DELAY, 32},
	"stp_state":      {nl.IFLA_BR_STP_STATE, 32},
	"vlan_filtering": {nl.IFLA_BR_VLAN_FILTERING, 8},
}

func (h *Host) setBridge(op step.SetBridge) error {
	doing := "setting " + op.Attr + " of"
	attr, known := bridgeAttributes[op.Attr]
	if !known || op.Value >= 1<<attr.bits {
		return opError(doing, op.Bridge, syscall.EINVAL)
	}
	value := nl.Uint32Attr(uint32(op.Value))
	if attr.bits == 8 {
		value = nl.Uint8Attr(uint8(op.Value))
	}
	info := bridgeInfo()
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(attr.id, value)
	return opError(doing, op.Bridge, h.newLink(op.Bridge, 0, nl.NewIfInfomsg(unix.AF_UNSPEC), info))
}

func (h *Host) setUp(op step.SetUp) error {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	return opError("bringing up", op.Link, h.newLink(op.Link, 0, msg))
}

func (h *Host) setDown(op step.SetDown) error {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Change = unix.IFF_UP
	err := h.newLink(op.Link, 0, msg)
	if errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return opError("bringing down", op.Link, err)
}
