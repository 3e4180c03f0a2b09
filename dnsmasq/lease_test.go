package dnsmasq_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
)

// leaseFile is a file in the layout of libvirt's helper, with the leases that
// it holds.
const leaseFile = `[
  {
    "ip-address": "192.168.150.10",
    "mac-address": "52:54:00:0b:00:01",
    "hostname": "anna",
    "client-id": "01:52:54:00:0b:00:01",
    "expiry-time": 1700000000
  },
  {
    "iaid": "11",
    "ip-address": "2001:db8:33::50",
    "mac-address": "52:54:00:0b:00:01",
    "client-id": "00:03:00:01:52:54:00:0b:00:01",
    "server-duid": "00:01:00:01:2c:00:00:00:52:54:00:0a:00:01",
    "expiry-time": 0
  }
]
`

func leases() []dnsmasq.Entry {
	return []dnsmasq.Entry{
		{Address: "192.168.150.10", MAC: "52:54:00:0b:00:01", Hostname: "anna", ClientID: "01:52:54:00:0b:00:01", Expiry: 1700000000},
		{IAID: "11", Address: "2001:db8:33::50", MAC: "52:54:00:0b:00:01", ClientID: "00:03:00:01:52:54:00:0b:00:01",
			ServerDUID: "00:01:00:01:2c:00:00:00:52:54:00:0a:00:01"},
	}
}

