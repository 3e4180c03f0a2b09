package xml

import "strings"

// maxService is libvirt's limit for the service of an SRV record, in bytes.
const maxService = 482

// parseSRV reads an <srv>. A partial one, which an update uses to find a
// record, needs neither service nor protocol.
func parseSRV(el *node, network string, partial bool) (*SRV, error) {
	s := &SRV{}
	if err := s.parseService(el, network, partial); err != nil {
		return nil, err
	}
	if err := s.parseProtocol(el, network, partial); err != nil {
		return nil, err
	}
	s.Domain, _ = el.attr("domain")
	s.Domain = flat(s.Domain)
	var hasTarget bool
	s.Target, hasTarget = el.attr("target")
	s.Target = flat(s.Target)
	if err := s.parseNumbers(el, network, hasTarget); err != nil {
		return nil, err
	}
	return s, s.checkNames(el)
}

func (s *SRV) parseService(el *node, network string, partial bool) error {
	v, ok := el.attr("service")
	switch {
	case !ok && !partial:
		return el.detail("missing required service attribute in DNS SRV record of network '%s'", network)
	case len(v) > maxService:
		return el.detail("service attribute '%s' in network '%s' is too long, limit is %d bytes", v, network, maxService)
	case !onlyAlnum(v, "_-+/*"):
		return el.detail("invalid character in service attribute '%s' in DNS SRV record of network '%s'", v, network)
	}
	s.Service = v
	return nil
}

func (s *SRV) parseProtocol(el *node, network string, partial bool) error {
	v, ok := el.attr("protocol")
	switch {
	case !ok && !partial:
		return el.detail("missing required protocol attribute in DNS SRV record '%s' of network '%s'", s.Service, network)
	case !onlyAlnum(v, "-+/"):
		return el.detail("invalid character in protocol attribute '%s' in DNS SRV record of network '%s'", v, network)
	}
	s.Protocol = v
	return nil
}

// onlyAlnum reports whether s holds ASCII letters, digits and the characters
// of more only.
func onlyAlnum(s, more string) bool {
	for _, r := range s {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		if !letter && (r < '0' || r > '9') && !strings.ContainsRune(more, r) {
			return false
		}
	}
	return true
}

func (s *SRV) parseNumbers(el *node, network string, hasTarget bool) error {
	shown := s.Service
	if shown == "" {
		shown = "(null)"
	}
	for _, f := range []struct {
		name, invalid string
		least         uint64
		into          *uint16
	}{
		{"port", "invalid DNS SRV port attribute for service '%s' in network '%s'", 1, &s.Port},
		{"priority", "Invalid DNS SRV priority attribute for service '%s' in network '%s'", 0, &s.Priority},
		{"weight", "invalid DNS SRV weight attribute for service '%s' in network '%s'", 0, &s.Weight},
	} {
		text := el.path(f.name)
		if text == "" {
			continue
		}
		v, ok := parseUint(text, 10, 32)
		if ok && !hasTarget {
			return el.detail("DNS SRV %s attribute not permitted without target for service '%s' in network '%s'", f.name, shown, network)
		}
		if !ok || v < f.least || v > 65535 {
			return el.detail(f.invalid, shown, network)
		}
		*f.into = uint16(v)
	}
	if s.Target == "" { // given, but empty: the numbers would be lost anyway
		s.Port, s.Priority, s.Weight = 0, 0, 0
	}
	return nil
}

// checkNames holds domain and target to what stays one field.
func (s *SRV) checkNames(el *node) error {
	for _, f := range []struct {
		name, value string
		place       place
	}{{"domain", s.Domain, srvDomainPlace}, {"target", s.Target, srvTargetPlace}} {
		if strings.ContainsAny(f.value, "\r\n") {
			if err := el.accept(el.detail("invalid line break in DNS SRV record %s attribute", f.name)); err != nil {
				return err
			}
			continue
		}
		if err := el.accept(f.place.check(el, f.value)); err != nil {
			return err
		}
	}
	return nil
}

// format prints a record. Service and protocol may be empty, as in libvirt.
func (s *SRV) format(p *printer) {
	p.empty("srv", new(attrs).put("service", s.Service).put("protocol", s.Protocol).
		text("domain", s.Domain).text("target", s.Target).
		number("port", uint64(s.Port)).number("priority", uint64(s.Priority)).number("weight", uint64(s.Weight)))
}
