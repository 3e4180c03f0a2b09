package plan_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// village is a network with guests of all kinds.
const village = `<forward mode='nat'/><bridge name='virbr0'/><domain name='lab.test'/>
<dns><host ip='10.1.0.40'><hostname>printer</hostname></host><host ip='203.0.113.9'><hostname>elsewhere</hostname></host></dns>
<ip address='10.1.0.1' prefix='24'><dhcp><range start='10.1.0.100' end='10.1.0.200'/><host mac='52:54:00:00:00:0a' name='web' ip='10.1.0.10'/></dhcp></ip>
<ip family='ipv6' address='fd00::1' prefix='64'/>`

func macOf(last byte) xml.MAC { return xml.MAC{0x52, 0x54, 0, 0, 0, last} }

// sightings reads lines of "lease mac address name", "near mac address" and
// "port mac".
func sightings(t *testing.T, lines string) plan.Sightings {
	t.Helper()
	s := plan.Sightings{Now: 1000}
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		mac, ok := xml.ParseMAC(f[1])
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
			s.Neighbours = append(s.Neighbours, plan.Neighbour{MAC: mac, Address: netip.MustParseAddr(f[2])})
		case "port":
			s.Ports = append(s.Ports, mac)
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
		"a neighbour with the bridge's":           {"52:54:00:00:00:66", "near 52:54:00:00:00:66 fd00::1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ext := &xml.Extensions{Forwards: []xml.PortForward{{Proto: "tcp", Guest: c.guest}}}
			where, _ := plan.Locate(parse(t, village), ext, sightings(t, c.seen), plan.Memory{})
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

// TestWhoHasAName: the first who asked for it keeps it for as long as it has a
// lease, and across restarts of whoever remembers.
func TestWhoHasAName(t *testing.T) {
	t.Parallel()
	ext := &xml.Extensions{Forwards: []xml.PortForward{{Proto: "tcp", Guest: "db"}}}
	var memory plan.Memory
	for i, step := range []struct{ seen, want string }{
		{"lease 52:54:00:00:00:0b 10.1.0.101 db", "10.1.0.101"},
		{"lease 52:54:00:00:00:66 10.1.0.166 db\nlease 52:54:00:00:00:0b 10.1.0.101 db", "10.1.0.101"},
		{"lease 52:54:00:00:00:66 10.1.0.166 DB\nlease 52:54:00:00:00:0b 10.1.0.102 db", "10.1.0.102"},
		{"lease 52:54:00:00:00:66 10.1.0.166 db", "10.1.0.166"},
		{"lease 52:54:00:00:00:0b 10.1.0.101 db\nlease 52:54:00:00:00:66 10.1.0.166 db", "10.1.0.166"},
	} {
		where, next := plan.Locate(parse(t, village), ext, sightings(t, step.seen), memory)
		if got := where.Guests["db"]; len(got) != 1 || got[0].String() != step.want {
			t.Errorf("step %d: got %v, want %s", i, got, step.want)
		}
		memory = next
	}
}

// TestLearnedAddresses: they keep their place, are bounded, and go with the guest.
func TestLearnedAddresses(t *testing.T) {
	t.Parallel()
	ext := &xml.Extensions{Forwards: []xml.PortForward{{Proto: "tcp", Guest: macOf(0xb).String()}}}
	var memory plan.Memory
	step := func(seen, want string) {
		t.Helper()
		var where, next = plan.Locate(parse(t, village), ext, sightings(t, seen), memory)
		got := ""
		for _, a := range where.Guests[macOf(0xb).String()] {
			got = a.String()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", seen, got, want)
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
	step(flood, "fd00::100:0:0:0")
}

func TestDifference(t *testing.T) {
	t.Parallel()
	steps := func(def, ext string) []plan.Step {
		t.Helper()
		d := parse(t, "<forward mode='nat'/><bridge name='virbr0'/>"+def)
		e, err := xml.ParseExtensions([]byte("<network>" + ext + "</network>"))
		if err != nil {
			t.Fatal(err)
		}
		list, err := plan.Firewall(d, plan.NewReach(d, e, plan.Sightings{Routes: []plan.Route{{Dest: netip.MustParsePrefix("203.0.113.0/24"), Link: "eth0"}}}, plan.Memory{}))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	const ip = "<ip address='10.1.0.1' prefix='24'/>"
	for name, c := range map[string]struct {
		before, after []plan.Step
		want          []string
	}{
		"nothing":  {steps(ip, ""), steps(ip, ""), nil},
		"a public": {steps(ip, ""), steps(ip, "<address public='203.0.113.7' guest='10.1.0.9'/>"), []string{"firewall replace virbr0", "firewall of others: accept virbr0", "route add 203.0.113.7 dev virbr0", "neighbour proxy 203.0.113.7 dev eth0"}},
		"no public": {steps(ip, "<address public='203.0.113.7' guest='10.1.0.9'/>"), steps(ip, ""),
			[]string{"firewall replace virbr0", "firewall of others: accept virbr0", "route delete 203.0.113.7 dev virbr0", "neighbour unproxy 203.0.113.7 dev eth0"}},
		"coexist='no'": {steps(ip, ""), steps(ip, "<firewall coexist='no'/>"), []string{"zone set virbr0 libvirt (if firewalld runs)", "firewall of others: forget virbr0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, turn := range plan.Difference(c.before, c.after) {
				got = append(got, turn.Do.String())
				if turn.Back == nil {
					t.Errorf("nothing takes %q back", turn.Do)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestEnded: the connections that end are those of ports that lead elsewhere now.
func TestEnded(t *testing.T) {
	t.Parallel()
	reach := func(ext, seen string) *plan.Reach {
		t.Helper()
		e, err := xml.ParseExtensions([]byte("<network>" + ext + "</network>"))
		if err != nil {
			t.Fatal(err)
		}
		return plan.NewReach(parse(t, village), e, sightings(t, seen), plan.Memory{})
	}
	const (
		four = "<portForward proto='tcp' family='ipv4' guest='10.1.0.9'><range start='80' end='90'/></portForward>"
	)
	for name, c := range map[string]struct {
		before, after *plan.Reach
		want          []plan.Op
	}{
		"nothing":   {reach(four, ""), reach(four, ""), nil},
		"the first": {nil, reach(four, ""), []plan.Op{plan.EndUntranslated{Taken: []plan.Taken{{Proto: "tcp", Listen: netip.IPv4Unspecified(), Start: 80, End: 90}}}}},
		"an address": {reach("", ""), reach("<address public='203.0.113.7' guest='10.1.0.9'/>", ""),
			[]plan.Op{plan.EndUntranslated{Taken: []plan.Taken{{Listen: netip.MustParseAddr("203.0.113.7")}}}}},
		"more ports": {reach(four, ""), reach(four+"<portForward proto='tcp' family='ipv4' guest='10.1.0.9'><range start='95'/></portForward>", ""),
			[]plan.Op{plan.EndUntranslated{Taken: []plan.Taken{{Proto: "tcp", Listen: netip.IPv4Unspecified(), Start: 95, End: 95}}}}},
		"removed": {reach(four, ""), reach("", ""), []plan.Op{plan.EndConnections{Proto: "tcp", Start: 80, End: 90, Guest: netip.MustParseAddr("10.1.0.9")}}},
		"an exception": {reach(four, ""), reach("<portForward proto='tcp' ignore='yes'><range start='85'/></portForward>"+four, ""),
			[]plan.Op{plan.EndConnections{Proto: "tcp", Start: 85, End: 85, Guest: netip.MustParseAddr("10.1.0.9")}}},
		"moved": {reach("<portForward proto='udp' family='ipv4' guest='db'><range start='5'/></portForward>", "lease 52:54:00:00:00:0b 10.1.0.101 db"),
			reach("<portForward proto='udp' family='ipv4' guest='db'><range start='5'/></portForward>", "lease 52:54:00:00:00:0b 10.1.0.102 db"),
			[]plan.Op{plan.EndConnections{Proto: "udp", Start: 5, End: 5, Guest: netip.MustParseAddr("10.1.0.101")},
				plan.EndUntranslated{Taken: []plan.Taken{{Proto: "udp", Listen: netip.IPv4Unspecified(), Start: 5, End: 5}}}}},
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
