package dnsmasq

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxFile is the size of the largest lease file and guest file that is read,
// in bytes, as in libvirt.
const MaxFile = 32 << 20

// FileError refuses a lease file or guest file. Msg is libvirt's wording.
type FileError struct {
	Msg    string
	Syntax bool // not JSON at all; libvirt's helper then starts anew
}

func (e *FileError) Error() string { return e.Msg }

func broken(syntax bool, format string, args ...any) error {
	return &FileError{Msg: fmt.Sprintf(format, args...), Syntax: syntax}
}

// Entry is one lease of a lease file. Strings that a lease does not have are
// empty.
type Entry struct {
	IAID       string // IPv6 only
	Address    string
	MAC        string
	Hostname   string
	ClientID   string // IPv6: the client's DUID
	ServerDUID string // IPv6 only
	Expiry     int64  // seconds since the epoch; 0: never
}

// Is6 reports whether this is the lease of an IPv6 address.
func (e *Entry) Is6() bool { return strings.Contains(e.Address, ":") }

// text is a string of a document that may hold something else there, which
// counts as nothing.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = text(s)
	}
	return nil
}

// seconds is a time of a document; nil: not a number.
type seconds struct{ value *int64 }

func (s *seconds) UnmarshalJSON(data []byte) error {
	var n int64
	if string(data) != "null" && json.Unmarshal(data, &n) == nil {
		s.value = &n
	}
	return nil
}

// rawEntry is an Entry as the file has it.
type rawEntry struct {
	IAID       text    `json:"iaid"`
	Address    text    `json:"ip-address"`
	MAC        text    `json:"mac-address"`
	Hostname   text    `json:"hostname"`
	ClientID   text    `json:"client-id"`
	ServerDUID text    `json:"server-duid"`
	Expiry     seconds `json:"expiry-time"`
}

// ParseLeases reads a lease file (<bridge>.status), whose name is for messages
// only. An empty file has no leases. All errors are of type *[FileError].
func ParseLeases(file string, data []byte) ([]Entry, error) {
	var raw []rawEntry
	if err := decode(file, data, "Malformed lease_entries array", &raw); err != nil {
		return nil, err
	}
	entries := make([]Entry, len(raw))
	for i, r := range raw {
		switch {
		case r.MAC == "":
			return nil, broken(false, "found lease without mac-address")
		case r.Expiry.value == nil:
			return nil, broken(false, "found lease without expiry-time")
		case r.Address == "":
			return nil, broken(false, "found lease without ip-address")
		}
		entries[i] = Entry{
			IAID: string(r.IAID), Address: string(r.Address), MAC: string(r.MAC), Hostname: string(r.Hostname),
			ClientID: string(r.ClientID), ServerDUID: string(r.ServerDUID), Expiry: *r.Expiry.value,
		}
	}
	return entries, nil
}

// decode reads a file that holds an array; an empty one reads as no elements.
func decode(file string, data []byte, malformed string, into any) error {
	if len(data) > MaxFile {
		return broken(false, "file '%s' is larger than %d bytes", file, MaxFile)
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return nil
	}
	if !json.Valid(data) {
		return broken(true, "invalid json in file: %s", file)
	}
	if data[0] != '[' {
		return broken(false, "%s", malformed)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return broken(false, "%s", malformed)
	}
	return nil
}

// FormatLeases writes a lease file in the layout of libvirt's JSON writer
// (json-c): libvirt's NSS modules and other tools read it.
func FormatLeases(entries []Entry) []byte {
	var w writer
	w.open("[")
	for i := range entries {
		e := &entries[i]
		w.item()
		w.open("{")
		for _, field := range []struct{ key, value string }{
			{"iaid", e.IAID}, {"ip-address", e.Address}, {"mac-address", e.MAC},
			{"hostname", e.Hostname}, {"client-id", e.ClientID}, {"server-duid", e.ServerDUID},
		} {
			if field.value != "" {
				w.key(field.key)
				w.string(field.value)
			}
		}
		w.key("expiry-time")
		fmt.Fprintf(&w.buf, "%d", e.Expiry)
		w.close("}")
	}
	w.close("]")
	return append(w.buf.Bytes(), '\n')
}

// writer writes JSON in the layout of json-c: two blanks a level, one item a
// line.
type writer struct {
	buf   bytes.Buffer
	depth int
	empty []bool // for each open array and object
}

func (w *writer) open(bracket string) {
	w.buf.WriteString(bracket)
	w.depth++
	w.empty = append(w.empty, true)
}

func (w *writer) close(bracket string) {
	last := len(w.empty) - 1
	w.depth--
	if !w.empty[last] {
		w.newline()
	}
	w.empty = w.empty[:last]
	w.buf.WriteString(bracket)
}

func (w *writer) newline() {
	w.buf.WriteByte('\n')
	for range w.depth {
		w.buf.WriteString("  ")
	}
}

func (w *writer) item() {
	last := len(w.empty) - 1
	if !w.empty[last] {
		w.buf.WriteByte(',')
	}
	w.empty[last] = false
	w.newline()
}

func (w *writer) key(name string) {
	w.item()
	w.string(name)
	w.buf.WriteString(": ")
}

// string writes a JSON string (RFC 8259, 7) without escaping slashes.
func (w *writer) string(s string) {
	w.buf.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, string(utf8.RuneError)) {
		switch i := slices.Index([]rune("\b\n\r\t\f\"\\"), r); {
		case i >= 0:
			w.buf.WriteString(`\` + `bnrtf"\`[i:i+1])
		case r < ' ':
			fmt.Fprintf(&w.buf, `\u%04x`, r)
		default:
			w.buf.WriteRune(r)
		}
	}
	w.buf.WriteByte('"')
}
