package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// checksum remembers what the kernel can do: asking again for what it cannot makes
// it look for a module each time, which takes longer than the whole rest of a start.
type checksum struct {
	asked    atomic.Bool // whether there is act_csum
	noAction atomic.Bool // no act_csum
	noTarget atomic.Bool // no CHECKSUM target for nftables
	target   atomic.Bool // there is one
}

// fillChecksums has the kernel compute the UDP checksums of DHCP replies, by
// tc's csum action or else by iptables' CHECKSUM target. A kernel that has
// neither is no reason not to start: most guests do not care.
func (h *Host) fillChecksums(ctx context.Context, op step.FillChecksums) error {
	const doing = "filling in DHCP checksums on"
	index, err := h.index(op.Bridge)
	if err != nil {
		return opError(doing, op.Bridge, err)
	}
	action, err := h.hasChecksumAction()
	if err != nil {
		return opError(doing, op.Bridge, err)
	}
	if action && !h.serving(index) {
		return opError(doing, op.Bridge, h.addChecksumFilter(index))
	}
	ok := h.checksum.target.Load()
	if !ok && !h.checksum.noTarget.Load() {
		ok, err = fwnetlink.ProbeChecksums(h.fw)
		h.checksum.target.Store(ok)
	}
	switch {
	case err != nil:
	case ok:
		err = fwnetlink.FillChecksums(h.fw, op.Bridge)
	case action: // some packets of guests are the price
		err = h.addChecksumFilter(index)
	}
	if ok || action || err != nil {
		return opError(doing, op.Bridge, err)
	}
	if !h.checksum.noTarget.Swap(true) {
		h.log.WarnContext(ctx, "kernel has neither act_csum (CONFIG_NET_ACT_CSUM) nor the CHECKSUM target for nftables "+
			"(CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_TARGET_CHECKSUM): DHCP clients that read raw packets may ignore replies",
			"bridge", op.Bridge)
	}
	return nil
}

// hasChecksumAction reports whether the kernel has act_csum. It makes an action that
// belongs to no link, and removes it: trying it out on a bridge would cost packets
// (see serving).
func (h *Host) hasChecksumAction() (bool, error) {
	if h.checksum.asked.Load() {
		return !h.checksum.noAction.Load(), nil
	}
	const index = checksumPriority
	err := h.action(unix.RTM_NEWACTION, unix.NLM_F_CREATE|unix.NLM_F_EXCL, index)
	switch {
	case missing(err), errors.Is(err, unix.EPERM):
		// EPERM: in a user namespace actions of no link are refused whatever the
		// kernel has (tc_ctl_action). The CHECKSUM target does there.
		h.checksum.noAction.Store(true)
	case err != nil && !errors.Is(err, unix.EEXIST): // EEXIST: of a daemon that died in between
		return false, fmt.Errorf("asking for the checksum action: %w", err)
	default:
		if err := h.action(unix.RTM_DELACTION, 0, index); err != nil {
			h.log.Debug("a checksum action of no link is left", "err", err)
		}
	}
	h.checksum.asked.Store(true)
	return !h.checksum.noAction.Load(), nil
}

// action makes or removes a csum action of a number (struct tcamsg, TCA_ACT_TAB).
func (h *Host) action(command, flags int, index uint32) error {
	const actIndex, actOptions = 3, 2 // TCA_ACT_INDEX, TCA_ACT_OPTIONS
	table := nl.NewRtAttr(nl.TCA_ACT_TAB, nil)
	act := table.AddRtAttr(1, nil) // the first
	act.AddRtAttr(nl.TCA_ACT_KIND, nl.ZeroTerminated("csum"))
	if command == unix.RTM_NEWACTION {
		parms := nl.TcCsum{UpdateFlags: uint32(netlink.TCA_CSUM_UPDATE_FLAG_UDP)}
		parms.Index = index
		act.AddRtAttr(actOptions, nil).AddRtAttr(nl.TCA_CSUM_PARMS, parms.Serialize())
	} else {
		act.AddRtAttr(actIndex, nl.Uint32Attr(index))
	}
	req := h.nl.request(command, flags|unix.NLM_F_ACK)
	req.AddRawData(append([]byte{unix.AF_UNSPEC, 0, 0, 0}, table.Serialize()...))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// serving reports whether a bridge is up and has no qdisc for filters. The kernel
// stops a link's queues while such a qdisc comes or goes, and drops what guests are
// sent meanwhile (dev_deactivate in qdisc_graft, net/sched/sch_api.c).
func (h *Host) serving(index int) bool {
	link, err := h.tc.LinkByIndex(index)
	if err != nil || link.Attrs().RawFlags&unix.IFF_UP == 0 {
		return false
	}
	kind, _, err := h.qdisc(index, netlink.HANDLE_INGRESS)
	return err == nil && kind == ""
}

// restoreChecksums puts in the rules of fillChecksums again. Filters of tc do not go
// with others' rules, and a kernel that has neither has been found out.
func (h *Host) restoreChecksums(bridges []string) error {
	if len(bridges) == 0 || !h.checksum.noAction.Load() || h.checksum.noTarget.Load() {
		return nil
	}
	return fwnetlink.RefillChecksums(h.fw, bridges)
}

// addChecksumFilter computes checksums as packets leave the bridge, unless that is
// done already.
func (h *Host) addChecksumFilter(index int) error {
	made, err := h.addClsact(index)
	if err != nil {
		return err
	}
	if !made {
		filters, err := h.tc.FilterList(linkOf(index), netlink.HANDLE_MIN_EGRESS)
		if err != nil {
			return fmt.Errorf("looking for the checksum filter: %w", err)
		}
		if slices.ContainsFunc(filters, func(f netlink.Filter) bool { return f.Attrs().Priority == checksumPriority }) {
			return nil
		}
	}
	csum := netlink.NewCsumAction()
	csum.UpdateFlags = netlink.TCA_CSUM_UPDATE_FLAG_IPV4HDR | netlink.TCA_CSUM_UPDATE_FLAG_UDP
	err = h.tc.FilterAdd(&netlink.U32{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: netlink.HANDLE_MIN_EGRESS, Priority: checksumPriority, Protocol: unix.ETH_P_IP,
		},
		// UDP to port 68. Offsets count from the network header; dnsmasq's
		// replies have no IP options.
		Sel: &netlink.TcU32Sel{Flags: nl.TC_U32_TERMINAL, Keys: []netlink.TcU32Key{
			{Val: unix.IPPROTO_UDP << 16, Mask: 0x00ff0000, Off: 8},
			{Val: 68, Mask: 0x0000ffff, Off: 20},
		}},
		Actions: []netlink.Action{csum},
	})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("adding the checksum filter: %w", err)
	if made {
		err = errors.Join(err, h.delClsact(index))
	}
	return err
}

// unfillChecksums takes both ways back: which one was gone at the start may
// not be known any more.
func (h *Host) unfillChecksums(_ context.Context, op step.UnfillChecksums) error {
	var filter error
	if index, err := h.index(op.Bridge); err != nil {
		filter = ignore(err, gone)
	} else if filter = h.delChecksum(index); filter == nil {
		filter = h.delClsact(index)
	}
	rule := fwnetlink.UnfillChecksums(h.fw, op.Bridge)
	return opError("leaving DHCP checksums alone on", op.Bridge, errors.Join(filter, rule))
}
