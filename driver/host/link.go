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

// linkRequest starts a request about the link of a name.
func (h *Host) linkRequest(command, flags int, msg *nl.IfInfomsg, name string) *nl.NetlinkRequest {
	req := h.nl.request(command, flags|unix.NLM_F_ACK)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	return req
}

// modify sends a RTM_NEWLINK request about a link that is there. fill adds
// attributes; it may be nil.
func (h *Host) modify(name string, flags, change uint32, fill func(*nl.NetlinkRequest)) error {
	if err := checkLink(name); err != nil {
		return err
	}
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Flags, msg.Change = flags, change
	req := h.linkRequest(unix.RTM_NEWLINK, 0, msg, name)
	if fill != nil {
		fill(req)
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// addBridge makes a bridge in one request, so that it is never seen without its
// MAC address.
func (h *Host) addBridge(op step.AddBridge) error {
	err := checkLink(op.Name)
	if err == nil {
		req := h.linkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, nl.NewIfInfomsg(unix.AF_UNSPEC), op.Name)
		if op.MAC != (xml.MAC{}) {
			req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, op.MAC[:]))
		}
		info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
		info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
		req.AddData(info)
		_, err = req.Execute(unix.NETLINK_ROUTE, 0)
	}
	return opError("creating bridge", op.Name, err)
}

func (h *Host) setMTU(op step.SetMTU) error {
	err := h.modify(op.Link, 0, 0, func(req *nl.NetlinkRequest) {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(op.MTU)))
	})
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
	return opError(doing, op.Bridge, h.modify(op.Bridge, 0, 0, func(req *nl.NetlinkRequest) {
		info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
		info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
		info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(attr.id, value)
		req.AddData(info)
	}))
}

func (h *Host) setUp(op step.SetUp) error {
	return opError("bringing up", op.Link, h.modify(op.Link, unix.IFF_UP, unix.IFF_UP, nil))
}

func (h *Host) setDown(op step.SetDown) error {
	err := h.modify(op.Link, 0, unix.IFF_UP, nil)
	if errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return opError("bringing down", op.Link, err)
}
