package sequence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/virbr/virbr/xml"
)

// section is a list of a definition that is edited item by item.
type section int

const (
	hosts section = iota
	ranges
	dnsHosts
	txts
	srvs
	portGroups
	forwards // by the extension program; the others by net-update
	sections // how many there are
)

var sectionNames = [sections]string{"host", "range", "dns-host", "txt", "srv", "portgroup", "forward"}

// updated are the numbers of the sections in libvirt's protocol.
var updated = [sections]xml.UpdateSection{
	hosts: xml.SectionIPDHCPHost, ranges: xml.SectionIPDHCPRange, dnsHosts: xml.SectionDNSHost, txts: xml.SectionDNSTXT,
	srvs: xml.SectionDNSSRV, portGroups: xml.SectionPortGroup,
}

// fixed are the sections whose items cannot be modified, only added and deleted.
var fixed = [sections]bool{ranges: true, srvs: true, forwards: true}

// item is an item of a list: which one, and which of its values it has.
type item struct{ Key, Value int }

// keys is how many items of a list there can be.
const keys = 3

// document returns an item's element.
func (s section) document(net int, i item) string {
	n, k := 60+net, i.Key
	switch s {
	case hosts:
		return fmt.Sprintf("<host mac='52:54:00:%02x:00:%02x' name='h%dv%d' ip='10.%d.0.%d'/>", n, k, k, i.Value, n, 20+k+10*i.Value)
	case ranges:
		return fmt.Sprintf("<range start='10.%d.0.%d' end='10.%d.0.%d'/>", n, 120+20*k, n, 130+20*k)
	case dnsHosts:
		return fmt.Sprintf("<host ip='10.%d.0.%d'><hostname>d%dv%d</hostname></host>", n, 240+k, k, i.Value)
	case txts:
		return fmt.Sprintf("<txt name='t%d' value='v%d'/>", k, i.Value)
	case srvs:
		return fmt.Sprintf("<srv service='s%d' protocol='tcp' target='t.example' port='1'/>", k)
	case portGroups:
		return fmt.Sprintf("<portgroup name='p%d'><bandwidth><inbound average='%d'/></bandwidth></portgroup>", k, 100+i.Value)
	case forwards:
		// By address, by the MAC address of a static host, and by the DHCP name
		// that only a lease has.
		guest := [keys]string{fmt.Sprintf("10.%d.0.50", n), fmt.Sprintf("52:54:00:%02x:00:00", n), "guest0"}[k]
		return fmt.Sprintf("<portForward xmlns='%s' proto='tcp' guest='%s'><range start='%d' end='%d' to='80'/></portForward>",
			xml.Namespace, guest, 8000+100*n+10*k, 8003+100*n+10*k)
	case sections:
	}
	panic("sequence: no such section")
}

// definition is what the model knows of a network's definition.
type definition struct {
	Variant int // what only a new definition changes
	Title   int // 0: none
	Lists   [sections][]item
}

// variants is how many there are.
const variants = 3

// define returns the definition that clients define and create networks with.
func define(variant int) *definition {
	d := &definition{Variant: variant}
	d.Lists[ranges] = []item{{}}
	if variant > 0 {
		d.Lists[hosts] = []item{{Key: variant}}
		d.Lists[txts] = []item{{Key: 0, Value: variant}}
	}
	return d
}

func (d *definition) clone() *definition {
	if d == nil {
		return nil
	}
	c := *d
	for s := range c.Lists {
		c.Lists[s] = slices.Clone(c.Lists[s])
	}
	return &c
}

// edit makes one edit of a list, and reports whether it fits.
func (d *definition) edit(s section, cmd xml.UpdateCommand, i item) bool {
	list := d.Lists[s]
	at := slices.IndexFunc(list, func(o item) bool { return o.Key == i.Key })
	adding := cmd == xml.UpdateAddFirst || cmd == xml.UpdateAddLast
	if adding == (at >= 0) {
		return false
	}
	switch cmd {
	case xml.UpdateAddFirst:
		list = slices.Insert(list, 0, i)
	case xml.UpdateAddLast:
		list = append(list, i)
	case xml.UpdateModify:
		list[at] = i
	case xml.UpdateDelete:
		list = slices.Delete(list, at, at+1)
	case xml.UpdateNone:
	}
	d.Lists[s] = list
	return true
}

// outline is what never changes of a network.
type outline struct {
	name     string
	frame    string // what goes before <ip>
	forwards bool   // forwards lead to its guests
	floor    int    // what ports 0 and 1 are sure of, in KiB a second
}

// nat is a forward with what libvirt adds to it when a network starts.
const nat = "<forward mode='nat'><nat><port start='1024' end='65535'/></nat></forward>"

