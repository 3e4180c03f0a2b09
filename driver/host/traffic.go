package host

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// Traffic is what passed a link since it was made (struct rtnl_link_stats64).
type Traffic struct {
	ReceivedBytes, ReceivedPackets, ReceivedDrops uint64
	SentBytes, SentPackets, SentDrops             uint64
}

// What is not in package unix of linux/if_link.h: a request for counters, which
// costs a fraction of a list of links, of 64 bits each.
const (
	statsLink64       = 1                      // IFLA_STATS_LINK_64
	statsLink64Filter = 1 << (statsLink64 - 1) // IFLA_STATS_FILTER_BIT
)

// statsRequest is struct if_stats_msg for all links.
type statsRequest struct{ filter uint32 }

func (r statsRequest) Len() int { return 12 }

func (r statsRequest) Serialize() []byte {
	return binary.NativeEndian.AppendUint32(make([]byte, 8, 12), r.filter)
}

// Traffic returns the counters of all links by name, in one dump.
func (h *Host) Traffic(ctx context.Context) (map[string]Traffic, error) {
	_, names, err := h.readLinks(ctx)
	if err != nil {
		return nil, err
	}
	list := make(map[string]Traffic, len(names))
	err = h.list(ctx, "counters of links", unix.RTM_GETSTATS, func() { clear(list) }, func(m []byte) {
		if index, t, ok := parseTraffic(m); ok && names[index] != "" {
			list[names[index]] = t
		}
	}, statsRequest{statsLink64Filter})
	if err != nil {
		return nil, fmt.Errorf("reading the counters of links: %w", err)
	}
	return list, nil
}

// Rejected is what the firewall rules of a bridge have rejected.
type Rejected = fwnetlink.Rejected

// Rejected returns what the firewall rules of some bridges have rejected since they
// were installed. Bridges without rules are left out.
func (h *Host) Rejected(ctx context.Context, bridges []string) (map[string]Rejected, error) {
	return fwnetlink.ReadRejected(ctx, h.fw, bridges)
}

// parseTraffic reads a RTM_NEWSTATS message.
func parseTraffic(m []byte) (index int, t Traffic, ok bool) {
	if len(m) < (statsRequest{}).Len() {
		return 0, Traffic{}, false
	}
	index = number(m[4:])
	for typ, value := range attributes(m[(statsRequest{}).Len():]) {
		const used = 8 * 8 // of struct rtnl_link_stats64
		if typ != statsLink64 || len(value) < used {
			continue
		}
		field := func(i int) uint64 { return binary.NativeEndian.Uint64(value[8*i:]) }
		t = Traffic{
			ReceivedPackets: field(0), SentPackets: field(1), ReceivedBytes: field(2), SentBytes: field(3),
			ReceivedDrops: field(6), SentDrops: field(7),
		}
		ok = true
	}
	return index, t, ok
}
