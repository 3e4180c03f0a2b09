package host

import (
	"fmt"
	"math"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/xml"
)

// tcaPoliceRate64 is TCA_POLICE_RATE64 (linux/pkt_cls.h): a rate that 32 bits do
// not hold, in bytes per second.
const tcaPoliceRate64 = 8

// maxPoliceBurst is the largest burst in KiB that 32 bits of bytes hold.
const maxPoliceBurst = math.MaxUint32 >> 10

// addPolice drops what comes from guests beyond a rate, in place of an older
// limit. The netlink library has no 64-bit rates, so the filter is put together
// here.
func (h *Host) addPolice(index int, r *xml.Rate) error {
	rate := bytesPerSecond(r.Average)
	burst := r.Burst
	if burst == 0 {
		burst = r.Average
	}
	police := nl.TcPolice{
		Action: int32(netlink.TC_POLICE_SHOT),
		Burst:  ticks(min(burst, maxPoliceBurst)<<10, rate),
		Mtu:    policeMTU,
		Rate:   nl.TcRateSpec{Rate: uint32(min(rate, math.MaxUint32))},
	}
	var table [256]uint32
	if netlink.CalcRtable(&police.Rate, table[:], -1, policeMTU, nl.LINKLAYER_ETHERNET) < 0 {
		return fmt.Errorf("computing the rate table of %d bytes per second: %w", rate, unix.ERANGE)
	}
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	all := netlink.TcU32Sel{Flags: nl.TC_U32_TERMINAL, Nkeys: 1, Keys: []netlink.TcU32Key{{}}}
	options.AddRtAttr(nl.TCA_U32_SEL, all.Serialize())
	options.AddRtAttr(nl.TCA_U32_CLASSID, nl.Uint32Attr(1))
	action := options.AddRtAttr(nl.TCA_U32_POLICE, nil)
	action.AddRtAttr(nl.TCA_POLICE_TBF, police.Serialize())
	action.AddRtAttr(nl.TCA_POLICE_RATE, netlink.SerializeRtab(table))
	if rate > math.MaxUint32 {
		action.AddRtAttr(tcaPoliceRate64, nl.Uint64Attr(rate))
	}
	if err := h.delPolice(index); err != nil {
		return err
	}
	return h.nl.change(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE, &nl.TcMsg{
		Family: unix.AF_UNSPEC, Ifindex: int32(index), Parent: netlink.HANDLE_MIN_INGRESS,
		Info: netlink.MakeHandle(policePriority, nl.Swap16(unix.ETH_P_ALL)),
	}, nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("u32")), options)
}
