package config

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"
)

// Limits of a configuration file. They are far above what any real file
// needs; they keep a wrong path (a device, a log) from filling memory.
const (
	maxFile   = 1 << 20 // bytes
	maxKey    = 64      // bytes
	maxString = 1 << 16 // bytes
	maxList   = 4096    // elements
)

// Kind is the type of a [Value].
type Kind uint8

// The kinds of a Value.
const (
	KindString Kind = iota
	KindNumber
	KindList
)

// String returns the kind's name with its article, as error messages use it.
func (k Kind) String() string {
	switch k {
	case KindString:
		return "a string in quotes"
	case KindNumber:
		return "a number"
	case KindList:
		return "a list of strings"
	}
	return "an unknown kind"
}

// Value is the right side of one assignment.
type Value struct {
	Kind   Kind
	Line   int // where the value begins, from 1
	Text   string
	Number int64
	List   []string
}

// Entry is one assignment of a file.
type Entry struct {
	Key   string
	Line  int // from 1
	Value Value
}

// File is a parsed configuration file, in the order of its assignments.
type File struct {
	Name    string
	Entries []Entry
}

// Lookup returns the value of a key. The first assignment of a key counts, as
// in libvirt's virConfGetValue.
func (f *File) Lookup(key string) (Value, bool) {
	for _, e := range f.Entries {
		if e.Key == key {
			return e.Value, true
		}
	}
	return Value{}, false
}

// Parse reads libvirt's configuration syntax: assignments `key = value`, one a
// line or separated by semicolons, where a value is a string in single, double
// or triple double quotes (there are no escapes), a decimal number, or a list
// of strings in brackets; # starts a comment. Errors are of type [*Error].
func Parse(name string, data []byte) (*File, error) {
	s := &scanner{file: name, data: data, line: 1}
	if len(data) > maxFile {
		return nil, s.errorf("longer than %d bytes, which no configuration is", maxFile)
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, errorAt(name, badLine(data), "not UTF-8 text")
	}
	f := &File{Name: name}
	for {
		s.skipEmpty()
		if s.done() {
			return f, nil
		}
		e, err := s.assignment()
		if err != nil {
			return nil, err
		}
		f.Entries = append(f.Entries, e)
	}
}

// badLine returns the line of the first byte that is not UTF-8 text.
func badLine(data []byte) int {
	line := 1
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == 0 || (r == utf8.RuneError && n == 1) {
			return line
		}
		if r == '\n' {
			line++
		}
		data = data[n:]
	}
	return line
}

// scanner walks over a file's bytes.
type scanner struct {
	file string
	data []byte
	pos  int
	line int
}

func (s *scanner) errorf(format string, args ...any) error {
	return errorAt(s.file, s.line, format, args...)
}

func (s *scanner) done() bool { return s.pos >= len(s.data) }

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.done() {
		return 0
	}
	return s.data[s.pos]
}

func (s *scanner) next() byte {
	c := s.peek()
	s.pos++
	if c == '\n' {
		s.line++
	}
	return c
}

func (s *scanner) skipBlanks() {
	for c := s.peek(); c == ' ' || c == '\t' || c == '\r'; c = s.peek() {
		s.pos++
	}
}

// skipEmpty skips blanks, line ends, separators and comments.
func (s *scanner) skipEmpty() {
	for !s.done() {
		switch s.peek() {
		case ' ', '\t', '\r', '\n', ';':
			s.next()
		case '#':
			s.skipComment()
		default:
			return
		}
	}
}

func (s *scanner) skipComment() {
	for !s.done() && s.peek() != '\n' {
		s.pos++
	}
}

func (s *scanner) assignment() (Entry, error) {
	e := Entry{Line: s.line}
	var err error
	if e.Key, err = s.key(); err != nil {
		return e, err
	}
	s.skipBlanks()
	if s.peek() != '=' {
		return e, s.errorf("%s: an = is missing behind the key", e.Key)
	}
	s.pos++
	s.skipBlanks()
	if e.Value, err = s.value(e.Key); err != nil {
		return e, err
	}
	s.skipBlanks()
	switch s.peek() {
	case 0, '\n', '#', ';':
		return e, nil
	}
	return e, s.errorf("%s: unexpected text behind the value; strings have no escapes, numbers are decimal", e.Key)
}

func (s *scanner) key() (string, error) {
	start := s.pos
	if !letter(s.peek()) {
		return "", s.errorf("a key was wanted, it begins with a letter")
	}
	for c := s.peek(); letter(c) || digit(c) || c == '_'; c = s.peek() {
		s.pos++
	}
	if s.pos-start > maxKey {
		return "", s.errorf("a key is longer than %d bytes", maxKey)
	}
	return string(s.data[start:s.pos]), nil
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

func (s *scanner) value(key string) (Value, error) {
	v := Value{Line: s.line}
	var err error
	switch c := s.peek(); {
	case c == '"' || c == '\'':
		v.Kind = KindString
		v.Text, err = s.text(key)
	case c == '[':
		v.Kind = KindList
		v.List, err = s.list(key)
	case digit(c) || c == '-' || c == '+':
		v.Kind = KindNumber
		v.Number, err = s.number(key)
	default:
		err = s.errorf("%s: a value was wanted: a string in quotes, a number or a [list]", key)
	}
	return v, err
}

func (s *scanner) text(key string) (string, error) {
	quote := string(s.peek())
	if bytes.HasPrefix(s.data[s.pos:], []byte(`"""`)) {
		quote = `"""`
	}
	rest := string(s.data[s.pos+len(quote):])
	end := strings.Index(rest, quote)
	if quote != `"""` {
		if eol := strings.IndexByte(rest, '\n'); eol >= 0 && eol < end {
			end = -1
		}
	}
	if end < 0 {
		return "", s.errorf("%s: the string that begins here has no closing %s", key, quote)
	}
	if end > maxString {
		return "", s.errorf("%s: the string is longer than %d bytes", key, maxString)
	}
	s.pos += 2*len(quote) + end
	s.line += strings.Count(rest[:end], "\n")
	return rest[:end], nil
}

func (s *scanner) list(key string) ([]string, error) {
	list := []string{}
	s.pos++
	for {
		s.skipListSpace()
		if s.peek() == ']' {
			s.pos++
			return list, nil
		}
		if c := s.peek(); c != '"' && c != '\'' {
			return nil, s.errorf("%s: a string in quotes or the closing ] was wanted", key)
		}
		item, err := s.text(key)
		if err != nil {
			return nil, err
		}
		if len(list) == maxList {
			return nil, s.errorf("%s: more than %d elements", key, maxList)
		}
		list = append(list, item)
		s.skipListSpace()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
		default:
			return nil, s.errorf("%s: a comma or the closing ] was wanted", key)
		}
	}
}

// skipListSpace skips blanks, line ends and comments inside a list.
func (s *scanner) skipListSpace() {
	for {
		switch s.peek() {
		case ' ', '\t', '\r', '\n':
			s.next()
		case '#':
			s.skipComment()
		default:
			return
		}
	}
}

func (s *scanner) number(key string) (int64, error) {
	negative := s.peek() == '-'
	if negative || s.peek() == '+' {
		s.pos++
	}
	if !digit(s.peek()) {
		return 0, s.errorf("%s: a digit was wanted behind the sign", key)
	}
	var n int64
	for ; digit(s.peek()); s.pos++ {
		d := int64(s.peek() - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, s.errorf("%s: the number is too large", key)
		}
		n = n*10 + d
	}
	if negative {
		n = -n
	}
	return n, nil
}
