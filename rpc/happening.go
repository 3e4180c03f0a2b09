package rpc

import (
	"context"
	"math"
	"net/netip"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// happenings are the driver's events on the wire of the extension program.
var happenings = map[driver.EventKind]int32{
	driver.EventDefined:        proto.EventDefined,
	driver.EventUndefined:      proto.EventUndefined,
	driver.EventStarted:        proto.EventStarted,
	driver.EventStopped:        proto.EventStopped,
	driver.EventMetadata:       proto.EventMetadata,
	driver.EventHealed:         proto.EventHealed,
	driver.EventAccepted:       proto.EventAccepted,
	driver.EventDnsmasqDied:    proto.EventDnsmasqDied,
	driver.EventDnsmasqStarted: proto.EventDnsmasqStarted,
	driver.EventDnsmasqFailed:  proto.EventDnsmasqFailed,
	driver.EventGuest:          proto.EventGuest,
	driver.EventNameClaimed:    proto.EventNameClaimed,
	driver.EventRestored:       proto.EventRestored,
	driver.EventUplink:         proto.EventUplink,
}

// toldFrame encodes an event for a listener of the extension program. What others
// may have written, as the name of a program or of a guest, is cleaned.
func toldFrame(id int32, e happening) ([]byte, error) {
	told := toldOf(e)
	told.CallbackID = id
	h := wire.Header{
		Program: proto.ExtensionProgram, Version: proto.ExtensionVersion,
		Procedure: proto.EventTold, Type: wire.TypeMessage, Serial: eventSerial,
	}
	return wire.Frame(h, &told)
}

// toldOf is an event as clients are told it.
func toldOf(e happening) proto.Happening {
	told := proto.Happening{
		Network: networkOf(e.Network), Time: e.at.UnixNano(), Kind: happenings[e.Kind],
		By: printable(e.By), Took: int64(e.Took), Wait: int64(e.Wait),
		Count: int32(min(max(e.Networks, e.Deaths, e.Leading), math.MaxInt32)), // each kind has one of them
		Was:   words(e.Was), Now: words(e.Now),
	}
	switch e.Kind {
	case driver.EventMetadata:
		told.Detail = [...]string{"description", "title", printable(e.URI)}[min(max(e.MetadataType, 0), driver.MetadataElement)]
	case driver.EventDnsmasqFailed, driver.EventRestored, driver.EventUplink:
		told.Detail = printable(e.Reason)
	case driver.EventGuest, driver.EventNameClaimed:
		told.Detail = printable(e.Guest)
	case driver.EventDefined, driver.EventUndefined, driver.EventStarted, driver.EventStopped,
		driver.EventHealed, driver.EventAccepted, driver.EventDnsmasqDied, driver.EventDnsmasqStarted:
	}
	return told
}

func words(list []netip.Addr) []string {
	var text []string
	for _, a := range list[:min(len(list), proto.MaxEventAddresses)] {
		text = append(text, a.String())
	}
	return text
}

func (s *Server) registerAll(ctx context.Context, rq *call, a proto.EventFilter) (wire.Message, error) {
	return s.listen(ctx, rq, everything, a.Network)
}
