package host

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/ti-mo/conntrack"

	"github.com/virbr/virbr/topology"
)

// Connections returns the connections that the host tracks, in one dump.
func (h *Host) Connections(ctx context.Context) ([]topology.Connection, error) {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("opening a socket for tracked connections: %w", err)
	}
	defer c.Close() //nolint:errcheck // nothing was written
	flows, err := c.Dump(nil)
	if err != nil {
		return nil, fmt.Errorf("listing tracked connections: %w", err)
	}
	list := make([]topology.Connection, 0, len(flows))
	for i := range flows {
		f := &flows[i]
		end := func(t *conntrack.Tuple, source bool) netip.AddrPort {
			if source {
				return netip.AddrPortFrom(t.IP.SourceAddress, t.Proto.SourcePort)
			}
			return netip.AddrPortFrom(t.IP.DestinationAddress, t.Proto.DestinationPort)
		}
		list = append(list, topology.Connection{
			ID: f.ID, Proto: f.TupleOrig.Proto.Protocol, Replied: f.Status.SeenReply(),
			From: end(&f.TupleOrig, true), To: end(&f.TupleOrig, false), By: end(&f.TupleReply, true), As: end(&f.TupleReply, false),
			Sent: topology.Count{Packets: f.CountersOrig.Packets, Bytes: f.CountersOrig.Bytes},
			Back: topology.Count{Packets: f.CountersReply.Packets, Bytes: f.CountersReply.Bytes},
		})
	}
	return list, ctx.Err()
}
