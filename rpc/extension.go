package rpc

import "github.com/virbr/virbr/rpc/proto"

// extensions are the procedures of the extension program. They are behind the
// same authentication, sockets and access checks as libvirt's.
var extensions = map[int32]procedure{
	proto.ForwardList:   {serve: bind((*Server).forwards), stage: stageNetwork},
	proto.ForwardAdd:    {serve: bind((*Server).addForward), stage: stageNetwork, forbid: "virbrForwardAdd", slow: true},
	proto.ForwardRemove: {serve: bind((*Server).removeForward), stage: stageNetwork, forbid: "virbrForwardRemove", slow: true},
	proto.AddressAdd:    {serve: bind((*Server).addAddress), stage: stageNetwork, forbid: "virbrAddressAdd", slow: true},
	proto.AddressRemove: {serve: bind((*Server).removeAddress), stage: stageNetwork, forbid: "virbrAddressRemove", slow: true},
	proto.EventList:     {serve: bind((*Server).listEvents), stage: stageNetwork},
	proto.UplinkList:    {serve: bind((*Server).uplinks), stage: stageNetwork},
	proto.UplinkAdd:     {serve: bind((*Server).addUplink), stage: stageNetwork, forbid: "virbrUplinkAdd", slow: true},
	proto.UplinkRemove:  {serve: bind((*Server).removeUplink), stage: stageNetwork, forbid: "virbrUplinkRemove", slow: true},

	proto.HistoryList: {serve: bind((*Server).history), stage: stageNetwork, slow: true},
	proto.HistoryGet:  {serve: bind((*Server).revision), stage: stageNetwork, slow: true, memory: revisionMemory},

	proto.Plan:  {serve: bind((*Server).plan), stage: stageNetwork, slow: true},
	proto.Apply: {serve: bind((*Server).apply), stage: stageNetwork, forbid: "virbrApply", slow: true},

	proto.EventRegister:   {serve: bind((*Server).registerAll), stage: stageNetwork, inline: true},
	proto.EventDeregister: {serve: bind((*Server).deregisterAll), stage: stageNetwork, inline: true},
}

func lookupExtension(number int32) (procedure, bool) {
	p, ok := extensions[number]
	return p, ok
}
