package host

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// dropLibvirtRules removes the rules of libvirt's own daemon, and says what that
// may mean for the host.
func (h *Host) dropLibvirtRules(ctx context.Context) error {
	dropped, err := fwnetlink.DropLibvirt(h.fw)
	legacy, legacyErr := h.dropLegacy(ctx)
	dropped.Parts = append(dropped.Parts, legacy.Parts...)
	dropped.Closed = append(dropped.Closed, legacy.Closed...)
	if len(dropped.Parts) > 0 {
		h.log.InfoContext(ctx, "libvirt's own firewall rules are replaced by ours", "step", strings.Join(dropped.Parts, ", "))
	}
	if (dropped.Input || legacy.Input) && len(dropped.Closed) > 0 {
		h.log.InfoContext(ctx, "this host drops what nobody accepts, and libvirt's rules accepted DHCP and DNS from guests; "+
			"so do ours, but for networks with coexist='no'",
			"step", strings.Join(dropped.Closed, ", "))
	}
	return errors.Join(err, legacyErr)
}

func (h *Host) dropRules() error {
	_, err := fwnetlink.RemoveAll(h.fw)
	return err
}

// dropLibvirtQueue removes what libvirt's nftables backend puts onto a bridge
// for the checksums of DHCP replies: an HTB root without classes, and on it a
// filter. With limits of bandwidth the root is theirs, and only the filter goes.
func (h *Host) dropLibvirtQueue(op step.DropLibvirtQueue) error {
	const doing = "removing libvirt's checksum filter from"
	index, err := h.index(op.Bridge)
	if err != nil {
		return opError(doing, op.Bridge, ignore(err, gone))
	}
	kind, handle, err := h.qdisc(index, netlink.HANDLE_ROOT)
	if err != nil || kind != "htb" || handle != rootQdisc {
		return opError(doing, op.Bridge, err)
	}
	classes, err := h.tc.ClassList(linkOf(index), 0)
	if err != nil {
		return opError(doing, op.Bridge, fmt.Errorf("listing classes: %w", err))
	}
	if len(classes) == 0 {
		return opError(doing, op.Bridge, h.delRoot(index))
	}
	filters, err := h.tc.FilterList(linkOf(index), rootQdisc)
	if err != nil {
		return opError(doing, op.Bridge, fmt.Errorf("listing filters: %w", err))
	}
	var errs []error
	for _, f := range filters {
		if u32, ok := f.(*netlink.U32); ok && fillsDHCP(u32) {
			errs = append(errs, ignore(h.tc.FilterDel(u32), gone))
		}
	}
	return opError(doing, op.Bridge, errors.Join(errs...))
}

// fillsDHCP reports whether a filter is libvirt's for DHCP replies: "protocol
// ip, match ip dport 68". Filters that sort guests' packets into classes have
// the same priority and other keys.
func fillsDHCP(f *netlink.U32) bool {
	if f.Priority != portPriority || f.Protocol != unix.ETH_P_IP || f.Sel == nil || len(f.Sel.Keys) != 1 {
		return false
	}
	const bootpc = 68 // RFC 2131
	key := f.Sel.Keys[0]
	return key.Off == 20 && key.Mask == 0xffff && key.Val == bootpc
}
