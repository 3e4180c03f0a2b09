package xml

import (
	"slices"
	"strings"
)

// The virtual port types.
const (
	vport8021Qbg     = "802.1Qbg"
	vport8021Qbh     = "802.1Qbh"
	vportOpenvswitch = "openvswitch"
	vportMidonet     = "midonet"
)

// maxProfile is the kernel's limit for a profile id (PORT_PROFILE_MAX - 1).
const maxProfile = 39

// profileFields says which parameters a type has. A port without a type may
// have them all.
var profileFields = map[string][]string{
	"":               {"managerid", "typeid", "typeidversion", "instanceid", "interfaceid", "profileid"},
	vport8021Qbg:     {"managerid", "typeid", "typeidversion", "instanceid"},
	vport8021Qbh:     {"profileid"},
	vportOpenvswitch: {"interfaceid", "profileid"},
	vportMidonet:     {"interfaceid"},
}

func parseVirtualPort(el *node, needType bool) (*VirtualPort, error) {
	v := &VirtualPort{}
	kind, given := el.attr("type")
	if given {
		if _, known := profileFields[kind]; !known || kind == "" {
			return nil, el.fail(KindUnsupported, OriginHelper, "unknown virtualport type %s", kind)
		}
		v.Type = kind
	} else if needType {
		return nil, el.fail(KindXML, OriginHelper, "missing required virtualport type")
	}
	params := el.anyNS("parameters")
	if params == nil {
		return v, nil
	}
	if err := v.parseNumbers(params); err != nil {
		return nil, err
	}
	if err := v.parseNames(params); err != nil {
		return nil, err
	}
	return v, v.checkExtras(params)
}

func (v *VirtualPort) parseNumbers(params *node) error {
	for _, f := range []struct {
		name, tooBig string
		max          uint64
		into         **uint32
	}{
		{"managerid", "value of managerid out of range", 0xff, &v.ManagerID},
		{"typeid", "value for typeid out of range", 0xffffff, &v.TypeID},
		{"typeidversion", "value of typeidversion out of range", 0xff, &v.TypeIDVersion},
	} {
		text, given := params.attr(f.name)
		if !given {
			continue
		}
		n, ok := parseUint(text, 0, 32)
		if !ok {
			return params.fail(KindXML, OriginHelper, "cannot parse value of %s parameter", f.name)
		}
		if n > f.max {
			return params.fail(KindXML, OriginHelper, "%s", f.tooBig)
		}
		value := uint32(n)
		*f.into = &value
	}
	return nil
}

func (v *VirtualPort) parseNames(params *node) error {
	for _, f := range []struct {
		name string
		into **UUID
	}{{"instanceid", &v.InstanceID}, {"interfaceid", &v.InterfaceID}} {
		text, given := params.attr(f.name)
		if !given {
			continue
		}
		id, ok := ParseUUID(text)
		if !ok {
			return params.fail(KindXML, OriginHelper, "cannot parse %s parameter as a uuid", f.name)
		}
		*f.into = &id
	}
	v.ProfileID, _ = params.attr("profileid")
	if len(v.ProfileID) > maxProfile {
		return params.fail(KindXML, OriginHelper, "profileid parameter too long")
	}
	return params.accept(checkText(params, "profileid parameter", v.ProfileID, ""))
}

// fields returns the parameters that are set, in output order.
func (v *VirtualPort) fields() []struct{ name, value string } {
	var list []struct{ name, value string }
	add := func(name, value string) { list = append(list, struct{ name, value string }{name, value}) }
	for _, f := range []struct {
		name string
		v    *uint32
	}{{"managerid", v.ManagerID}, {"typeid", v.TypeID}, {"typeidversion", v.TypeIDVersion}} {
		if f.v != nil {
			add(f.name, decimal(*f.v))
		}
	}
	if v.InstanceID != nil {
		add("instanceid", v.InstanceID.String())
	}
	if v.InterfaceID != nil {
		add("interfaceid", v.InterfaceID.String())
	}
	if v.ProfileID != "" {
		add("profileid", v.ProfileID)
	}
	return list
}

// checkExtras refuses parameters that the type does not have. With midonet
// libvirt takes and forgets them.
func (v *VirtualPort) checkExtras(params *node) error {
	if v.Type == vportMidonet {
		*v = VirtualPort{Type: v.Type, InterfaceID: v.InterfaceID}
	}
	for _, f := range v.fields() {
		if !slices.Contains(profileFields[v.Type], f.name) {
			return params.fail(KindXML, OriginHelper, "extra %s unsupported in <virtualport type='%s'>", f.name, v.Type)
		}
	}
	return nil
}

// format prints the element; v may be nil.
func (v *VirtualPort) format(p *printer) {
	if v == nil {
		return
	}
	fields := v.fields()
	a := new(attrs).text("type", v.Type)
	if len(fields) == 0 {
		if v.Type != "" {
			p.empty("virtualport", a)
		}
		return
	}
	params := &attrs{}
	for _, f := range fields {
		if slices.Contains(profileFields[v.Type], f.name) {
			params.put(f.name, f.value)
		}
	}
	p.open("virtualport", a)
	p.empty("parameters", params)
	p.end("virtualport")
}

func parsePortGroup(el *node) (*PortGroup, error) {
	g := &PortGroup{Name: el.path("name")}
	if g.Name == "" {
		return nil, el.bad("Missing required name attribute in portgroup")
	}
	if err := el.accept(checkText(el, "portgroup name", g.Name, "")); err != nil {
		return nil, err
	}
	g.Default = strings.EqualFold(el.path("default"), "yes")
	var err error
	if g.TrustGuestRxFilters, err = el.tristate("trustGuestRxFilters"); err != nil {
		return nil, err
	}
	if vp := el.first("virtualport"); vp != nil {
		if g.VirtualPort, err = parseVirtualPort(vp, false); err != nil {
			return nil, err
		}
	}
	g.Bandwidth, g.VLAN, err = parseTraffic(el, false)
	return g, err
}

// format prints the element, which libvirt never writes as an empty one.
func (g *PortGroup) format(p *printer) {
	p.open("portgroup", new(attrs).put("name", g.Name).yes("default", g.Default).state("trustGuestRxFilters", g.TrustGuestRxFilters))
	g.VLAN.format(p)
	g.VirtualPort.format(p)
	g.Bandwidth.format(p)
	p.end("portgroup")
}
