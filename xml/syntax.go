package xml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// syntaxError words an error at an offset as libvirt does: the message, the
// source line, and an arrow under the place where the parser stopped.
func syntaxError(src []byte, at int, format string, args ...any) error {
	at = min(max(at, 0), len(src))
	begin := at
	for begin > 0 && begin < len(src) && src[begin] == '\n' {
		begin--
	}
	for begin > 0 && (begin == len(src) || src[begin] != '\n') {
		begin--
	}
	if begin < len(src) && src[begin] == '\n' {
		begin++
	}
	end := begin + bytes.IndexByte(append(src[begin:len(src):len(src)], '\n'), '\n')
	excerpt, arrow := "(null)", "^"
	if end > begin {
		excerpt = string(bytes.ToValidUTF8(src[begin:min(end, begin+maxExcerpt)], []byte("?")))
		arrow = strings.Repeat("-", min(max(at-begin, 0), maxExcerpt)) + "^"
	}
	line := 1 + bytes.Count(src[:at], []byte("\n"))
	return &Error{Kind: KindDetail, Origin: OriginNetwork, Line: line,
		Msg: fmt.Sprintf("at line %d: %s\n%s\n%s", line, fmt.Sprintf(format, args...), excerpt, arrow)}
}

// maxExcerpt bounds how much of a source line a message repeats: libvirt's
// clients get it over a protocol that caps strings.
const maxExcerpt = 4096

// hexBytes prints the first four bytes as libxml2 does for broken UTF-8.
func hexBytes(b []byte) string {
	var s strings.Builder
	for i := range 4 {
		var c byte
		if i < len(b) {
			c = b[i]
		}
		fmt.Fprintf(&s, " 0x%02X", c)
	}
	return s.String()
}

// diagnose finds out what encoding/xml disliked about the token at b.offset,
// in libxml2's words and at libxml2's place.
func (b *builder) diagnose(cause error) error {
	rest := b.src[b.offset:]
	has := func(prefix string) bool { return bytes.HasPrefix(rest, []byte(prefix)) }
	var err error
	switch {
	case len(b.stack) == 0 && b.root != nil && !has("<!--") && !has("<?"):
		return b.extra()
	case len(b.stack) == 0 && len(rest) > 0 && rest[0] != '<':
		return syntaxError(b.src, b.offset, "Start tag expected, '<' not found")
	case has("<!--"):
		err = b.diagnoseComment(rest)
	case has("<![CDATA["):
		err = syntaxError(b.src, len(b.src), "CData section not finished\n%.50s", rest[len("<![CDATA["):])
	case has("<?") && nameAt(rest[2:]) == "":
		err = syntaxError(b.src, b.offset+2, "xmlParsePI : no target name")
	case has("<?"):
		err = syntaxError(b.src, len(b.src), "ParsePI: PI %s never end ...", nameAt(rest[2:]))
	case has("</"):
		err = b.diagnoseEnd(rest)
	case has("<"):
		err = b.diagnoseStart(rest)
	default:
		err = b.diagnoseText(b.offset, len(b.src), "")
	}
	if err != nil {
		return err
	}
	if se := (*xml.SyntaxError)(nil); errors.As(cause, &se) {
		return syntaxError(b.src, int(b.dec.InputOffset()), "%s", se.Msg)
	}
	return syntaxError(b.src, int(b.dec.InputOffset()), "%s", cause.Error())
}

func (b *builder) diagnoseComment(rest []byte) error {
	body := rest[len("<!--"):]
	if i := bytes.Index(body, []byte("--")); i >= 0 {
		return syntaxError(b.src, b.offset+len("<!--")+i, "Double hyphen within comment: <!--%.50s", body[:i])
	}
	return syntaxError(b.src, len(b.src), "Comment not terminated")
}

func (b *builder) diagnoseEnd(rest []byte) error {
	name := nameAt(rest[2:])
	if name == "" {
		return syntaxError(b.src, b.offset+2, "StartTag: invalid element name")
	}
	return syntaxError(b.src, b.offset+2+len(name), "expected '>'")
}

