package xml

// parseTraffic reads what limits and tags the traffic of a network, a port group or a
// port.
func parseTraffic(el *node, port bool) (b *Bandwidth, v *VLAN, err error) {
	if bandwidth := el.first("bandwidth"); bandwidth != nil {
		if b, err = parseBandwidth(bandwidth, port); err != nil {
			return nil, nil, err
		}
	}
	if vlan := el.first("vlan"); vlan != nil {
		v, err = parseVLAN(vlan)
	}
	return b, v, err
}

// parseBandwidth reads a <bandwidth>. Ports may give a class id and a floor,
// networks and port groups may not. The result is nil where neither direction
// is given.
func parseBandwidth(el *node, port bool) (*Bandwidth, error) {
	b := &Bandwidth{}
	if text, given := el.attr("classID"); given {
		if !port {
			return nil, el.fail(KindDetail, OriginHelper, "classID attribute not supported on <bandwidth> in this usage context")
		}
		id, ok := parseUint(text, 10, 32)
		if !ok {
			return nil, el.fail(KindInternal, OriginHelper, "Unable to parse class id '%s'", text)
		}
		b.ClassID = uint32(id)
	}
	var err error
	if in := el.anyNS("inbound"); in != nil {
		if b.Inbound, err = parseRate(in, port); err != nil {
			return nil, err
		}
	}
	if out := el.anyNS("outbound"); out != nil {
		if b.Outbound, err = parseRate(out, false); err != nil {
			return nil, err
		}
	}
	if b.Inbound == nil && b.Outbound == nil {
		return nil, nil
	}
	return b, nil
}

// parseRate reads one direction. One without average and floor limits nothing
// and is nil: it would not be printed, so it could not be read again.
func parseRate(el *node, floor bool) (*Rate, error) {
	r := &Rate{}
	given := make(map[string]bool)
	for _, f := range []struct {
		name string
		into *uint64
	}{{"average", &r.Average}, {"peak", &r.Peak}, {"burst", &r.Burst}, {"floor", &r.Floor}} {
		v, ok, err := el.uintAttr(f.name, 10, 64)
		if err != nil {
			return nil, err
		}
		*f.into, given[f.name] = v, ok
	}
	switch {
	case !given["average"] && !given["floor"]:
		return nil, el.fail(KindDetail, OriginHelper, "Missing mandatory average or floor attributes")
	case !given["average"] && (given["peak"] || given["burst"]):
		return nil, el.fail(KindUnsupported, OriginHelper, "'peak' and 'burst' require 'average' attribute")
	case given["floor"] && !floor:
		return nil, el.fail(KindUnsupported, OriginHelper, "floor attribute is not supported for this config")
	}
	if r.Average == 0 && r.Floor == 0 {
		return nil, nil
	}
	return r, nil
}

// format prints the element; b may be nil.
func (b *Bandwidth) format(p *printer) {
	if b == nil {
		return
	}
	p.open("bandwidth", new(attrs).number("classID", uint64(b.ClassID)))
	b.Inbound.format(p, "inbound")
	b.Outbound.format(p, "outbound")
	p.end("bandwidth")
}

func (r *Rate) format(p *printer, name string) {
	if r == nil || r.Average == 0 && r.Floor == 0 {
		return
	}
	p.empty(name, new(attrs).number("average", r.Average).number("peak", r.Peak).
		number("floor", r.Floor).number("burst", r.Burst))
}
