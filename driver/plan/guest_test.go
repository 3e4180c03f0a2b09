package plan_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// village is a network with guests of all kinds.
const village = `<forward mode='nat'/><bridge name='virbr0'/><domain name='lab.test'/>
<dns><host ip='10.1.0.40'><hostname>printer</hostname></host><host ip='203.0.113.9'><hostname>elsewhere</hostname></host></dns>
<ip address='10.1.0.1' prefix='24'><dhcp><range start='10.1.0.100' end='10.1.0.200'/><host mac='52:54:00:00:00:0a' name='web' ip='10.1.0.10'/></dhcp></ip>
<ip family='ipv6' address='fd00::1' prefix='64'/>`

func macOf(last byte) xml.MAC { return xml.MAC{0x52, 0x54, 0, 0, 0, last} }

// observations reads lines of "lease mac address name", "near mac address", "port mac
// [owner's letter [domain]]", "asked address" and "answer mac address".
func observations(t *testing.T, lines string) plan.Observations {
	t.Helper()
	s := plan.Observations{Now: 1000}
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if s.Asked == nil && (f[0] == "asked" || f[0] == "answer") {
			s.Asked = &plan.Asked{}
		}
		if f[0] == "asked" {
			s.Asked.Addresses = append(s.Asked.Addresses, netip.MustParseAddr(f[1]))
			continue
		}
		mac, ok := xml.ParseMAC(strings.TrimPrefix(f[1], "06-"))
		if !ok {
			t.Fatalf("%q", line)
		}
		switch f[0] {
		case "lease", "ended":
			e := dnsmasq.Entry{MAC: f[1], Address: f[2], Hostname: f[3], Expiry: 2000}
			if f[0] == "ended" {
				e.Expiry = 999
			}
			s.Leases = append(s.Leases, e)
		case "near":
			s.Neighbours = append(s.Neighbours, step.Neighbour{MAC: mac, Address: netip.MustParseAddr(f[2])})
		case "port":
			p := plan.Port{MAC: mac}
			if len(f) > 2 {
				p.Owner[0] = f[2][0]
			}
			if len(f) > 3 {
				p.Name = f[3]
			}
			s.Ports = append(s.Ports, p)
		case "answer":
			s.Asked.Answers = append(s.Asked.Answers, step.Neighbour{MAC: mac, Address: netip.MustParseAddr(f[2])})
		}
	}
	return s
}

