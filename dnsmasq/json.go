package dnsmasq

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// writer writes JSON in the layout of json-c: two blanks a level, one item a
// line.
type writer struct {
	buf   []byte
	empty []bool // for each open array and object
}

func (w *writer) open(bracket string) {
	w.buf = append(w.buf, bracket...)
	w.empty = append(w.empty, true)
}

func (w *writer) close(bracket string) {
	last := len(w.empty) - 1
	filled := !w.empty[last]
	w.empty = w.empty[:last]
	if filled {
		w.newline()
	}
	w.buf = append(w.buf, bracket...)
}

func (w *writer) newline() {
	w.buf = append(w.buf, '\n')
	for range w.empty {
		w.buf = append(w.buf, "  "...)
	}
}

func (w *writer) item() {
	last := len(w.empty) - 1
	if !w.empty[last] {
		w.buf = append(w.buf, ',')
	}
	w.empty[last] = false
	w.newline()
}

func (w *writer) key(name string) {
	w.item()
	w.string(name)
	w.buf = append(w.buf, ": "...)
}

// field writes a member of an object unless it is empty.
func (w *writer) field(name, value string) {
	if value != "" {
		w.key(name)
		w.string(value)
	}
}

// string writes a JSON string (RFC 8259, 7) without escaping slashes.
func (w *writer) string(s string) {
	w.buf = append(w.buf, '"')
	if plain(s) {
		w.buf = append(w.buf, s...)
	} else {
		w.escape(strings.ToValidUTF8(s, string(utf8.RuneError)))
	}
	w.buf = append(w.buf, '"')
}

func (w *writer) escape(s string) {
	for i := range len(s) {
		c := s[i]
		short := strings.IndexByte("\b\n\r\t\f\"\\", c)
		switch {
		case short >= 0:
			w.buf = append(w.buf, '\\', `bnrtf"\`[short])
		case c < ' ':
			w.buf = fmt.Appendf(w.buf, `\u%04x`, c)
		default:
			w.buf = append(w.buf, c)
		}
	}
}
