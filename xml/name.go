package xml

import (
	"fmt"
	"strings"
	"unicode"
)

// This file refuses what libvirt lets through into dnsmasq's files, into paths
// and into rules, and what would not stay one value there: control characters
// (dnsmasq runs what follows a line break, as root; tabs are blanks), and separators
// where dnsmasq would read the rest as another field. All else is as harmless as
// it looks, and passes. The wording follows libvirt's "invalid char in".

// Limits of RFC 1035 section 2.3.4.
const (
	maxHostname = 253
	maxLabel    = 63
)

// maxFileName bounds names that become a file name: the longest suffix of
// ours (".hostsfile.new") must fit into 255 bytes.
const maxFileName = 240

// place is where a value stands.
type place struct {
	what     string // for people: "domain name"
	excluded string // characters that would begin something else
	comment  bool   // a # behind a blank begins a comment
	words    bool   // and so it does at the beginning
}

// The places of text in dnsmasq's files.
var (
	domainPlace    = place{what: "domain name", excluded: `,"`, comment: true}
	forwarderPlace = place{what: "forwarder domain", excluded: `"`, comment: true}
	hostnamePlace  = place{what: "hostname", comment: true, words: true}
	dhcpNamePlace  = place{what: "host name", excluded: `,":`, comment: true}
	srvDomainPlace = place{what: "DNS SRV record domain", excluded: `,"`, comment: true}
	srvTargetPlace = place{what: "DNS SRV record target", excluded: `,"`, comment: true}
	txtNamePlace   = place{what: "DNS TXT record name", excluded: `"`}
	txtValuePlace  = place{what: "DNS TXT record value"}
)

// flat writes tabs of an attribute as blanks, as which they are read from our form of
// a document (XML 1.0 section 3.3.3) and by dnsmasq.
func flat(value string) string { return strings.ReplaceAll(value, "\t", " ") }

// check refuses what does not belong into a place.
func (p place) check(el *node, value string) error {
	for _, r := range value {
		if unicode.IsControl(r) && r != '\t' || strings.ContainsRune(p.excluded, r) {
			return p.refuse(el, r)
		}
	}
	if p.words && strings.HasPrefix(value, "#") ||
		p.comment && (strings.Contains(value, " #") || strings.Contains(value, "\t#")) {
		return p.refuse(el, '#')
	}
	return nil
}

// refuse names the character, the element, the line, and what is allowed.
func (p place) refuse(el *node, r rune) error {
	barred := []string{"control characters"}
	for _, c := range p.excluded {
		barred = append(barred, plural[c])
	}
	switch {
	case p.words:
		barred = append(barred, "# at the beginning of a word")
	case p.comment:
		barred = append(barred, "# behind a blank")
	}
	return el.fail(KindDetail, OriginXML, "invalid char in %s: %s (<%s> in line %d: all is allowed but %s)",
		p.what, shown(r), el.name, el.line, strings.Join(barred, ", "))
}

// plural names what places exclude.
var plural = map[rune]string{',': "commas", '"': "double quotes", ':': "colons"}

// shown prints a character for people, blanks and control characters by number.
func shown(r rune) string {
	if r == ' ' || unicode.IsControl(r) {
		return fmt.Sprintf("0x%02x", r)
	}
	return string(r)
}

func invalidChar(el *node, what string, r rune) error {
	if r == '\n' && what == "name" { // libvirt's own refusal
		return el.fail(KindDetail, OriginXML, "invalid char in name: \n")
	}
	return el.fail(KindDetail, OriginXML, "invalid char in %s: %s", what, shown(r))
}

// checkText refuses control characters, and the characters of more.
func checkText(el *node, what, value, more string) error {
	for _, r := range value {
		if unicode.IsControl(r) || strings.ContainsRune(more, r) {
			return invalidChar(el, what, r)
		}
	}
	return nil
}

// checkHostname accepts names of guests in virbr's own elements: labels of
// letters, digits, hyphens and underscores with dots between, perhaps one at the
// end.
func checkHostname(el *node, what, value string) error {
	for _, r := range value {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		if !letter && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return invalidChar(el, what, r)
		}
	}
	if len(value) > maxHostname {
		return el.fail(KindDetail, OriginXML, "%s '%s' is too long, limit is %d bytes", what, value, maxHostname)
	}
	for _, label := range strings.Split(strings.TrimSuffix(value, "."), ".") {
		switch {
		case label == "":
			return el.fail(KindDetail, OriginXML, "empty label in %s '%s'", what, value)
		case len(label) > maxLabel:
			return el.fail(KindDetail, OriginXML, "label '%s' in %s is too long, limit is %d bytes", label, what, maxLabel)
		}
	}
	return nil
}

// maxDevice is IFNAMSIZ without the terminating zero.
const maxDevice = 15

// checkDevice accepts names of network devices, and of their aliases, that mean
// themselves in dnsmasq's configuration and in firewall rules: what the kernel
// accepts (dev_valid_name), but lists, patterns and quotes.
func checkDevice(el *node, what, value string) error {
	for _, r := range value {
		if unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune(`/,*"%`, r) {
			return invalidChar(el, what, r)
		}
	}
	if len(value) > maxDevice {
		return el.fail(KindDetail, OriginXML, "%s '%s' is too long, limit is %d bytes", what, value, maxDevice)
	}
	if value == "" || value == "." || value == ".." {
		return el.fail(KindDetail, OriginXML, "%s '%s' is not a device name", what, value)
	}
	return nil
}

// checkBridge is checkDevice for a bridge, whose name may be a template with
// one %d in it; ids have up to three digits.
func checkBridge(el *node, value string) error {
	before, after, template := strings.Cut(value, "%d")
	if !template {
		return checkDevice(el, "bridge name", value)
	}
	if len(before)+len("256")+len(after) > maxDevice {
		return el.fail(KindDetail, OriginXML, "bridge name '%s' is too long, limit is %d bytes with the number in it", value, maxDevice)
	}
	return checkDevice(el, "bridge name", before+"0"+after)
}

// BridgeTemplate says whether a bridge name is to be allocated, and from which
// template: libvirt's "virbr%d" for no name, else the name itself. ok is false
// for a plain name.
func BridgeTemplate(name string) (template string, ok bool) {
	switch {
	case name == "":
		return "virbr%d", true
	case strings.Contains(name, "%d"):
		return name, true
	}
	return "", false
}

// checkNetworkName accepts names that can be file names and can stand in
// dnsmasq's file paths.
func checkNetworkName(el *node, name string) error {
	if strings.ContainsRune(name, '/') {
		return invalidChar(el, "name", '/')
	}
	if name == "." || name == ".." {
		return el.fail(KindDetail, OriginXML, "name '%s' cannot be a file name", name)
	}
	if len(name) > maxFileName {
		return el.fail(KindDetail, OriginXML, "name '%s' is too long, limit is %d bytes", name, maxFileName)
	}
	return checkText(el, "name", name, "")
}
