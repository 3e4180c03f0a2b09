package dnsmasq

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/virbr/virbr/xml"
)

// maxLink is the length of the longest name of a link: IFNAMSIZ less the
// terminating zero.
const maxLink = 15

// What a value may not hold depends on where it stands: a separator there
// would start another field.
const (
	inSlashes  = `"`       // between the slashes of a directive
	inField    = `,"`      // one field of a directive
	inDHCPHost = `,":`     // a field of dhcp-hostsfile
	inDevice   = ` ,"*/:%` // a device
)

func internal(format string, args ...any) error {
	return &xml.Error{Kind: xml.KindInternal, Msg: fmt.Sprintf(format, args...)}
}

func unsupported(format string, args ...any) error {
	return &xml.Error{Kind: xml.KindUnsupported, Msg: fmt.Sprintf(format, args...)}
}

// checker keeps the first refused value.
type checker struct{ err error }

// value refuses control characters but tabs, invalid UTF-8, over-long text and
// each of the forbidden characters.
func (c *checker) value(what, text, forbidden string) {
	if c.err != nil {
		return
	}
	if len(text) > maxLine {
		c.err = unsupported("%s is longer than %d bytes", what, maxLine)
		return
	}
	if !utf8.ValidString(text) {
		c.err = unsupported("invalid UTF-8 in %s", what)
		return
	}
	for _, r := range text {
		if unicode.IsControl(r) && r != '\t' || r == '\u2028' || r == '\u2029' || strings.ContainsRune(forbidden, r) {
			c.err = unsupported("invalid character %q in %s", r, what)
			return
		}
	}
}

// word is value where a # at the beginning of a word would begin a comment.
func (c *checker) word(what, text, forbidden string) {
	c.value(what, text, forbidden)
	if c.err == nil && (strings.Contains(text, " #") || strings.Contains(text, "\t#")) {
		c.err = unsupported("a word begins with '#' in %s", what)
	}
}

// record is word for what libvirt's own message names.
func (c *checker) record(what, text, forbidden string) {
	if c.err == nil && strings.ContainsAny(text, "\r\n") {
		c.err = unsupported("%s must not contain line breaks", what)
	}
	c.word(what, text, forbidden)
}

func check(def *xml.Network, dhcp subnets, dirs Dirs) error {
	var c checker
	c.value("network name", def.Name, "/")
	c.value("directory name", dirs.Run, "")
	c.value("directory name", dirs.Dnsmasq, "")
	c.bridge(def.Bridge.Name)
	c.word("domain name", def.Domain.Name, inField)
	for _, option := range def.DnsmasqOptions {
		c.value("dnsmasq option", option, "")
	}
	c.dns(&def.DNS)
	for i := range def.IPs {
		c.value("tftp root", def.IPs[i].TFTPRoot, "")
		if b := def.IPs[i].Bootp; b != nil {
			c.value("bootp file name", b.File, "")
		}
	}
	for _, ip := range dhcp.list() {
		for _, h := range ip.Hosts {
			c.host(h)
		}
	}
	return c.err
}

// bridge refuses what the kernel would not take for a link's name and what
// dnsmasq would not take for one name: "a,b" is two, "a*" is many.
func (c *checker) bridge(name string) {
	if c.err == nil && (name == "" || name == "." || name == ".." || len(name) > maxLink) {
		c.err = unsupported("invalid bridge name %q", name)
	}
	c.value("bridge name", name, inDevice)
}

func (c *checker) dns(dns *xml.DNS) {
	for _, f := range dns.Forwarders {
		c.word("forwarder domain name", f.Domain, inSlashes)
		if c.err == nil && f.Domain == "" && !f.Addr.IsValid() {
			c.err = unsupported("forwarder without address and domain")
		}
	}
	for _, t := range dns.TXT {
		c.record("DNS TXT record name", t.Name, inField+" ")
		if c.err == nil && strings.ContainsAny(t.Value, "\r\n") {
			c.err = unsupported("DNS TXT record value must not contain line breaks")
		}
		c.value("DNS TXT record value", t.Value, "")
	}
	for _, s := range dns.SRV {
		c.record("DNS SRV record service", s.Service, inField+" ")
		c.record("DNS SRV record protocol", s.Protocol, inField+" ")
		c.record("DNS SRV record domain", s.Domain, inField)
		c.record("DNS SRV record target", s.Target, inField)
	}
	for _, h := range dns.Hosts {
		for _, name := range h.Hostnames {
			c.word("DNS host name", "\t"+name, "") // addn-hosts knows no quotes
			if c.err == nil && name == "" {
				c.err = unsupported("empty DNS host name")
			}
		}
	}
}

func (c *checker) host(h xml.DHCPHost) {
	c.word("DHCP host name", h.Name, inDHCPHost)
	c.hex("DHCP host MAC address", strings.TrimRight(h.MAC, " \t"))
	c.hex("DHCP host id", h.ID)
	if c.err == nil && !h.IP.IsValid() {
		c.err = unsupported("DHCP host without IP address")
	}
}

func (c *checker) hex(what, text string) {
	bad := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF:", r) })
	if c.err == nil && bad >= 0 {
		c.err = unsupported("invalid character %q in %s", text[bad], what)
	}
}

// quotePath returns a path that ends a line. dnsmasq takes it as it stands
// unless it holds quotes, backslashes or what looks like a comment.
func quotePath(path string) string {
	if strings.Contains(path, " #") || strings.ContainsAny(path, `"\`) || strings.TrimSpace(path) != path {
		return quote(path)
	}
	return path
}

// quoteField is quotePath for a value behind which more fields may stand, so
// its commas must not end it, and which may begin with tags.
func quoteField(value string) string {
	if strings.Contains(value, ",") || strings.HasPrefix(value, "tag:") || strings.HasPrefix(value, "net:") {
		return quote(value)
	}
	return quotePath(value)
}

// quote writes a value as a group: between its quotes dnsmasq gives commas,
// blanks and '#' no meaning, and a backslash escapes.
func quote(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// ParsePIDFile returns the path of a configuration's line that names the pid file,
// as libvirt and [Compile] write it; ok is false for other lines.
func ParsePIDFile(line string) (path string, ok bool) {
	path, ok = strings.CutPrefix(strings.TrimSpace(line), "pid-file=")
	if n := len(path); n > 1 && path[0] == '"' && path[n-1] == '"' {
		path = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(path[1 : n-1])
	}
	return path, ok
}
