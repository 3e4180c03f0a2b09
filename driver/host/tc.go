package host

import (
	"errors"
	"fmt"
	"math"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/xml"
)

// The handles that libvirt gives to what it makes on a bridge, so that either
// daemon finds what the other made.
const (
	rootQdisc    = 1 << 16    // 1:
	totalClass   = 1<<16 | 1  // 1:1
	defaultClass = 1<<16 | 2  // 1:2
	defaultLeaf  = 2 << 16    // 2:
	markHandle   = 1          // of the fw filter
	nodeBase     = 0x80000000 // 800::, the first table of a u32 filter
)

// Priorities of filters. Ours on clsact have values of their own, by which they
// are told from filters of others and from each other; the others are libvirt's.
//
// The filters on clsact have no handles that we choose: their tables are numbered
// across both directions (tc_u_common in net/sched/cls_u32.c), so the first of
// them has 800:: and a filter with that handle is found from either side.
const (
	checksumPriority = 0x7662
	policePriority   = 0x7663
	markPriority     = 1
	portPriority     = 2
)

// Sizes that tc(8) uses where none is given, in bytes.
const (
	htbMTU    = 1600
	policeMTU = 64 << 10
)

// missing reports whether the kernel lacks what was asked for: a qdisc, a
// classifier or an action.
func missing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EOPNOTSUPP)
}

// gone reports whether what was to be deleted is not there: the link, its qdisc
// or the filter.
func gone(err error) bool {
	return errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EINVAL)
}

// linkOf names a link for the netlink library.
func linkOf(index int) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// qdisc returns the kind and handle of the qdisc at a parent (TC_H_ROOT,
// TC_H_INGRESS); "": there is none of those that one can see. One qdisc is asked
// for, as a list would be of the whole host. Without NLM_F_ECHO the kernel tells
// its listeners only.
func (h *Host) qdisc(index int, parent uint32) (kind string, handle uint32, err error) {
	req := h.nl.request(unix.RTM_GETQDISC, unix.NLM_F_ECHO|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(index), Parent: parent})
	err = req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWQDISC, func(m []byte) bool {
		if len(m) < nl.SizeofTcMsg {
			return false
		}
		handle = nl.DeserializeTcMsg(m).Handle
		kind = text(attribute(m[nl.SizeofTcMsg:], nl.TCA_KIND))
		return true
	})
	if errors.Is(err, syscall.ENOENT) {
		err = nil
	}
	return kind, handle, err
}

// addRoot makes the HTB root of a bridge, and reports whether it was not there.
func (h *Host) addRoot(index int) (made bool, err error) {
	kind, handle, err := h.qdisc(index, netlink.HANDLE_ROOT)
	if err != nil {
		return false, fmt.Errorf("reading the root qdisc: %w", err)
	}
	if kind == "htb" && handle == rootQdisc {
		return false, nil
	}
	root := netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: index, Parent: netlink.HANDLE_ROOT, Handle: rootQdisc})
	root.Defcls = defaultClass & 0xffff
	if err := h.tc.QdiscAdd(root); err != nil {
		return false, fmt.Errorf("adding the HTB root: %w", err)
	}
	return true, nil
}

// delRoot deletes the HTB root of a bridge with its classes and filters. Roots
// that are not of that form are somebody else's.
func (h *Host) delRoot(index int) error {
	kind, handle, err := h.qdisc(index, netlink.HANDLE_ROOT)
	if err == nil && kind == "htb" && handle == rootQdisc {
		err = h.tc.QdiscDel(&netlink.Htb{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Parent: netlink.HANDLE_ROOT, Handle: rootQdisc}})
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("deleting the HTB root: %w", err)
	}
	return nil
}

// addClsact makes the qdisc that holds filters for both directions, and reports
// whether it was not there. An ingress qdisc, as libvirt makes, serves as well
// for what comes in.
func (h *Host) addClsact(index int) (made bool, err error) {
	err = h.tc.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.HANDLE_CLSACT & 0xffff0000,
	}})
	if errors.Is(err, syscall.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("adding clsact: %w", err)
	}
	return true, nil
}

// delClsact deletes the qdisc when nothing is on it any more. libvirt's ingress
// qdisc holds nothing but the limit, so it goes in any case.
func (h *Host) delClsact(index int) error {
	kind, handle, err := h.qdisc(index, netlink.HANDLE_INGRESS)
	if err != nil || kind != "clsact" && kind != "ingress" {
		return ignore(err, gone)
	}
	if kind == "clsact" {
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			filters, err := h.tc.FilterList(linkOf(index), parent)
			if err != nil {
				return ignore(fmt.Errorf("listing filters: %w", err), gone)
			}
			if len(filters) > 0 {
				return nil
			}
		}
	}
	err = h.tc.QdiscDel(&netlink.GenericQdisc{QdiscType: kind, QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Parent: netlink.HANDLE_INGRESS, Handle: handle,
	}})
	return ignore(err, gone)
}

// ignore returns err unless it is of a class that does not count.
func ignore(err error, class func(error) bool) error {
	if err != nil && class(err) {
		return nil
	}
	return err
}

