package rpc

import (
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/xml"
)

// extensions are the procedures of the extension program. They are behind the
// same authentication, sockets and access checks as libvirt's.
var extensions = map[int32]procedure{
	proto.ForwardList: {serve: bind((*Server).forwards), stage: stageNetwork},
	proto.EventList:   {serve: bind((*Server).listEvents), stage: stageNetwork},
	proto.UplinkList:  {serve: asking(Networks.Uplinks, uplinks), stage: stageNetwork},

	proto.ForwardAdd: editing("virbrForwardAdd", xml.ParsePortForward, func(e *xml.Extensions, f *xml.PortForward, at int) error {
		return e.AddForward(*f, at)
	}, (*Server).added),
	proto.ForwardRemove: editing("virbrForwardRemove", xml.ParsePortForward, func(e *xml.Extensions, f *xml.PortForward, _ int) error {
		return e.CutForward(f)
	}, nil),
	proto.AddressAdd: editing("virbrAddressAdd", xml.ParsePublicAddress, func(e *xml.Extensions, p *xml.PublicAddress, _ int) error {
		return e.AddPublic(*p)
	}, nil),
	proto.AddressRemove: editing("virbrAddressRemove", xml.ParsePublicAddress, func(e *xml.Extensions, p *xml.PublicAddress, _ int) error {
		return e.CutPublic(p)
	}, nil),
	proto.UplinkAdd: editing("virbrUplinkAdd", xml.ParseUplink, func(e *xml.Extensions, u *xml.Uplink, at int) error {
		return e.AddUplink(*u, at)
	}, nil),
	proto.UplinkRemove: editing("virbrUplinkRemove", xml.ParseUplink, func(e *xml.Extensions, u *xml.Uplink, _ int) error {
		return e.CutUplink(u)
	}, nil),

	proto.HistoryList: {serve: bind((*Server).history), stage: stageNetwork, slow: true},
	proto.HistoryGet:  {serve: bind((*Server).revision), stage: stageNetwork, slow: true, memory: revisionMemory},

	proto.Plan:  {serve: bind((*Server).plan), stage: stageNetwork, slow: true},
	proto.Apply: {serve: bind((*Server).apply), stage: stageNetwork, forbid: "virbrApply", slow: true},

	proto.PendingList: {serve: bind((*Server).listPending), stage: stageNetwork},
	proto.Confirm:     {serve: deciding(Networks.Confirm), stage: stageNetwork, forbid: "virbrConfirm"},
	proto.RollBack:    {serve: deciding(Networks.RollBack), stage: stageNetwork, forbid: "virbrRollBack", slow: true},

	proto.EventRegister:   {serve: bind((*Server).registerAll), stage: stageNetwork, inline: true},
	proto.EventDeregister: {serve: deregistering(true), stage: stageNetwork, inline: true},
}

func lookupExtension(number int32) (procedure, bool) {
	p, ok := extensions[number]
	return p, ok
}
