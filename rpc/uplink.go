package rpc

import (
	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// uplinks makes a result.
func uplinks(list []driver.UplinkState, err error) (wire.Message, error) {
	if err != nil {
		return nil, err
	}
	result := proto.Uplinks{Uplinks: make([]proto.Uplink, len(list))}
	for i := range list {
		u := &result.Uplinks[i]
		u.XML, u.Phase = list[i].Uplink.XML(), phases[list[i].Phase]
		for _, w := range list[i].Ways {
			gateway := ""
			if w.Gateway.IsValid() {
				gateway = w.Gateway.String()
			}
			u.Ways = append(u.Ways, proto.UplinkWay{IPv6: w.IPv6, Used: w.Used, Since: w.Since, Gateway: gateway, Reason: w.Reason})
		}
	}
	return &result, nil
}
