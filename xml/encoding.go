package xml

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// decodeText brings a document to UTF-8 with plain line feeds.
func decodeText(doc []byte) ([]byte, error) {
	doc = bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))
	switch enc := declaredEncoding(doc); enc {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
	case "iso-8859-1", "latin1", "iso-latin-1":
		doc = fromLatin1(doc)
	default:
		return nil, syntaxError(doc, 0, "Unsupported encoding %s", enc)
	}
	for i := 0; i < len(doc); {
		if doc[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(doc[i:])
		if r == utf8.RuneError && size == 1 {
			return nil, syntaxError(doc, i, "Input is not proper UTF-8, indicate encoding !\nBytes:%s", hexBytes(doc[i:]))
		}
		i += size
	}
	if bytes.IndexByte(doc, '\r') >= 0 {
		doc = bytes.ReplaceAll(doc, []byte("\r\n"), []byte("\n"))
		doc = bytes.ReplaceAll(doc, []byte("\r"), []byte("\n"))
	}
	return doc, nil
}

// declaredEncoding returns the encoding of an XML declaration in lower case;
// "" if there is none.
func declaredEncoding(doc []byte) string {
	if !bytes.HasPrefix(doc, []byte("<?xml")) {
		return ""
	}
	decl, _, ok := bytes.Cut(doc, []byte("?>"))
	if !ok {
		return ""
	}
	_, value, ok := bytes.Cut(decl, []byte("encoding"))
	value = bytes.TrimLeft(value, " \t\r\n=")
	if !ok || len(value) == 0 {
		return ""
	}
	name, _, ok := bytes.Cut(value[1:], value[:1])
	if !ok {
		return ""
	}
	return strings.ToLower(string(name))
}

func fromLatin1(doc []byte) []byte {
	out := make([]byte, 0, len(doc)+len(doc)/8)
	for _, c := range doc {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}