func TestLocate(t *testing.T) {
	t.Parallel()
	const slaac = "fd00::5054:ff:fe00:a"
	for name, c := range map[string]struct {
		guest, seen string
		want        string
	}{
		"address":                                 {"10.1.0.77", "", "10.1.0.77"},
		"address elsewhere":                       {"10.2.0.77", "", ""},
		"the bridge's address":                    {"10.1.0.1", "", ""},
		"the broadcast address":                   {"10.1.0.255", "", ""},
		"static name":                             {"web", "", "10.1.0.10"},
		"static name, in full":                    {"WEB.lab.test", "", "10.1.0.10"},
		"static MAC":                              {"52:54:00:00:00:0a", "", "10.1.0.10"},
		"DNS host":                                {"printer", "", "10.1.0.40"},
		"DNS host elsewhere":                      {"elsewhere", "", ""},
		"lease by name":                           {"db", "lease 52:54:00:00:00:0b 10.1.0.101 db", "10.1.0.101"},
		"lease by MAC":                            {"52:54:00:00:00:0b", "lease 52:54:00:00:00:0b 10.1.0.101 *", "10.1.0.101"},
		"domain by UUID":                          {"61000000-0000-0000-0000-000000000000", "port 52:54:00:00:00:0b a box\nlease 52:54:00:00:00:0b 10.1.0.101 *", "10.1.0.101"},
		"leases of both families":                 {"db", "lease 52:54:00:00:00:0b fd00::101 db\nlease 52:54:00:00:00:0b 10.1.0.101 db", "10.1.0.101 fd00::101"},
		"lease that ended":                        {"db", "ended 52:54:00:00:00:0b 10.1.0.101 db", ""},
		"lease elsewhere":                         {"db", "lease 52:54:00:00:00:0b 10.9.0.101 db", ""},
		"nobody":                                  {"nobody", "lease 52:54:00:00:00:0b 10.1.0.101 db", ""},
		"static name asked for":                   {"web", "lease 52:54:00:00:00:66 10.1.0.166 web\nnear 52:54:00:00:00:66 fd00::66", "10.1.0.10"},
		"DNS name asked for":                      {"printer", "lease 52:54:00:00:00:66 10.1.0.166 printer", "10.1.0.40"},
		"static address, lease before":            {"52:54:00:00:00:0a", "lease 52:54:00:00:00:0a 10.1.0.150 *", "10.1.0.10"},
		"leased static address":                   {"52:54:00:00:00:66", "lease 52:54:00:00:00:66 10.1.0.10 *", ""},
		"neighbour":                               {"web", "near 52:54:00:00:00:0a " + slaac, "10.1.0.10 " + slaac},
		"the MAC's own first":                     {"web", "near 52:54:00:00:00:0a fd00::1234:5678\nnear 52:54:00:00:00:0a " + slaac, "10.1.0.10 " + slaac},
		"link-local neighbour":                    {"web", "near 52:54:00:00:00:0a fe80::1", "10.1.0.10"},
		"a neighbour with the address of another": {"52:54:00:00:00:66", "near 52:54:00:00:00:66 10.1.0.10\nnear 52:54:00:00:00:66 10.1.0.101\nlease 52:54:00:00:00:0b 10.1.0.101 db", ""},
		"lease of another kind of hardware":       {"52:54:00:00:00:0b", "lease 06-52:54:00:00:00:0b 10.1.0.101 db", ""},
		"lease where another is":                  {"52:54:00:00:00:0b", "lease 52:54:00:00:00:0b 10.1.0.101 db\nnear 52:54:00:00:00:66 10.1.0.101", ""},
		"lease where its other card answers":      {"52:54:00:00:00:0b", "port 52:54:00:00:00:0b a\nport 52:54:00:00:00:0c a\nlease 52:54:00:00:00:0b 10.1.0.101 db\nnear 52:54:00:00:00:0c 10.1.0.101", "10.1.0.101"},
		"a neighbour with the bridge's":           {"52:54:00:00:00:66", "near 52:54:00:00:00:66 fd00::1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ext := &xml.Extensions{Forwards: []xml.PortForward{{Proto: "tcp", Guest: c.guest}}}
			where, _ := plan.Locate(parse(t, village), ext, observations(t, c.seen), plan.Memory{})
			var got []string
			for _, a := range where.Guests[c.guest] {
				got = append(got, a.String())
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got %q, want %q", text, c.want)
			}
		})
	}
}

// moment is what is seen, where that leads, and what is in doubt.
type moment struct{ seen, want, doubts string }

