package rpc

import (
	"context"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

func (s *Server) leases(ctx context.Context, rq *call, a proto.LeasesArgs) (wire.Message, error) {
	if err := checkFlags(a.Flags, 0, "networkGetDHCPLeases"); err != nil {
		return nil, err
	}
	ref := refOf(a.Network)
	if err := s.allowedNetwork(ctx, rq, ref, "read"); err != nil {
		return nil, err
	}
	leases, err := s.cfg.Networks.Leases(ctx, ref, deref(a.MAC))
	if err != nil {
		return nil, err
	}
	if len(leases) > proto.MaxLeases {
		return nil, fail(codeInternal, domainRPC, "Number of leases is %d, which exceeds max limit: %d", len(leases), proto.MaxLeases)
	}
	return &proto.Leases{Count: uint32(len(leases)), Leases: wanted(a.Need, leases, leaseOf)}, nil
}

func leaseOf(l driver.Lease) proto.Lease {
	wired := proto.Lease{
		Interface: l.Interface,
		Expiry:    l.Expiry,
		MAC:       present(l.MAC),
		IAID:      present(l.IAID),
		Address:   l.Address,
		Prefix:    l.Prefix,
		Hostname:  present(l.Hostname),
		ClientID:  present(l.ClientID),
	}
	if l.IPv6 {
		wired.Type = 1
	}
	return wired
}

// present makes an optional string: an empty one is absent.
func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