func TestLeaseFile(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(leaseFile, string(dnsmasq.FormatLeases(leases()))); diff != "" {
		t.Errorf("FormatLeases (-want +got)\n%s", diff)
	}
	compact := strings.NewReplacer("\n", "", "  ", "").Replace(leaseFile)
	for name, text := range map[string]string{"as written": leaseFile, "in one line": compact, "with blanks around": "\n \t" + leaseFile + "\n"} {
		got, err := dnsmasq.ParseLeases("f", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(leases(), got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestEmptyLeaseFiles(t *testing.T) {
	t.Parallel()
	if got := string(dnsmasq.FormatLeases(nil)); got != "[]\n" {
		t.Errorf("FormatLeases(nil) = %q", got)
	}
	for _, text := range []string{"", "\n", "[]", "[]\n", "[\n]\n", "[\n\n]\n"} {
		if got, err := dnsmasq.ParseLeases("f", []byte(text)); err != nil || len(got) != 0 {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestBrokenLeaseFiles(t *testing.T) {
	t.Parallel()
	const whole = `"mac-address":"52:54:00:0b:00:01","ip-address":"10.0.0.2","expiry-time":0`
	for _, tt := range []struct {
		text, msg string
	}{
		{"{", "invalid json in file: /x/virbr0.status"},
		{leaseFile + "]", "invalid json in file: /x/virbr0.status"},
		{strings.Replace(leaseFile, `anna",`, `anna"`, 1), "invalid json in file: /x/virbr0.status"},
		{strings.Replace(leaseFile, "  },", "  }", 1), "invalid json in file: /x/virbr0.status"},
		{leaseFile[:len(leaseFile)-3], "invalid json in file: /x/virbr0.status"},
		{"{}", "Malformed lease_entries array"},
		{"[1]", "Malformed lease_entries array"},
		{`["a"]`, "Malformed lease_entries array"},
		{`[{"ip-address":"10.0.0.2","expiry-time":0}]`, "found lease without mac-address"},
		{`[{"mac-address":7,"ip-address":"10.0.0.2","expiry-time":0}]`, "found lease without mac-address"},
		{`[{"mac-address":"52:54:00:0b:00:01","ip-address":"10.0.0.2"}]`, "found lease without expiry-time"},
		{`[{"mac-address":"52:54:00:0b:00:01","ip-address":"10.0.0.2","expiry-time":"0"}]`, "found lease without expiry-time"},
		{`[{"mac-address":"52:54:00:0b:00:01","expiry-time":0}]`, "found lease without ip-address"},
		{`[{` + whole + `},null]`, "found lease without mac-address"},
		{strings.Repeat(" ", dnsmasq.MaxFile+1), "file '/x/virbr0.status' is larger than 33554432 bytes"},
	} {
		_, err := dnsmasq.ParseLeases("/x/virbr0.status", []byte(tt.text))
		fe, ok := errors.AsType[*dnsmasq.FileError](err)
		if !ok || fe.Msg != tt.msg {
			t.Errorf("%.60q: got %#v, want %q", tt.text, err, tt.msg)
		}
	}
}

func TestLeaseFileEscapes(t *testing.T) {
	t.Parallel()
	want := []dnsmasq.Entry{{Address: "10.0.0.2", MAC: "52:54:00:0b:00:01", Hostname: "a\"b\\c/d\n\t\x01é\u2028<&>"}}
	text := dnsmasq.FormatLeases(want)
	if !strings.Contains(string(text), `"a\"b\\c/d\n\t\u0001é`+"\u2028"+`<&>"`) {
		t.Errorf("written as\n%s", text)
	}
	got, err := dnsmasq.ParseLeases("f", text)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// FuzzParseLeases: whatever is accepted survives being written and read, and
// is what encoding/json sees in it.
func FuzzParseLeases(f *testing.F) {
	f.Add([]byte(leaseFile))
	f.Add([]byte("[\n]\n"))
	f.Add([]byte(`[{"mac-address":"\u0001","ip-address":"::","expiry-time":-1}]`))
	f.Add([]byte(strings.Replace(leaseFile, "anna", `an\"na`, 1)))
	f.Add([]byte(strings.Replace(leaseFile, "1700000000", "01", 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := dnsmasq.ParseLeases("f", data)
		if err != nil {
			if _, ok := errors.AsType[*dnsmasq.FileError](err); !ok {
				t.Fatalf("%#v is no FileError", err)
			}
			return
		}
		if len(strings.Trim(string(data), " \t\r\n")) > 0 && !json.Valid(data) {
			t.Fatalf("accepted what is no JSON: %q", data)
		}
		again, err := dnsmasq.ParseLeases("f", dnsmasq.FormatLeases(entries))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(entries, again); diff != "" && len(entries) > 0 {
			t.Fatalf("(-first +second)\n%s", diff)
		}
		var indented strings.Builder
		encoder := json.NewEncoder(&indented)
		encoder.SetIndent("", " ")
		if err := encoder.Encode(json.RawMessage(data)); err != nil {
			return // an empty file
		}
		slow, err := dnsmasq.ParseLeases("f", []byte(indented.String()))
		if diff := cmp.Diff(entries, slow); (diff != "" && len(entries) > 0) || err != nil {
			t.Fatalf("in another layout: %v (-first +second)\n%s", err, diff)
		}
	})
}

func manyLeases(n int) []dnsmasq.Entry {
	list := make([]dnsmasq.Entry, n)
	for i := range list {
		mac := fmt.Sprintf("52:54:00:0b:%02x:%02x", i/256, i%256)
		list[i] = dnsmasq.Entry{
			Address: fmt.Sprintf("10.1.%d.%d", i/256, i%256), MAC: mac, Hostname: fmt.Sprintf("guest-%d", i),
			ClientID: "01:" + mac, Expiry: 1700000000 + int64(i),
		}
	}
	return list
}

// BenchmarkLeaseEvent is the helper's work, less its input and output, for one
// lease of a network with 10,000.
func BenchmarkLeaseEvent(b *testing.B) {
	list := manyLeases(10000)
	data := dnsmasq.FormatLeases(list)
	ev := dnsmasq.Event{Action: dnsmasq.ActionOld, Entry: list[5000]}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		entries, err := dnsmasq.ParseLeases("f", data)
		if err != nil {
			b.Fatal(err)
		}
		dnsmasq.FormatLeases(dnsmasq.Apply(entries, ev))
	}
}
