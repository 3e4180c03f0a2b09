package rpc

import (
	"context"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// stage is how far a connection must have come for a procedure.
type stage uint8

const (
	stageAnybody    stage = iota // even before authentication
	stageKnown                   // after authentication
	stageHypervisor              // after ConnectOpen, which is what the error says
	stageNetwork                 // after ConnectOpen, with the network driver's error
)

// procedure is how a procedure is served.
type procedure struct {
	serve handler
	stage stage
	// forbid is the public function that the error names when a read-only
	// connection calls; empty: such a connection may.
	forbid string
	// inline procedures only look at or change the connection. The reader
	// runs them, so that what follows on the connection sees their effect.
	inline bool
	// slow procedures change the host or read files: libvirt's low priority.
	slow bool
	// memory is how many bytes a call may take while it runs; 0: not worth counting.
	memory int64
	// patient procedures wait for people and hold no worker.
	patient bool
}

// leasesMemory is what the leases of the largest file that is read take
// (dnsmasq.MaxFile): the file, what stands in it, and the reply.
const leasesMemory = 4 * dnsmasq.MaxFile

// procedures are those that a network driver serves (remote_protocol.x).
var procedures = map[int32]procedure{
	proto.AuthList:      {serve: bind((*Server).authList), inline: true},
	proto.AuthSASLInit:  {serve: noSASL, inline: true},
	proto.AuthSASLStart: {serve: noSASL, inline: true},
	proto.AuthSASLStep:  {serve: noSASL, inline: true},
	proto.AuthPolkit:    {serve: bind((*Server).authPolkit), patient: true},

	proto.ConnectOpen:                    {serve: bind((*Server).open), stage: stageKnown, inline: true},
	proto.ConnectClose:                   {serve: bind((*Server).closeConn), stage: stageKnown, inline: true},
	proto.ConnectSupportsFeature:         {serve: bind((*Server).feature), stage: stageKnown, inline: true},
	proto.ConnectGetType:                 {serve: bind((*Server).connType), stage: stageHypervisor, inline: true},
	proto.ConnectGetURI:                  {serve: bind((*Server).connURI), stage: stageHypervisor, inline: true},
	proto.ConnectIsSecure:                {serve: bind((*Server).isSecure), stage: stageHypervisor, inline: true},
	proto.ConnectGetLibVersion:           {serve: bind((*Server).libVersion), stage: stageHypervisor, inline: true},
	proto.ConnectRegisterCloseCallback:   {serve: bind((*Server).closeCallback), stage: stageHypervisor, inline: true},
	proto.ConnectUnregisterCloseCallback: {serve: bind((*Server).closeCallback), stage: stageHypervisor, inline: true},
	proto.ConnectSetIdentity:             {serve: bind((*Server).setIdentity), stage: stageHypervisor, inline: true},
	proto.ConnectNetworkEventRegister:    {serve: bind((*Server).register), stage: stageNetwork, inline: true},
	proto.ConnectNetworkEventDeregister:  {serve: deregistering(false), stage: stageNetwork, inline: true},

	proto.ConnectListDefinedNetworks:  {serve: bind((*Server).listInactive), stage: stageNetwork},
	proto.ConnectListNetworks:         {serve: bind((*Server).listActive), stage: stageNetwork},
	proto.ConnectNumOfDefinedNetworks: {serve: bind((*Server).countInactive), stage: stageNetwork},
	proto.ConnectNumOfNetworks:        {serve: bind((*Server).countActive), stage: stageNetwork},
	proto.ConnectListAllNetworks:      {serve: bind((*Server).listAll), stage: stageNetwork},
	proto.NetworkLookupByName:         {serve: bind((*Server).lookupByName), stage: stageNetwork},
	proto.NetworkLookupByUUID:         {serve: bind((*Server).lookupByUUID), stage: stageNetwork},

	proto.NetworkCreate:         {serve: doing("start", Networks.Start), stage: stageNetwork, forbid: "virNetworkCreate", slow: true},
	proto.NetworkCreateXML:      {serve: bind((*Server).create), stage: stageNetwork, forbid: "virNetworkCreateXML", slow: true},
	proto.NetworkCreateXMLFlags: {serve: bind((*Server).createFlags), stage: stageNetwork, forbid: "virNetworkCreateXMLFlags", slow: true},
	proto.NetworkDefineXML:      {serve: bind((*Server).define), stage: stageNetwork, forbid: "virNetworkDefineXML", slow: true},
	proto.NetworkDefineXMLFlags: {serve: bind((*Server).defineFlags), stage: stageNetwork, forbid: "virNetworkDefineXMLFlags", slow: true},
	proto.NetworkDestroy:        {serve: doing("stop", Networks.Destroy), stage: stageNetwork, forbid: "virNetworkDestroy", slow: true},
	proto.NetworkUndefine:       {serve: doing("delete", Networks.Undefine), stage: stageNetwork, forbid: "virNetworkUndefine", slow: true},
	proto.NetworkGetXMLDesc:     {serve: bind((*Server).getXML), stage: stageNetwork},
	proto.NetworkGetAutostart:   {serve: asking(Networks.Autostart, yesNo), stage: stageNetwork},
	proto.NetworkSetAutostart:   {serve: bind((*Server).setAutostart), stage: stageNetwork, forbid: "virNetworkSetAutostart", slow: true},
	proto.NetworkGetBridgeName:  {serve: asking(Networks.BridgeName, text), stage: stageNetwork},
	proto.NetworkIsActive:       {serve: asking(Networks.IsActive, yesNo), stage: stageNetwork},
	proto.NetworkIsPersistent:   {serve: asking(Networks.IsPersistent, yesNo), stage: stageNetwork},
	proto.NetworkUpdate:         {serve: bind((*Server).update), stage: stageNetwork, forbid: "virNetworkUpdate", slow: true},
	proto.NetworkSetMetadata:    {serve: bind((*Server).setMetadata), stage: stageNetwork, forbid: "virNetworkSetMetadata", slow: true},
	proto.NetworkGetMetadata:    {serve: bind((*Server).metadata), stage: stageNetwork},
	proto.NetworkGetDHCPLeases:  {serve: bind((*Server).leases), stage: stageNetwork, slow: true, memory: leasesMemory},

	proto.NetworkListAllPorts:      {serve: bind((*Server).listPorts), stage: stageNetwork},
	proto.NetworkPortLookupByUUID:  {serve: bind((*Server).lookupPort), stage: stageNetwork},
	proto.NetworkPortCreateXML:     {serve: bind((*Server).createPort), stage: stageNetwork, forbid: "virNetworkPortCreateXML", slow: true},
	proto.NetworkPortGetParameters: {serve: bind((*Server).portParams), stage: stageNetwork},
	proto.NetworkPortSetParameters: {serve: bind((*Server).setPortParams), stage: stageNetwork, forbid: "virNetworkPortSetParameters", slow: true},
	proto.NetworkPortGetXMLDesc:    {serve: bind((*Server).portXML), stage: stageNetwork},
	proto.NetworkPortDelete:        {serve: bind((*Server).deletePort), stage: stageNetwork, forbid: "virNetworkPortDelete", slow: true},

	// Domain procedures that fail in ways of their own.
	proto.ConnectDomainEventDeregister:         {serve: bind((*Server).noDomainEvent), stage: stageHypervisor, inline: true},
	proto.ConnectDomainEventDeregisterAny:      {serve: bind((*Server).noDomainEvent), stage: stageHypervisor, inline: true},
	proto.ConnectDomainEventCallbackDeregister: {serve: bind((*Server).noDomainCallback), stage: stageHypervisor, inline: true},
	proto.DomainMemoryStats:                    {serve: bind((*Server).memoryStats), stage: stageHypervisor, inline: true},
	proto.DomainOpenGraphics:                   {serve: bind((*Server).openGraphics), stage: stageHypervisor, inline: true},
}

// lookupProcedure finds how a procedure is served. It is false for events and
// for numbers that libvirt does not know.
func lookupProcedure(number int32) (procedure, bool) {
	if p, ok := procedures[number]; ok {
		return p, true
	}
	u, ok := proto.LookupUnserved(number)
	switch {
	case !ok:
		return procedure{}, false
	case u.API == "":
		return procedure{serve: notOpen, stage: stageKnown, inline: true}, true
	}
	return procedure{serve: notSupported(u), stage: stageHypervisor, inline: true}, true
}

// notSupported answers a procedure of a driver that the connection has, but
// which cannot do that.
func notSupported(u proto.Unserved) handler {
	return func(_ context.Context, rq *call) (wire.Message, error) {
		if err := rq.admissible(); err != nil {
			return nil, err
		}
		return nil, fail(codeNoSupport, domain(u.Domain), "%s", u.API)
	}
}

// notOpen answers a procedure of a driver that the connection does not have.
func notOpen(context.Context, *call) (wire.Message, error) {
	return nil, fail(codeInternal, domainRPC, "connection not open")
}

func noSASL(context.Context, *call) (wire.Message, error) {
	return nil, fail(codeAuthFailed, domainRPC, "authentication failed")
}

func (s *Server) noDomainEvent(_ context.Context, _ *call, a proto.Int) (wire.Message, error) {
	return nil, fail(codeInternal, domainRPC, "domain event %d not registered", a.Value)
}

func (s *Server) noDomainCallback(_ context.Context, _ *call, a proto.Int) (wire.Message, error) {
	return nil, fail(codeInternal, domainRPC, "domain event callback %d not registered", a.Value)
}

// memoryStats succeeds when it is asked for nothing, as libvirt's does.
func (s *Server) memoryStats(_ context.Context, _ *call, a proto.StatsArgs) (wire.Message, error) {
	if a.Max == 0 {
		return &proto.Int{}, nil
	}
	return nil, fail(codeNoSupport, domainDomain, "virDomainMemoryStats")
}

func (s *Server) openGraphics(context.Context, *call, proto.Void) (wire.Message, error) {
	return nil, fail(codeInternal, domainRPC, "No FD available at slot 0")
}
