package xml

import (
	"strings"
)

func (n *Network) parseDNS(root *node) (err error) {
	el := root.first("dns")
	if el == nil {
		return nil
	}
	d := &n.DNS
	if d.Enable, err = el.tristate("enable"); err != nil {
		return err
	}
	if d.ForwardPlainNames, err = el.tristate("forwardPlainNames"); err != nil {
		return err
	}
	if err := n.parseForwarders(el); err != nil {
		return err
	}
	record := func(el *node) (*DNSHost, error) { return parseDNSHost(el, n.Name, false) }
	if d.Hosts, err = parseAll(el, "host", record); err != nil {
		return err
	}
	service := func(el *node) (*SRV, error) { return parseSRV(el, n.Name, false) }
	if d.SRV, err = parseAll(el, "srv", service); err != nil {
		return err
	}
	for _, t := range el.all("txt") {
		txt, err := parseTXT(t, n.Name, false)
		if err != nil {
			return err
		}
		d.TXT = append(d.TXT, TXT{Name: txt.Name, Value: txt.Value})
	}
	if d.Enable == No && d.hasEntries() {
		return el.bad("Extra data in disabled network '%s'", n.Name)
	}
	return nil
}

// hasRecords reports whether there is anything that dnsmasq would serve.
func (d *DNS) hasRecords() bool { return len(d.TXT)+len(d.SRV)+len(d.Hosts) > 0 }

func (d *DNS) hasEntries() bool { return d.hasRecords() || len(d.Forwarders) > 0 }

func (n *Network) parseForwarders(dns *node) error {
	for _, el := range dns.all("forwarder") {
		var f Forwarder
		addr, hasAddr := el.attr("addr")
		if hasAddr {
			a, ok := parseUpstream(addr)
			if !ok {
				return el.bad("Invalid forwarder IP address '%s' in network '%s'", addr, n.Name)
			}
			f.Addr = a
		}
		domain, hasDomain := el.attr("domain")
		if !hasAddr && domain == "" {
			return el.bad("Invalid forwarder element, must contain at least one of addr or domain")
		}
		if hasDomain {
			if err := el.accept(forwarderPlace.check(el, domain)); err != nil {
				return err
			}
			f.Domain = flat(domain)
		}
		n.DNS.Forwarders = append(n.DNS.Forwarders, f)
	}
	return nil
}

// parseDNSHost reads a <host> of <dns>. A partial one, which an update uses to
// find a record, needs an address or a name, a full one both.
func parseDNSHost(el *node, network string, partial bool) (*DNSHost, error) {
	h := &DNSHost{}
	ip, given := el.attr("ip")
	if !given && !partial {
		return nil, el.detail("Missing IP address in network '%s' DNS HOST record", network)
	}
	if given {
		a, ok := parseAddr(ip)
		if !ok {
			return nil, el.detail("Invalid IP address in network '%s' DNS HOST record", network)
		}
		h.IP = a
	}
	for _, c := range el.children {
		if c.kind != elementNode || c.name != "hostname" {
			continue
		}
		name := c.content()
		if name == "" {
			return nil, c.detail("Missing hostname in network '%s' DNS HOST record", network)
		}
		if err := c.accept(hostnamePlace.check(c, name)); err != nil {
			return nil, err
		}
		h.Hostnames = append(h.Hostnames, name)
	}
	if len(h.Hostnames) == 0 && !partial {
		return nil, el.detail("Missing hostname in network '%s' DNS HOST record", network)
	}
	if len(h.Hostnames) == 0 && !given {
		return nil, el.detail("Missing ip and hostname in network '%s' DNS HOST record", network)
	}
	return h, nil
}

// foundTXT is a TXT record as an update gives it: the value may be missing.
type foundTXT struct {
	TXT
	hasValue bool
}

// parseTXT reads a <txt>; a partial one needs no value.
func parseTXT(el *node, network string, partial bool) (*foundTXT, error) {
	t := &foundTXT{}
	name, ok := el.attr("name")
	if !ok {
		return nil, el.detail("missing required name attribute in DNS TXT record of network %s", network)
	}
	if name = flat(name); strings.ContainsAny(name, " ,") {
		return nil, el.detail("prohibited character in DNS TXT record name '%s' of network %s", name, network)
	}
	t.Name = name
	t.Value, t.hasValue = el.attr("value")
	t.Value = flat(t.Value)
	if !t.hasValue && !partial {
		return nil, el.detail("missing required value attribute in DNS TXT record named '%s' of network %s", name, network)
	}
	if err := el.accept(txtNamePlace.check(el, name)); err != nil {
		return nil, err
	}
	if strings.ContainsAny(t.Value, "\r\n") {
		return t, el.accept(el.detail("invalid line break in TXT record value"))
	}
	return t, el.accept(txtValuePlace.check(el, t.Value))
}

func (d *DNS) format(p *printer) {
	a := new(attrs).state("enable", d.Enable).state("forwardPlainNames", d.ForwardPlainNames)
	if len(a.b) == 0 && !d.hasEntries() {
		return
	}
	p.element("dns", a, func() {
		for _, f := range d.Forwarders {
			p.empty("forwarder", new(attrs).text("domain", f.Domain).addr("addr", f.Addr))
		}
		for _, t := range d.TXT {
			p.empty("txt", new(attrs).put("name", t.Name).put("value", t.Value))
		}
		for i := range d.SRV {
			d.SRV[i].format(p)
		}
		for _, h := range d.Hosts {
			p.open("host", new(attrs).addr("ip", h.IP))
			for _, name := range h.Hostnames {
				p.leaf("hostname", name)
			}
			p.end("host")
		}
	})
}
