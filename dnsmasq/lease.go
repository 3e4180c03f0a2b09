package dnsmasq

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// MaxFile is the size of the largest lease file and guest file that is read,
// in bytes, as in libvirt.
const MaxFile = 32 << 20

// FileError refuses a lease file or guest file. Msg is libvirt's wording.
type FileError struct{ Msg string }

func (e *FileError) Error() string { return e.Msg }

func broken(format string, args ...any) error {
	return &FileError{Msg: fmt.Sprintf(format, args...)}
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
	if len(data) <= MaxFile {
		if entries, ok := scanLeases(string(data)); ok {
			return entries, nil
		}
	}
	var raw []rawEntry
	if err := decode(file, data, "Malformed lease_entries array", &raw); err != nil {
		return nil, err
	}
	entries := make([]Entry, len(raw))
	for i, r := range raw {
		switch {
		case r.MAC == "":
			return nil, broken("found lease without mac-address")
		case r.Expiry.value == nil:
			return nil, broken("found lease without expiry-time")
		case r.Address == "":
			return nil, broken("found lease without ip-address")
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
		return broken("file '%s' is larger than %d bytes", file, MaxFile)
	}
	data = bytes.Trim(data, " \t\r\n") // JSON's own blanks: others make it none
	if len(data) == 0 {
		return nil
	}
	if !json.Valid(data) {
		return broken("invalid json in file: %s", file)
	}
	if data[0] != '[' {
		return broken("%s", malformed)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return broken("%s", malformed)
	}
	return nil
}

// FormatLeases writes a lease file in the layout of libvirt's JSON writer
// (json-c): libvirt's NSS modules and other tools read it.
func FormatLeases(entries []Entry) []byte {
	w := writer{buf: make([]byte, 0, 256*len(entries)+16)}
	w.open("[")
	for i := range entries {
		e := &entries[i]
		w.item()
		w.open("{")
		w.field("iaid", e.IAID)
		w.field("ip-address", e.Address)
		w.field("mac-address", e.MAC)
		w.field("hostname", e.Hostname)
		w.field("client-id", e.ClientID)
		w.field("server-duid", e.ServerDUID)
		w.key("expiry-time")
		w.buf = strconv.AppendInt(w.buf, e.Expiry, 10)
		w.close("}")
	}
	w.close("]")
	return append(w.buf, '\n')
}
