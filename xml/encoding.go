package xml

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// decodeText brings a document to UTF-8 with plain line feeds, and its declaration to
// XML 1.0, as which libxml2 reads all of 1.x.
func decodeText(doc []byte) ([]byte, error) {
	text, err := toUTF8(doc)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(text, '\r') >= 0 {
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
		text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	}
	return firstVersion(text)
}

// toUTF8 finds out a document's encoding: by its byte order mark, or, as libvirt's
// clients send text in UTF-8 whatever its declaration says, because it is UTF-8, and
// only else by its declaration.
func toUTF8(doc []byte) ([]byte, error) {
	for _, mark := range []struct {
		start string
		drop  int
		order binary.ByteOrder
	}{
		{"\xfe\xff", 2, binary.BigEndian}, {"\xff\xfe", 2, binary.LittleEndian},
		{"\x00<\x00?", 0, binary.BigEndian}, {"<\x00?\x00", 0, binary.LittleEndian},
	} {
		if bytes.HasPrefix(doc, []byte(mark.start)) {
			return fromUTF16(doc[mark.drop:], mark.order), nil
		}
	}
	doc = bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))
	bad := invalidUTF8(doc)
	if bad < 0 {
		return doc, nil
	}
	name, at := declared(doc, "encoding")
	switch strings.ToLower(name) {
	case "", "utf-8", "utf8", "utf-16", "us-ascii", "ascii":
		return nil, syntaxError(doc, bad, "Input is not proper UTF-8, indicate encoding !\nBytes:%s", hexBytes(doc[bad:]))
	}
	set := charset(name)
	if set == nil {
		return nil, syntaxError(doc, at+len(name)+1, "Unsupported encoding %s", name)
	}
	out := make([]byte, 0, len(doc)+len(doc)/8)
	for i, c := range doc {
		r := set.DecodeByte(c)
		if r == utf8.RuneError {
			return nil, syntaxError(doc, i, "input conversion failed due to input error, bytes%s", hexBytes(doc[i:]))
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}

func fromUTF16(doc []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(doc)/2)
	for i := range units {
		units[i] = order.Uint16(doc[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// invalidUTF8 returns where a text ceases to be UTF-8; -1: nowhere.
func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// latin are the parts of ISO 8859 that the names latin1 to latin10 stand for.
var latin = map[string]string{
	"1": "1", "2": "2", "3": "3", "4": "4", "5": "9", "6": "10", "7": "13", "8": "14", "9": "15", "10": "16",
}

// charset returns the set of characters of a name, of those with a byte for each
// character; nil: none. Names are compared without dashes and the like, as iconv
// does, and may be short: cp1252, latin1.
func charset(name string) *charmap.Charmap {
	plain := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
	number := strings.TrimLeft(plain, "abcdefghijklmnopqrstuvwxyz")
	known := []string{plain}
	switch word := strings.TrimSuffix(plain, number); {
	case word == "latin" || word == "l":
		known = []string{"iso8859" + latin[number]}
	case word == "cp" || word == "ibm":
		known = []string{"windows" + number, "ibmcodepage" + number}
	}
	for _, e := range charmap.All {
		set, ok := e.(*charmap.Charmap)
		if !ok {
			continue
		}
		for _, k := range known {
			if k == strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(set.String())) {
				return set
			}
		}
	}
	return nil
}

// firstVersion checks an XML declaration, in libxml2's words, and makes it one of
// XML 1.0.
func firstVersion(text []byte) ([]byte, error) {
	if !bytes.HasPrefix(text, []byte("<?xml")) || skipBlanks(text, len("<?xml")) == len("<?xml") {
		return text, nil
	}
	version, at := declared(text, "version")
	minor, isFirst := strings.CutPrefix(version, "1.")
	switch {
	case at == 0:
		return nil, syntaxError(text, len("<?xml "), "Malformed declaration expecting version")
	case !isFirst || strings.Trim(minor, "0123456789") != "":
		return nil, syntaxError(text, at+len(version)+1, "Unsupported version '%s'", version)
	}
	if alone, at := declared(text, "standalone"); at > 0 && alone != "yes" && alone != "no" {
		return nil, syntaxError(text, at, "standalone accepts only 'yes' or 'no'")
	}
	if minor == "0" {
		return text, nil
	}
	return bytes.Join([][]byte{text[:at], []byte("1.0"), text[at+len(version):]}, nil), nil
}

// declared returns a value of the XML declaration, and where it stands; 0: nowhere.
func declared(text []byte, name string) (value string, at int) {
	if !bytes.HasPrefix(text, []byte("<?xml")) {
		return "", 0
	}
	decl, _, ok := bytes.Cut(text, []byte("?>"))
	at = bytes.Index(decl, []byte(name))
	if !ok || at < 0 {
		return "", 0
	}
	at = skipBlanks(decl, at+len(name))
	if at >= len(decl) || decl[at] != '=' {
		return "", 0
	}
	at = skipBlanks(decl, at+1)
	if at >= len(decl) || decl[at] != '"' && decl[at] != '\'' {
		return "", 0
	}
	end := bytes.IndexByte(decl[at+1:], decl[at])
	if end < 0 {
		return "", 0
	}
	return string(decl[at+1 : at+1+end]), at + 1
}
