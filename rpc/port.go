package rpc

import (
	"context"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/xml"
)

// Flags of networkPortCreateXML.
const (
	flagReclaim      = 1
	flagPortValidate = 2
)

func portRefOf(p proto.Port) driver.PortRef {
	return driver.PortRef{Network: refOf(p.Network), UUID: p.UUID}
}

func portOf(r driver.PortRef) proto.Port {
	return proto.Port{Network: networkOf(r.Network), UUID: r.UUID}
}

func (s *Server) listPorts(ctx context.Context, rq *call, a proto.PortsArgs) (wire.Message, error) {
	if err := checkFlags(a.Flags, 0, "networkListAllPorts"); err != nil {
		return nil, err
	}
	ref := refOf(a.Network)
	if err := s.allowedNetwork(ctx, rq, ref, "search_ports"); err != nil {
		return nil, err
	}
	ports, err := s.cfg.Networks.Ports(ctx, ref)
	if err != nil {
		return nil, err
	}
	ports, err = visible(ctx, s, rq, ports, func(p *driver.PortRef) Access {
		return Access{Object: objectPort, Network: &p.Network, Port: &p.UUID}
	})
	if err != nil {
		return nil, err
	}
	if len(ports) > proto.MaxNames {
		return nil, fail(codeInternal, domainRPC, "Too many network_ports '%d' for limit '%d'", len(ports), proto.MaxNames)
	}
	return &proto.Ports{Count: uint32(len(ports)), Ports: wanted(a.Need, ports, portOf)}, nil
}

func (s *Server) lookupPort(ctx context.Context, rq *call, a proto.Port) (wire.Message, error) {
	ref := portRefOf(a)
	if err := s.allowedPort(ctx, rq, ref, "getattr"); err != nil {
		return nil, err
	}
	return port(s.cfg.Networks.LookupPort(ctx, ref.Network, ref.UUID))
}

// port makes a result of a port.
func port(r driver.PortRef, err error) (wire.Message, error) {
	if err != nil {
		return nil, err
	}
	return new(portOf(r)), nil
}

func (s *Server) createPort(ctx context.Context, rq *call, a proto.PortXMLArgs) (wire.Message, error) {
	if err := checkFlags(a.Flags, flagReclaim|flagPortValidate, "networkPortCreateXML"); err != nil {
		return nil, err
	}
	ref := refOf(a.Network)
	if err := s.allowedNewPort(ctx, rq, ref, a.XML); err != nil {
		return nil, err
	}
	return port(s.cfg.Networks.CreatePort(ctx, ref, a.XML, a.Flags&flagReclaim != 0, a.Flags&flagPortValidate != 0))
}

// allowedNewPort checks the permission to make the port that a document
// describes.
func (s *Server) allowedNewPort(ctx context.Context, rq *call, net driver.Ref, doc string) error {
	if s.cfg.Access == nil {
		return nil
	}
	stored, err := s.stored(ctx, net)
	if err != nil {
		return err
	}
	def, err := xml.ParsePort([]byte(doc))
	if err != nil {
		return err
	}
	return s.allowed(ctx, rq, objectPort, "create", &stored, &def.UUID)
}

func (s *Server) portXML(ctx context.Context, rq *call, a proto.PortFlags) (wire.Message, error) {
	if err := checkFlags(a.Flags, 0, "networkPortGetXMLDesc"); err != nil {
		return nil, err
	}
	ref := portRefOf(a.Port)
	if err := s.allowedPort(ctx, rq, ref, "read"); err != nil {
		return nil, err
	}
	return text(s.cfg.Networks.PortXML(ctx, ref))
}

func (s *Server) deletePort(ctx context.Context, rq *call, a proto.PortFlags) (wire.Message, error) {
	if err := checkFlags(a.Flags, 0, "networkPortDelete"); err != nil {
		return nil, err
	}
	ref := portRefOf(a.Port)
	if err := s.allowedPort(ctx, rq, ref, "delete"); err != nil {
		return nil, err
	}
	return nil, s.cfg.Networks.DeletePort(ctx, ref)
}

func (s *Server) portParams(ctx context.Context, rq *call, a proto.GetParamsArgs) (wire.Message, error) {
	if err := checkFlags(a.Flags, 0, "networkPortGetParameters"); err != nil {
		return nil, err
	}
	ref := portRefOf(a.Port)
	if err := s.allowedPort(ctx, rq, ref, "read"); err != nil {
		return nil, err
	}
	bandwidth, err := s.cfg.Networks.PortBandwidth(ctx, ref)
	if err != nil {
		return nil, err
	}
	return &proto.PortParams{Params: bandwidthParams(bandwidth)}, nil
}

func (s *Server) setPortParams(ctx context.Context, rq *call, a proto.SetParamsArgs) (wire.Message, error) {
	if err := checkFlags(a.Flags, 0, "networkPortSetParameters"); err != nil {
		return nil, err
	}
	bandwidth, err := parseBandwidth(a.Params)
	if err != nil {
		return nil, err
	}
	ref := portRefOf(a.Port)
	if err := s.allowedPort(ctx, rq, ref, "write"); err != nil {
		return nil, err
	}
	return nil, s.cfg.Networks.SetPortBandwidth(ctx, ref, bandwidth)
}

// rateFields are the parameters of a port, in libvirt's order. Outbound has no
// floor.
var rateFields = []struct {
	name        string
	inboundOnly bool
	value       func(*xml.Rate) *uint64
}{
	{"average", false, func(r *xml.Rate) *uint64 { return &r.Average }},
	{"peak", false, func(r *xml.Rate) *uint64 { return &r.Peak }},
	{"floor", true, func(r *xml.Rate) *uint64 { return &r.Floor }},
	{"burst", false, func(r *xml.Rate) *uint64 { return &r.Burst }},
}

func bandwidthParams(b *xml.Bandwidth) []wire.Param {
	if b == nil {
		return nil
	}
	var params []wire.Param
	add := func(direction string, rate *xml.Rate, inbound bool) {
		if rate == nil {
			return
		}
		for _, f := range rateFields {
			if f.inboundOnly && !inbound {
				continue
			}
			params = append(params, wire.Param{
				Field: direction + f.name, Type: wire.ParamUint, Number: uint64(uint32(*f.value(rate))),
			})
		}
	}
	add("inbound.", b.Inbound, true)
	add("outbound.", b.Outbound, false)
	return params
}

// parseBandwidth reads a port's parameters, which replace all that was set. As
// for libvirt unknown names mean nothing and the lowest 32 bits of any number
// will do. It returns nil if no limit is left.
func parseBandwidth(params []wire.Param) (*xml.Bandwidth, error) {
	if err := checkParams(params); err != nil {
		return nil, err
	}
	var in, out xml.Rate
	fields := map[string]*uint64{}
	for _, f := range rateFields {
		fields["inbound."+f.name] = f.value(&in)
		if !f.inboundOnly {
			fields["outbound."+f.name] = f.value(&out)
		}
	}
	for i := range params {
		p := &params[i]
		value, ok := fields[p.Field]
		switch {
		case !ok:
		case p.Type == wire.ParamString:
			return nil, fail(codeInvalidArg, domainNone, "invalid type '%s' for parameter '%s', expected '%s'", p.Type, p.Field, wire.ParamUint)
		default:
			*value = uint64(uint32(p.Number))
		}
	}
	b := &xml.Bandwidth{}
	if in.Average != 0 || in.Floor != 0 {
		b.Inbound = &in
	}
	if out.Average != 0 {
		b.Outbound = &out
	}
	if b.Inbound == nil && b.Outbound == nil {
		return nil, nil
	}
	return b, nil
}
