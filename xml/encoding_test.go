package xml

import (
	"encoding/binary"
	"testing"
	"unicode/utf16"
)

// wide writes a text in UTF-16.
func wide(order binary.AppendByteOrder, text string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

// TestEncodings: a document is read in whatever encoding libxml2 and iconv read it,
// with one byte for a character or in UTF-16.
func TestEncodings(t *testing.T) {
	t.Parallel()
	declared := func(encoding, title string) string {
		return "<?xml version='1.0' encoding='" + encoding + "'?>\r\n<network><name>n</name><title>" + title + "</title></network>"
	}
	for name, tt := range map[string]struct{ doc, want string }{
		"UTF-8":                    {declared("UTF-8", "aé€😀"), "aé€😀"},
		"byte order mark":          {"\xef\xbb\xbf" + declared("UTF-8", "é"), "é"},
		"UTF-16, little endian":    {"\xff\xfe" + wide(binary.LittleEndian, declared("UTF-16", "aé€😀")), "aé€😀"},
		"UTF-16, big endian":       {"\xfe\xff" + wide(binary.BigEndian, declared("UTF-16", "aé€😀")), "aé€😀"},
		"without a mark":           {wide(binary.LittleEndian, declared("UTF-16LE", "é")), "é"},
		"big endian without":       {wide(binary.BigEndian, declared("UTF-16BE", "é")), "é"},
		"UTF-16 said, UTF-8 meant": {declared("UTF-16", "é"), "é"},
		"ISO-8859-1":               {declared("ISO-8859-1", "a\xe9\x80"), "aé\u0080"},
		"Latin-1 said, UTF-8":      {declared("ISO-8859-1", "é"), "é"},
		"latin1":                   {declared("latin1", "\xe9"), "é"},
		"iso_8859-15":              {declared("iso_8859-15", "\xa4"), "€"},
		"latin-9":                  {declared("latin-9", "\xa4"), "€"},
		"windows-1252":             {declared("windows-1252", "\x80\x94"), "€”"},
		"CP1252":                   {declared("CP1252", "\x80"), "€"},
		"cp437":                    {declared("cp437", "\x82"), "é"},
		"KOI8-R":                   {declared("KOI8-R", "\xd0\xd2"), "пр"},
		"GBK in ASCII":             {declared("GBK", "abc"), "abc"},
		"XML 1.1":                  {"<?xml version='1.1'?><network><name>n</name><title>é</title></network>", "é"},
		"XML 1.10":                 {"<?xml version=\"1.10\" standalone='no'?><network><name>n</name><title>é</title></network>", "é"},
	} {
		for kind, read := range map[string]func([]byte) (*Network, error){"given": ParseNetwork, "loaded": LoadNetwork} {
			n, err := read([]byte(tt.doc))
			if err != nil {
				t.Errorf("%s, %s: %v", name, kind, err)
			} else if n.Title != tt.want {
				t.Errorf("%s, %s: title %q, want %q", name, kind, n.Title, tt.want)
			}
		}
	}
}

// TestMappedAddresses: getaddrinfo takes an IPv4-mapped address (RFC 4291 section
// 2.5.5.2) for the IPv4 address where it is asked for one, and else for IPv6.
func TestMappedAddresses(t *testing.T) {
	t.Parallel()
	n, err := ParseNetwork([]byte(inside("<forward mode='nat'><nat><address start='::ffff:192.0.2.1' end='::ffff:c000:202'/></nat></forward>" +
		"<dns><forwarder addr='fe80::1%eth0'/><host ip='::ffff:192.0.2.3'><hostname>a</hostname></host></dns><ip address='10.0.0.1' prefix='24'/>")))
	if err != nil {
		t.Fatal(err)
	}
	nat := n.Forward.NAT
	if nat.AddressStart.String() != "192.0.2.1" || nat.AddressEnd.String() != "192.0.2.2" || n.DNS.Hosts[0].IP.String() != "::ffff:192.0.2.3" ||
		n.DNS.Forwarders[0].Addr.String() != "fe80::1%eth0" {
		t.Errorf("got %+v, %+v", nat, n.DNS)
	}
	runRefusals(t, dns, []refusal{
		{"<forwarder addr='fd00::1%eth0'/>", KindXML, "Invalid forwarder IP address 'fd00::1%eth0' in network 'n'"},
		{"<forwarder addr='fe80::1%a/b'/>", KindXML, "Invalid forwarder IP address 'fe80::1%a/b' in network 'n'"},
		{"<forwarder addr='fe80::1%a#53'/>", KindXML, "Invalid forwarder IP address 'fe80::1%a#53' in network 'n'"},
		{"<forwarder addr='fe80::1%'/>", KindXML, "Invalid forwarder IP address 'fe80::1%' in network 'n'"},
	})
}