// diagnoseStart walks over a start tag that encoding/xml refused.
func (b *builder) diagnoseStart(rest []byte) error {
	name := nameAt(rest[1:])
	if name == "" {
		return syntaxError(b.src, b.offset+1, "StartTag: invalid element name")
	}
	i := 1 + len(name)
	for {
		before := i
		i = skipBlanks(rest, i)
		if i >= len(rest) {
			return syntaxError(b.src, len(b.src), "Couldn't find end of Start Tag %s line %d", name, b.line)
		}
		attr := nameAt(rest[i:])
		switch {
		case i == before:
			return syntaxError(b.src, b.offset+i, "attributes construct error")
		case attr == "":
			return syntaxError(b.src, b.offset+i, "error parsing attribute name")
		}
		i = skipBlanks(rest, i+len(attr))
		if i >= len(rest) || rest[i] != '=' {
			return syntaxError(b.src, b.offset+i, "Specification mandates value for attribute %s", attr)
		}
		i = skipBlanks(rest, i+1)
		if i >= len(rest) || rest[i] != '"' && rest[i] != '\'' {
			return syntaxError(b.src, b.offset+i, "AttValue: \" or ' expected")
		}
		length := bytes.IndexByte(rest[i+1:], rest[i])
		if lt := bytes.IndexByte(rest[i+1:], '<'); lt >= 0 && (length < 0 || lt < length) {
			return syntaxError(b.src, b.offset+i+1+lt, "Unescaped '<' not allowed in attributes values")
		}
		if length < 0 {
			return syntaxError(b.src, len(b.src), "AttValue: ' expected")
		}
		if err := b.diagnoseText(b.offset+i+1, b.offset+i+1+length, "invalid character in attribute value"); err != nil {
			return err
		}
		i += length + 2
	}
}

// diagnoseText looks for what may not stand in text or in an attribute value,
// where a forbidden character has a message of its own.
func (b *builder) diagnoseText(from, to int, forbidden string) error {
	for i := from; i < to; {
		rest := b.src[i:to]
		switch {
		case rest[0] == '<':
			return nil
		case rest[0] == '&':
			if err := b.diagnoseReference(i, rest); err != nil {
				return err
			}
		case forbidden == "" && bytes.HasPrefix(rest, []byte("]]>")):
			return syntaxError(b.src, i, "Sequence ']]>' not allowed in content")
		}
		r, size := utf8.DecodeRune(rest)
		switch {
		case isChar(r):
		case forbidden != "":
			return syntaxError(b.src, i, "%s", forbidden)
		default:
			return syntaxError(b.src, i, "PCDATA invalid Char value %d", r)
		}
		i += size
	}
	return nil
}

func (b *builder) diagnoseReference(at int, rest []byte) error {
	if len(rest) > 1 && rest[1] == '#' {
		return b.diagnoseCharRef(at, rest)
	}
	name := nameAt(rest[1:])
	if name == "" {
		return syntaxError(b.src, at+1, "xmlParseEntityRef: no name")
	}
	end := 1 + len(name)
	if end >= len(rest) || rest[end] != ';' {
		return syntaxError(b.src, at+end, "EntityRef: expecting ';'")
	}
	switch name {
	case "amp", "lt", "gt", "quot", "apos":
		return nil
	}
	return syntaxError(b.src, at+end+1, "Entity '%s' not defined", name)
}

func (b *builder) diagnoseCharRef(at int, rest []byte) error {
	i, base, word := 2, rune(10), "decimal"
	if len(rest) > 2 && rest[2] == 'x' {
		i, base, word = 3, 16, "hexadecimal"
	}
	var value rune
	for ; i < len(rest) && rest[i] != ';'; i++ {
		d := rune(hexDigit(rest[i]))
		if d >= base {
			return syntaxError(b.src, at+i, "CharRef: invalid %s value", word)
		}
		value = min(value*base+d, utf8.MaxRune+1)
	}
	if i >= len(rest) {
		return syntaxError(b.src, at+i, "CharRef: invalid %s value", word)
	}
	switch {
	case value > utf8.MaxRune:
		return syntaxError(b.src, at+i+1, "xmlParseCharRef: character reference out of bounds")
	case !isChar(value):
		return syntaxError(b.src, at+i+1, "xmlParseCharRef: invalid xmlChar value %d", value)
	}
	return nil
}

// hexDigit returns the value of a hexadecimal digit, or 255.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// isChar is the Char production of XML 1.0.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xd7ff ||
		r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= utf8.MaxRune
}

// nameAt returns the XML name at the beginning of b, "" if there is none. It is
// for messages: bytes beyond ASCII are taken as name characters.
func nameAt(b []byte) string {
	for i, c := range b {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == ':' || c >= utf8.RuneSelf
		if letter || i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.') {
			continue
		}
		return string(b[:i])
	}
	return string(b)
}

func skipBlanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}