// delChecksum and delPolice delete our filters on clsact; a missing one is no
// error.
func (h *Host) delChecksum(index int) error {
	return h.delFilter(index, netlink.HANDLE_MIN_EGRESS, checksumPriority, unix.ETH_P_IP)
}

func (h *Host) delPolice(index int) error {
	return h.delFilter(index, netlink.HANDLE_MIN_INGRESS, policePriority, unix.ETH_P_ALL)
}

func (h *Host) delFilter(index int, parent uint32, priority, protocol uint16) error {
	err := h.tc.FilterDel(&netlink.U32{FilterAttrs: netlink.FilterAttrs{
		LinkIndex: index, Parent: parent, Priority: priority, Protocol: protocol,
	}})
	if err != nil && !gone(err) {
		return fmt.Errorf("deleting a filter: %w", err)
	}
	return nil
}

// setClass adds or changes an HTB class. Rates are bytes per second; burst is
// in bytes, 0: as small as possible.
func (h *Host) setClass(index int, parent, handle uint32, rate, ceil, burst uint64, quantum uint32) error {
	buffer := burst
	if buffer == 0 {
		buffer = uint64(float64(rate)/netlink.Hz()) + htbMTU
	}
	err := h.tc.ClassReplace(&netlink.HtbClass{
		ClassAttrs: netlink.ClassAttrs{LinkIndex: index, Parent: parent, Handle: handle},
		Rate:       rate,
		Ceil:       ceil,
		Buffer:     ticks(buffer, rate),
		Cbuffer:    ticks(uint64(float64(ceil)/netlink.Hz())+htbMTU, ceil),
		Quantum:    quantum,
	})
	if err != nil {
		return fmt.Errorf("setting class %s: %w", netlink.HandleStr(handle), err)
	}
	return nil
}

// ticks is how long a number of bytes takes at a rate, in the kernel's packet
// scheduler ticks, as far as 32 bits go.
func ticks(size, rate uint64) uint32 {
	const microseconds = 1e6
	return uint32(min(float64(size)/float64(rate)*microseconds*netlink.TickInUsec(), math.MaxUint32))
}

// addLeaf gives a class a fair queue. A kernel without SFQ keeps the class's own
// plain queue: limits hold, only fairness among a class's flows is lost.
func (h *Host) addLeaf(index int, class, handle uint32) error {
	leaf := &netlink.Sfq{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Parent: class, Handle: handle}, Perturb: 10}
	err := h.tc.QdiscAdd(leaf)
	if errors.Is(err, syscall.EEXIST) {
		return nil // no parameter of an SFQ can be changed
	}
	if missing(err) {
		h.log.Debug("kernel has no sch_sfq (CONFIG_NET_SCH_SFQ): classes have plain queues")
		return nil
	}
	if err != nil {
		return fmt.Errorf("adding the queue of class %s: %w", netlink.HandleStr(class), err)
	}
	return nil
}

// addMark sends packets with the firewall mark 1 to the class for all. A kernel
// without cls_fw goes without: nothing of libvirt sets that mark.
func (h *Host) addMark(index int) error {
	err := h.tc.FilterReplace(&netlink.FwFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: rootQdisc, Handle: markHandle, Priority: markPriority, Protocol: unix.ETH_P_ALL},
		ClassId:     totalClass,
	})
	if missing(err) {
		h.log.Debug("kernel has no cls_fw (CONFIG_NET_CLS_FW): marked packets are not sorted")
		return nil
	}
	if err != nil {
		return fmt.Errorf("adding the fw filter: %w", err)
	}
	return nil
}

// macFilter is the filter that sorts a guest's packets into its class: IPv4 by
// the destination MAC address. Offsets count from the network header, so the
// Ethernet header is before it.
func macFilter(index int, class uint32, mac xml.MAC) *netlink.U32 {
	return &netlink.U32{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: rootQdisc, Handle: nodeBase | nodeOf(class), Priority: portPriority, Protocol: unix.ETH_P_IP,
		},
		ClassId: rootQdisc | class,
		Sel: &netlink.TcU32Sel{Flags: nl.TC_U32_TERMINAL, Keys: []netlink.TcU32Key{
			{Val: unix.ETH_P_IP, Mask: 0xffff, Off: -4},
			{Val: uint32(mac[2])<<24 | uint32(mac[3])<<16 | uint32(mac[4])<<8 | uint32(mac[5]), Mask: 0xffffffff, Off: -12},
			{Val: uint32(mac[0])<<8 | uint32(mac[1]), Mask: 0xffff, Off: -16},
		}},
	}
}

// The classes that ports can have: 1 and 2 are the network's, and the number of
// a filter has 12 bits.
const (
	minClass = 3
	maxClass = 199 + (0xfff - 0xa00) + 1
)

// nodeOf returns the number of a class's filter. libvirt writes 800 plus the
// class in decimal, which tc reads as hexadecimal: class 3 has 0x803. Beyond
// three decimal digits, where libvirt's numbers do not fit, ours go on at 0xa00.
func nodeOf(class uint32) uint32 {
	if class > 199 {
		return 0xa00 + class - 200
	}
	n := 800 + class
	return n/100<<8 | n/10%10<<4 | n%10
}
