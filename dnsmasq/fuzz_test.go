package dnsmasq_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
)

// FuzzHelper: whatever a guest has dnsmasq tell the helper, the file that is edited
// as text has the leases that Apply says, and dnsmasq reads back lines of the
// words that its own lease files have.
func FuzzHelper(f *testing.F) {
	f.Add([]byte(leaseFile), "add", "52:54:00:0b:00:09", "10.0.0.2", "anna", "", "01:02", "1700000000")
	f.Add([]byte(leaseFile), "del", "52:54:00:0b:00:09", "10.0.0.2", "", "", "", "")
	f.Add([]byte("[]"), "old", "00:01:02", "fd00::9", "b\nc", "77", "", "9")
	f.Add([]byte(leaseFile), "init", "", "", "", "", "00:01", "")
	f.Fuzz(func(t *testing.T, data []byte, action, id, address, name, iaid, duid, expires string) {
		env := map[string]string{"DNSMASQ_INTERFACE": "virbr0", "DNSMASQ_IAID": iaid, "DNSMASQ_SERVER_DUID": duid, "DNSMASQ_MAC": id, "DNSMASQ_LEASE_EXPIRES": expires}
		args := []string{action, id, address, name}
		if action == string(dnsmasq.ActionInit) {
			args = args[:1]
		}
		ev, err := dnsmasq.ParseEvent(args, func(key string) string { return env[key] })
		if err != nil {
			return
		}
		entries, err := dnsmasq.ParseLeases("f", data)
		if err != nil {
			return
		}
		want := dnsmasq.Apply(entries, ev)
		if ev.Action != dnsmasq.ActionInit {
			spliced(t, entries, want, ev)
		}
		for line := range strings.Lines(dnsmasq.InitText(want, duid)) {
			if words := strings.Fields(line); len(words) != 5 && (len(words) != 2 || words[0] != "duid") {
				t.Fatalf("dnsmasq is given the line %q", line)
			}
		}
	})
}

// spliced wants the text of a lease file to become that of other leases.
func spliced(t *testing.T, entries, want []dnsmasq.Entry, ev dnsmasq.Event) {
	t.Helper()
	text := dnsmasq.FormatLeases(entries)
	pieces, ok := dnsmasq.Splice(text, ev)
	if !ok {
		return
	}
	got := text
	if pieces != nil {
		got = bytes.Join(pieces, nil)
	}
	if diff := cmp.Diff(string(dnsmasq.FormatLeases(want)), string(got)); diff != "" {
		t.Fatalf("%+v\non\n%s\n(-applied +spliced)\n%s", ev, text, diff)
	}
}

// FuzzParseGuests: what is accepted survives being written and read.
func FuzzParseGuests(f *testing.F) {
	f.Add([]byte(`[{"domain": "b", "macs": ["52:54:00:00:00:01", ""]}, {"domain": "a\u0000\ud800", "macs": []}]`))
	f.Add([]byte("[\n]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		guests, err := dnsmasq.ParseGuests("f", data)
		if err != nil {
			if _, ok := errors.AsType[*dnsmasq.FileError](err); !ok {
				t.Fatalf("%#v is no FileError", err)
			}
			return
		}
		again, err := dnsmasq.ParseGuests("f", dnsmasq.FormatGuests(guests))
		if diff := cmp.Diff(guests, again); err != nil || diff != "" && len(guests) > 0 {
			t.Fatalf("%v (-first +second)\n%s", err, diff)
		}
	})
}
