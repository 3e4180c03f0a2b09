package dnsmasq

import "bytes"

// This file edits the text of lease files in the very layout of [FormatLeases].
// The helper is called for each lease that changes; with thousands of leases,
// reading them into memory and writing them out again is what it would spend
// its time on.

// The layout's words.
const (
	firstEntry = "[\n  {\n"
	openEntry  = "\n  {\n"
	closeEntry = "\n  }"
	lastEntry  = "\n  }\n]\n"
	addressKey = "\n    \"ip-address\": "
)

// noLeases is a file without leases.
const noLeases = "[]\n"

// Splice does to the text of a lease file what [Apply] does to its leases. The
// result is in pieces, which refer to data; none: nothing changes. data must be
// what [FormatLeases] or Splice made: that is not checked. ok is false where an
// event needs more than exchanging one lease.
func Splice(data []byte, ev Event) (pieces [][]byte, ok bool) {
	adds := ev.Action == ActionAdd || ev.Action == ActionOld
	if ev.Entry.Address == "" || !plain(ev.Entry.Address) || incomplete(data, ev.Entry.ServerDUID) {
		return nil, false
	}
	if adds && ev.Entry.MAC == "" {
		return nil, true
	}
	if string(data) == noLeases {
		if adds {
			pieces = [][]byte{FormatLeases([]Entry{ev.Entry})}
		}
		return pieces, true
	}
	if !bytes.HasPrefix(data, []byte(firstEntry)) || !bytes.HasSuffix(data, []byte(lastEntry)) {
		return nil, false
	}
	start, end, found, ok := locate(data, ev.Entry.Address)
	if !ok {
		return nil, false
	}
	if !adds {
		return cut(data, start, end, found), true
	}
	fresh := FormatLeases([]Entry{ev.Entry})
	fresh = fresh[len("[\n") : len(fresh)-len("\n]\n")]
	if found && bytes.Equal(fresh, data[start:end]) {
		return nil, true
	}
	rest := cut(data, start, end, found)
	if !found {
		rest = [][]byte{data}
	}
	if string(rest[0]) == noLeases {
		return [][]byte{FormatLeases([]Entry{ev.Entry})}, true
	}
	last := len(rest) - 1
	rest[last] = bytes.TrimSuffix(rest[last], []byte("\n]\n"))
	return append(rest, []byte(",\n"), fresh, []byte("\n]\n")), true
}

// incomplete reports whether leases of IPv6 addresses lack the server's DUID,
// which is known now.
func incomplete(data []byte, duid string) bool {
	if duid == "" {
		return false
	}
	six := 0
	for rest := data; ; {
		i := bytes.Index(rest, []byte(addressKey))
		if i < 0 {
			break
		}
		rest = rest[i+len(addressKey):]
		if bytes.IndexByte(rest[:max(bytes.IndexByte(rest, '\n'), 0)], ':') >= 0 {
			six++
		}
	}
	return bytes.Count(data, []byte("\n    \"server-duid\": ")) != six
}

// locate finds the lease of an address: from its opening blank to its closing
// brace. ok is false if there is more than one.
func locate(data []byte, address string) (start, end int, found, ok bool) {
	line := []byte(addressKey + `"` + address + `"`)
	at := bytes.Index(data, line)
	if at < 0 {
		return 0, 0, false, true
	}
	start = bytes.LastIndex(data[:at+1], []byte(openEntry)) + 1
	n := bytes.Index(data[at:], []byte(closeEntry))
	if start == 0 || n < 0 || bytes.Contains(data[at+len(line):], line) {
		return 0, 0, false, false
	}
	return start, at + n + len(closeEntry), true, true
}

// cut returns a file without the lease that stands between start and end; none
// where there is no such lease.
func cut(data []byte, start, end int, found bool) [][]byte {
	first, last := start == len("[\n"), len(data)-end == len("\n]\n")
	switch {
	case !found:
		return nil
	case first && last:
		return [][]byte{[]byte(noLeases)}
	case last:
		return [][]byte{data[:start-len(",\n")], data[end:]}
	}
	return [][]byte{data[:start], data[end+len(",\n"):]}
}