func steps(t *testing.T, guest string, list []moment) {
	t.Helper()
	ext := &xml.Extensions{Forwards: []xml.PortForward{{Proto: "tcp", Family: xml.FamilyIPv4, Guest: guest}}}
	var memory plan.Memory
	for i, s := range list {
		r := plan.NewResolution(parse(t, village), ext, observations(t, s.seen), memory)
		if got := strings.Trim(fmt.Sprint(r.Where.Guests[guest]), "[]"); got != s.want {
			t.Errorf("step %d: got %q, want %q", i, got, s.want)
		}
		if got := strings.Trim(fmt.Sprint(r.Doubts), "[]"); got != s.doubts {
			t.Errorf("step %d: %q are in doubt, want %q", i, got, s.doubts)
		}
		data, err := json.Marshal(r.Memory) // it outlives the daemon
		if err != nil {
			t.Fatal(err)
		}
		memory = plan.Memory{}
		if err := json.Unmarshal(data, &memory); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhoHasAName: the first who asked for it keeps it for as long as it is there,
// whatever dnsmasq makes of others who ask for it.
func TestWhoHasAName(t *testing.T) {
	t.Parallel()
	const a, b = "52:54:00:00:00:0b 10.1.0.101 ", "52:54:00:00:00:66 10.1.0.166 "
	for name, list := range map[string][]moment{
		"it has a lease": {
			{"lease " + a + "db", "10.1.0.101", ""},
			{"lease " + b + "db\nlease " + a + "db", "10.1.0.101", ""},
			{"lease " + b + "DB\nlease " + a + "*", "10.1.0.101", ""},     // dnsmasq gives it to the last
			{"lease " + b + "DB\nlease " + a + "other", "10.1.0.101", ""}, // anybody can rename it
		},
		"its lease was ended by somebody else": {
			{"lease " + a + "db", "10.1.0.101", ""},
			{"lease " + b + "db\nnear 52:54:00:00:00:0b 10.1.0.101", "10.1.0.101", "10.1.0.101"},
			{"lease " + b + "db\nasked 10.1.0.101\nanswer 52:54:00:00:00:0b 10.1.0.101", "10.1.0.101", ""},
			{"lease " + b + "db\nlease 52:54:00:00:00:66 10.1.0.101 *\nnear 52:54:00:00:00:0b 10.1.0.101", "10.1.0.101", "10.1.0.101"},
		},
		"it has gone": {
			{"lease " + a + "db", "10.1.0.101", ""},
			{"lease " + b + "db", "10.1.0.101", "10.1.0.101"},
			{"lease " + b + "db\nasked 10.1.0.101", "10.1.0.166", ""},
			{"lease " + a + "db\nlease " + b + "db", "10.1.0.166", ""},
		},
		"it was unplugged": {
			{"port 52:54:00:00:00:0b\nlease " + a + "db", "10.1.0.101", ""},
			{"lease " + a + "db", "10.1.0.101", ""},
			{"lease " + a + "db\nlease " + b + "db", "10.1.0.166", ""},
		},
		"it is a domain's": {
			{"port 52:54:00:00:00:0b a DB\nlease " + a + "other", "10.1.0.101", ""},
			{"port 52:54:00:00:00:0b a DB\nport 52:54:00:00:00:66 b web\nlease " + a + "other\nlease " + b + "db", "10.1.0.101", ""},
			{"port 52:54:00:00:00:66 b web\nlease " + a + "other\nlease " + b + "db", "", ""}, // it is shut off
			{"port 52:54:00:00:00:66 b web\nlease " + b + "db\nport 52:54:00:00:00:0d c db\nlease 52:54:00:00:00:0d 10.1.0.113 *", "10.1.0.113", ""},
		},
		"whose guest calls itself so": {
			{"port 52:54:00:00:00:0b a box\nlease " + a + "db", "10.1.0.101", ""},
			{"port 52:54:00:00:00:66 b web\nlease " + a + "db\nlease " + b + "db", "10.1.0.101", ""},
			{"port 52:54:00:00:00:66 b web\nlease " + b + "db", "", ""},
			{"lease " + b + "db", "", ""}, // of whom nothing is known but this
			{"port 52:54:00:00:00:66 b web\nlease " + b + "db\nport 52:54:00:00:00:0d c box\nlease 52:54:00:00:00:0d 10.1.0.113 db", "10.1.0.113", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps(t, "db", list)
		})
	}
}

// TestWhereAGuestIs: a guest keeps its address until it is found at another one only.
func TestWhereAGuestIs(t *testing.T) {
	t.Parallel()
	const a, b, near = "lease 52:54:00:00:00:0b 10.1.0.101 db\n", "lease 52:54:00:00:00:0b 10.1.0.102 *\n", "near 52:54:00:00:00:0b "
	const both, answer = "asked 10.1.0.101\nasked 10.1.0.102\n", "answer 52:54:00:00:00:0b "
	for name, list := range map[string][]moment{
		"somebody has a lease written for it": {
			{a, "10.1.0.101", ""},
			{b + a + near + "10.1.0.102", "10.1.0.101", "10.1.0.101 10.1.0.102"},
			{b + a + both + answer + "10.1.0.101\nanswer 52:54:00:00:00:66 10.1.0.102", "10.1.0.101", ""},
			{b + a + near + "10.1.0.101\nnear 52:54:00:00:00:66 10.1.0.102", "10.1.0.101", ""},
		},
		"and says to be it": {
			{a, "10.1.0.101", ""},
			{b + a + both + answer + "10.1.0.101\n" + answer + "10.1.0.102", "10.1.0.101", ""},
		},
		"and ends its lease": {
			{a, "10.1.0.101", ""},
			{b, "10.1.0.101", "10.1.0.101 10.1.0.102"},
			{b + both + answer + "10.1.0.101", "10.1.0.101", ""},
		},
		"its system asks with another client id": {
			{a, "10.1.0.101", ""},
			{b + a + near + "10.1.0.101", "10.1.0.101", "10.1.0.101 10.1.0.102"},
			{b + a + near + "10.1.0.101\n" + both, "10.1.0.101", "10.1.0.101 10.1.0.102"}, // not up yet
			{b + a + near + "10.1.0.101\n" + both + answer + "10.1.0.102", "10.1.0.102", ""},
			{a + b, "10.1.0.102", "10.1.0.101 10.1.0.102"},
		},
		"its lease ended": {
			{a, "10.1.0.101", ""},
			{"", "10.1.0.101", "10.1.0.101"},
			{"asked 10.1.0.101", "", ""},
		},
		"somebody is at its address": {
			{a, "10.1.0.101", ""},
			{a + "near 52:54:00:00:00:66 10.1.0.101", "", "10.1.0.101"},
			{a + near + "10.1.0.101", "10.1.0.101", ""},
		},
		"and has a lease written for it": {
			{a, "10.1.0.101", ""},
			{b + a + "near 52:54:00:00:00:66 10.1.0.101", "", "10.1.0.101 10.1.0.102"},
			{b + a + "near 52:54:00:00:00:66 10.1.0.101\n" + both + answer + "10.1.0.102", "10.1.0.102", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps(t, "52:54:00:00:00:0b", list)
		})
	}
}

// TestLearnedAddresses: they keep their place, are bounded, and go with the guest.
func TestLearnedAddresses(t *testing.T) {
	t.Parallel()
	ext := &xml.Extensions{Forwards: []xml.PortForward{{Proto: "tcp", Guest: macOf(0xb).String()}}}
	var memory plan.Memory
	step := func(seen, want string) {
		t.Helper()
		var where, next = plan.Locate(parse(t, village), ext, observations(t, seen), memory)
		got := ""
		for _, a := range where.Guests[macOf(0xb).String()] {
			got = a.String()
		}
		if got != want {
			t.Errorf("%.100q: got %q, want %q", seen, got, want)
		}
		if len(next.Learned[macOf(0xb)]) > 16 {
			t.Errorf("%d addresses are remembered", len(next.Learned[macOf(0xb)]))
		}
		memory = next
	}
	const near, port = "near 52:54:00:00:00:0b ", "port 52:54:00:00:00:0b\n"
	step(port+near+"fd00::9", "fd00::9")
	step(port+near+"fd00::2\n"+near+"fd00::9", "fd00::9")
	step(port, "fd00::9")    // idle, but plugged in
	step(near+"fd00::9", "") // unplugged, though the kernel remembers
	step(port+near+"fd00::9", "fd00::9")
	flood := port
	for i := range 1000 {
		flood += near + netip.AddrFrom16([16]byte{0: 0xfd, 8: 1, 14: byte(i >> 8), 15: byte(i)}).String() + "\n"
	}
	step(flood, "fd00::9") // until it does not answer
	step(flood+"asked fd00::9\nasked fd00::100:0:0:0\nanswer 52:54:00:00:00:0b fd00::100:0:0:0", "fd00::100:0:0:0")
}

// TestOnePortIsBounded: a guest that sends from any number of MAC addresses has so
// many addresses learned, and others theirs.
func TestOnePortIsBounded(t *testing.T) {
	t.Parallel()
	def := parse(t, village)
	seen := plan.Observations{Now: 1000}
	for i := range 3000 {
		seen.Neighbours = append(seen.Neighbours, step.Neighbour{
			MAC: xml.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, Address: netip.AddrFrom16([16]byte{0: 0xfd, 8: 1, 14: byte(i >> 8), 15: byte(i)}), Port: 7,
		})
	}
	other := step.Neighbour{MAC: macOf(0xb), Address: netip.MustParseAddr("fd00::b"), Port: 8}
	_, memory := plan.Locate(def, &xml.Extensions{}, plan.Observations{Neighbours: append(seen.Neighbours, other)}, plan.Memory{})
	if n := len(memory.Learned); n != 257 || len(memory.Learned[other.MAC]) != 1 {
		t.Errorf("%d guests are learned, and of the other one %v", n, memory.Learned[other.MAC])
	}
	early := plan.Memory{Learned: map[xml.MAC][]netip.Addr{{2, 0, 0, 0, 11, 1}: {netip.AddrFrom16([16]byte{0: 0xfd, 8: 1, 14: 11, 15: 1})}}}
	_, memory = plan.Locate(def, &xml.Extensions{}, seen, early)
	if len(memory.Learned[xml.MAC{2, 0, 0, 0, 11, 1}]) != 1 {
		t.Error("who was known before has lost his place")
	}
}

// TestEnded: the connections that end are those of ports that lead elsewhere now.
func TestEnded(t *testing.T) {
	t.Parallel()
	resolution := func(ext, seen string) *plan.Resolution {
		t.Helper()
		e, err := xml.ParseExtensions([]byte("<network>" + ext + "</network>"))
		if err != nil {
			t.Fatal(err)
		}
		return plan.NewResolution(parse(t, village), e, observations(t, seen), plan.Memory{})
	}
	const (
		four = "<portForward proto='tcp' family='ipv4' guest='10.1.0.9'><range start='80' end='90'/></portForward>"
	)
	for name, c := range map[string]struct {
		before, after *plan.Resolution
		want          []step.Op
	}{
		"nothing":   {resolution(four, ""), resolution(four, ""), nil},
		"the first": {nil, resolution(four, ""), []step.Op{step.EndUntranslated{Taken: []step.Taken{{Proto: "tcp", Listen: netip.IPv4Unspecified(), Start: 80, End: 90}}}}},
		"an address": {resolution("", ""), resolution("<address public='203.0.113.7' guest='10.1.0.9'/>", ""),
			[]step.Op{step.EndUntranslated{Taken: []step.Taken{{Listen: netip.MustParseAddr("203.0.113.7")}}}}},
		"more ports": {resolution(four, ""), resolution(four+"<portForward proto='tcp' family='ipv4' guest='10.1.0.9'><range start='95'/></portForward>", ""),
			[]step.Op{step.EndUntranslated{Taken: []step.Taken{{Proto: "tcp", Listen: netip.IPv4Unspecified(), Start: 95, End: 95}}}}},
		"removed": {resolution(four, ""), resolution("", ""), []step.Op{step.EndConnections{Proto: "tcp", Start: 80, End: 90, Guest: netip.MustParseAddr("10.1.0.9")}}},
		"an exception": {resolution(four, ""), resolution("<portForward proto='tcp' ignore='yes'><range start='85'/></portForward>"+four, ""),
			[]step.Op{step.EndConnections{Proto: "tcp", Start: 85, End: 85, Guest: netip.MustParseAddr("10.1.0.9")}}},
		"moved": {resolution("<portForward proto='udp' family='ipv4' guest='db'><range start='5'/></portForward>", "lease 52:54:00:00:00:0b 10.1.0.101 db"),
			resolution("<portForward proto='udp' family='ipv4' guest='db'><range start='5'/></portForward>", "lease 52:54:00:00:00:0b 10.1.0.102 db"),
			[]step.Op{step.EndConnections{Proto: "udp", Start: 5, End: 5, Guest: netip.MustParseAddr("10.1.0.101")},
				step.EndUntranslated{Taken: []step.Taken{{Proto: "udp", Listen: netip.IPv4Unspecified(), Start: 5, End: 5}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
			if diff := cmp.Diff(c.want, plan.Ended(c.before, c.after), same); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
