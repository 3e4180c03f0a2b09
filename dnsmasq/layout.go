package dnsmasq

import (
	"strconv"
	"strings"
)

// This file reads lease files in the very layout that [FormatLeases] and
// libvirt's helper write, without a general JSON parser. The helper reads the
// whole file for each lease that changes; with thousands of leases this is what
// it spends its time on. What it does not know it leaves to [ParseLeases].

// layout reads a file line by line.
type layout struct{ rest string }

func (s *layout) line() string {
	line, rest, _ := strings.Cut(s.rest, "\n")
	s.rest = rest
	return line
}

// scanLeases returns the leases of a file; ok is false if anything at all in it
// is not as expected.
func scanLeases(data string) (entries []Entry, ok bool) {
	s := &layout{data}
	if s.line() != "[" {
		return nil, false
	}
	entries = make([]Entry, 0, strings.Count(data, "\n  {\n"))
	for more := true; more; {
		if s.line() != "  {" {
			return nil, false
		}
		entries = append(entries, Entry{})
		if more, ok = s.entry(&entries[len(entries)-1]); !ok {
			return nil, false
		}
	}
	return entries, s.line() == "]" && s.rest == ""
}

// entry reads the lines of one lease up to its end; more tells of a comma there.
func (s *layout) entry(e *Entry) (more, ok bool) {
	timed := false
	for comma := true; comma; {
		line, found := strings.CutPrefix(s.line(), `    "`)
		if !found {
			return false, false
		}
		line, comma = strings.CutSuffix(line, ",")
		key, value, found := strings.Cut(line, `": `)
		if !found {
			return false, false
		}
		if key == "expiry-time" {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || value != "0" && (value[0] < '1' || value[0] > '9') {
				return false, false // negative, or no number in JSON's eyes
			}
			e.Expiry, timed = n, true
			continue
		}
		field := e.field(key)
		if field == nil || len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' || !plain(value[1:len(value)-1]) {
			return false, false
		}
		*field = value[1 : len(value)-1]
	}
	end := s.line()
	return end == "  },", (end == "  }," || end == "  }") && timed && e.MAC != "" && e.Address != ""
}

func (e *Entry) field(key string) *string {
	switch key {
	case "iaid":
		return &e.IAID
	case "ip-address":
		return &e.Address
	case "mac-address":
		return &e.MAC
	case "hostname":
		return &e.Hostname
	case "client-id":
		return &e.ClientID
	case "server-duid":
		return &e.ServerDUID
	}
	return nil
}

// plain reports whether a string means itself between JSON's quotes, and is
// ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x80 || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
