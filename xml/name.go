package xml

import (
	"fmt"
	"strings"
	"unicode"
)

// This file refuses what libvirt lets through into dnsmasq's files, into paths
// and into rules: control characters, quotes and separators in places where
// they would end a field or a line (dnsmasq then runs whatever follows, as
// root). The wording follows libvirt's "invalid char in".

// Limits of RFC 1035 section 2.3.4.
const (
	maxHostname = 253
	maxLabel    = 63
)

// maxFileName bounds names that become a file name: the longest suffix of
// ours (".hostsfile.new") must fit into 255 bytes.
const maxFileName = 240

func invalidChar(el *node, what string, r rune) error {
	shown := string(r)
	if r == ' ' || unicode.IsControl(r) && (r != '\n' || what != "name") {
		shown = fmt.Sprintf("0x%02x", r)
	}
	return el.fail(KindDetail, OriginXML, "invalid char in %s: %s", what, shown)
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

// checkPath refuses what dnsmasq would not read as one value: control
// characters, quotes, commas, and a # after a blank, which begins a comment.
func checkPath(el *node, what, value string) error {
	if err := checkText(el, what, value, "\","); err != nil {
		return err
	}
	return checkComment(el, what, value)
}

func checkComment(el *node, what, value string) error {
	if strings.Contains(value, " #") || strings.HasPrefix(value, "#") {
		return invalidChar(el, what, '#')
	}
	return nil
}

// checkHostname accepts names of hosts and domains: labels of letters, digits,
// hyphens and underscores with dots between, perhaps one at the end.
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

// checkDevice accepts names of network devices that the kernel accepts and
// that mean themselves in dnsmasq's configuration and in firewall rules.
func checkDevice(el *node, what, value string) error {
	for _, r := range value {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		if !letter && (r < '0' || r > '9') && !strings.ContainsRune("_.+@=-", r) {
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
	if err := checkText(el, "name", name, ""); err != nil {
		return err
	}
	return checkComment(el, "name", name)
}