// networks are the networks of a sequence by their numbers.
var networks = [...]outline{
	{name: "nat", forwards: true,
		frame: nat},
	{name: "isolated", frame: ""},
	{name: "routed", floor: 100,
		frame: "<forward mode='route'/><bandwidth><inbound average='1000' peak='2000' burst='512'/></bandwidth>"},
	{name: "advertised", forwards: true,
		frame: nat + "<ipv6 advprefix='fd00:63:1::/64'/>"},
	{name: "forwarded", forwards: true,
		frame: nat},
}

func uuidOf(net int) [16]byte { return [16]byte{0x5e, 5: 0x40, 8: 0x80, 15: byte(net)} }

func bridgeOf(net int) string { return fmt.Sprintf("virbr%d", 60+net) }

// document returns the network's document. Its elements are in no particular
// order.
func (d *definition) document(net int) string {
	n, k, list := 60+net, networks[net], func(s section) string {
		var b strings.Builder
		for _, i := range d.Lists[s] {
			b.WriteString(s.document(net, i))
		}
		return b.String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<network><name>%s</name><uuid>%s</uuid>", k.name, xml.UUID(uuidOf(net)))
	if d.Title > 0 {
		fmt.Fprintf(&b, "<title>title %d</title>", d.Title)
	}
	if len(d.Lists[forwards]) > 0 {
		fmt.Fprintf(&b, "<metadata><virbr:network xmlns:virbr='%s'>%s</virbr:network></metadata>", xml.Namespace,
			strings.NewReplacer(" xmlns='"+xml.Namespace+"'", "", "portForward", "virbr:portForward", "<range", "<virbr:range").Replace(list(forwards)))
	}
	fmt.Fprintf(&b, "%s<bridge name='%s'/><mac address='52:54:00:5e:00:%02x'/>", k.frame, bridgeOf(net), net)
	b.WriteString([variants]string{"", "<domain name='v1.example' localOnly='yes'/>", "<mtu size='1400'/>"}[d.Variant])
	fmt.Fprintf(&b, "<dns>%s%s%s</dns>", list(txts), list(srvs), list(dnsHosts))
	fmt.Fprintf(&b, "<ip address='10.%d.0.1' prefix='24'><dhcp>%s%s</dhcp></ip>", n, list(ranges), list(hosts))
	if k.name == "nat" {
		fmt.Fprintf(&b, "<ip family='ipv6' address='fd00:%d::1' prefix='64'><dhcp><range start='fd00:%d::100' end='fd00:%d::1ff'/></dhcp></ip>", n, n, n)
	}
	b.WriteString(list(portGroups) + "</network>")
	return b.String()
}

// expect returns the document that a daemon prints of a definition.
func (d *definition) expect(net int, form xml.FormatFlags) (string, error) {
	def, err := xml.ParseNetwork([]byte(d.document(net)))
	if err != nil {
		return "", fmt.Errorf("the model's definition of %q: %w", networks[net].name, err)
	}
	return def.Format(form), nil
}

// port is a port of a running network.
type port struct {
	Key   int
	Class int // its traffic class; 0: it has no floor
}

func portUUID(net, key int) [16]byte {
	return [16]byte{0x9e, 5: 0x40, 8: 0x80, 14: byte(net), 15: byte(key)}
}

// portDocument returns the document that a port is created with.
func portDocument(net, key int) string {
	bandwidth := ""
	if floor := networks[net].floor; floor > 0 && key < 2 {
		bandwidth = fmt.Sprintf("<bandwidth><inbound average='500' floor='%d'/></bandwidth>", floor*(key+1))
	}
	return fmt.Sprintf("<networkport><uuid>%s</uuid><owner><name>vm%d</name><uuid>%s</uuid></owner><mac address='%s'/>%s</networkport>",
		xml.UUID(portUUID(net, key)), key, xml.UUID([16]byte{0x22, 15: byte(key)}), portMAC(net, key), bandwidth)
}

func portMAC(net, key int) string { return fmt.Sprintf("52:54:00:%02x:01:%02x", 60+net, key) }

// plug adds a port with the traffic class that is free.
func plug(ports []port, net, key int) []port {
	p := port{Key: key}
	if networks[net].floor > 0 && key < 2 {
		for p.Class = 3; slices.ContainsFunc(ports, func(o port) bool { return o.Class == p.Class }); p.Class++ {
		}
	}
	return append(slices.Clone(ports), p)
}

func unplug(ports []port, key int) []port {
	return slices.DeleteFunc(slices.Clone(ports), func(p port) bool { return p.Key == key })
}

// byClass orders ports as they would have to be created to get their classes.
func byClass(ports []port) []port {
	return slices.SortedFunc(slices.Values(ports), func(a, b port) int { return cmp.Or(a.Class-b.Class, a.Key-b.Key) })
}
