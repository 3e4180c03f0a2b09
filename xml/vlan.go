package xml

import "strings"

// maxVLAN is libvirt's limit for a tag; 802.1Q reserves 4095.
const maxVLAN = 4095

func parseVLAN(el *node) (*VLAN, error) {
	v := &VLAN{}
	refuse := func(at *node, format string, args ...any) (*VLAN, error) {
		return nil, at.fail(KindXML, OriginHelper, format, args...)
	}
	tags := el.all("tag")
	if len(tags) == 0 {
		return refuse(el, "missing tag id - each <vlan> must have at least one <tag id='n'/> subelement")
	}
	native := false
	for _, t := range tags {
		id, err := t.needUint("id", 10, 32)
		if err != nil {
			return nil, err
		}
		if id > maxVLAN {
			return refuse(t, "vlan tag id %d too large (maximum %d)", id, maxVLAN)
		}
		mode, err := t.enum("nativeMode", "tagged", "untagged")
		if err != nil {
			return nil, err
		}
		if mode != "" && native {
			return refuse(t, "duplicate native vlan setting")
		}
		native = native || mode != ""
		v.Tags = append(v.Tags, VLANTag{ID: uint16(id), NativeMode: mode})
	}
	trunk := el.path("trunk")
	v.Trunk = len(tags) > 1 || strings.EqualFold(trunk, "yes")
	switch {
	case trunk == "" || strings.EqualFold(trunk, "yes"):
	case len(tags) > 1:
		return refuse(el, "invalid \"trunk='%s'\" in <vlan> - trunk='yes' is required for more than one vlan tag", trunk)
	case native:
		return refuse(el, "invalid configuration in <vlan> - \"trunk='no'\" is not allowed with a native vlan id")
	case !strings.EqualFold(trunk, "no"):
		return refuse(el, "invalid \"trunk='%s'\" in <vlan> - must be yes or no", trunk)
	}
	return v, nil
}

// format prints the element; v may be nil.
func (v *VLAN) format(p *printer) {
	if v == nil || len(v.Tags) == 0 {
		return
	}
	p.open("vlan", new(attrs).yes("trunk", v.Trunk || len(v.Tags) > 1))
	for _, t := range v.Tags {
		p.empty("tag", new(attrs).put("id", decimal(uint32(t.ID))).text("nativeMode", t.NativeMode))
	}
	p.end("vlan")
}
