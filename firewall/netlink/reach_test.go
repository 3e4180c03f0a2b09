package netlink_test

import (
	"net/netip"
	"testing"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// forward makes a forward of some ports: start, end, to, ...
func forward(proto, guest string, ports ...uint16) xml.PortForward {
	f := xml.PortForward{Proto: proto, Guest: guest}
	for i := 0; i+2 < len(ports); i += 3 {
		f.Ranges = append(f.Ranges, xml.ForwardRange{Start: ports[i], End: ports[i+1], To: ports[i+2]})
	}
	return f
}

func at(address string, f xml.PortForward) xml.PortForward {
	f.Address = addr(address)
	return f
}

func ignored(f xml.PortForward) xml.PortForward {
	f.Ignore, f.Guest = true, ""
	return f
}

// reached are networks with forwards and public addresses.
func reached(t *testing.T) map[string]*firewall.Network {
	t.Helper()
	where := firewall.Where{
		Guests:  map[string][]netip.Addr{"web": {addr("10.7.0.5"), addr("fd00:7::5")}, "away": nil},
		Devices: map[string][]netip.Addr{"eth0": {addr("192.0.2.1"), addr("2001:db8::1"), addr("fe80::1")}},
	}
	eth0 := forward("tcp", "web", 443, 0, 0)
	eth0.Dev = "eth0"
	ext := &xml.Extensions{
		Forwards: []xml.PortForward{
			at("192.0.2.9", ignored(forward("tcp", "", 8090, 8095, 0))),
			at("2001:db8::9", ignored(forward("tcp", "", 8090, 8095, 0))),
			forward("tcp", "web", 8080, 8100, 80),
			forward("udp", "10.7.0.6", 10000, 20000, 0),
			at("192.0.2.9", forward("sctp", "web")),
			eth0,
			forward("sctp", "away", 5000, 6000, 0),
		},
		Publics: []xml.PublicAddress{
			{Public: addr("203.0.113.7"), Guest: "10.7.0.7"},
			{Public: addr("2001:db8:1::7"), Guest: "fd00:7::7"},
			{Public: addr("203.0.113.8"), Guest: "10.7.0.8", Stateless: true},
			{Public: addr("2001:db8:1::8"), Guest: "fd00:7::8", Stateless: true},
		},
	}
	stateful := *ext
	stateful.Publics = ext.Publics[:2]
	plain := stateful
	plain.Publics = nil
	out := map[string]*firewall.Network{}
	add := func(name string, ext *xml.Extensions, where firewall.Where, change func(*xml.Network)) {
		def := natDef("virbr7", "10.7.0.1/24", "fd00:7::1/64")
		change(def)
		n, err := firewall.Compile(def, ext, where)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = n
	}
	add("all", ext, where, func(*xml.Network) {})
	uplinks := where
	uplinks.Uplinks = []string{"eth0", "eth1"}
	add("uplinks", ext, uplinks, func(d *xml.Network) { d.Forward.Mode = xml.ForwardRoute })
	add("stateful", &stateful, where, func(d *xml.Network) { d.Forward.Interfaces = []xml.ForwardInterface{{Dev: "eth0"}} })
	add("isolated", &plain, where, func(d *xml.Network) { d.Forward = xml.Forward{} })
	add("sources", &xml.Extensions{Forwards: []xml.PortForward{
		from(forward("tcp", "10.7.0.2", 80, 0, 8080), "203.0.113.0/24", "2001:db8::/32", "127.0.0.1"),
		from(forward("udp", "10.7.0.2", 5000, 5100, 0), "0.0.0.0/0"),
		from(at("192.0.2.1", forward("sctp", "10.7.0.2", 5000, 5100, 6000)), "203.0.113.9"),
		from(at("2001:db8:1::1", forward("tcp", "fd00:7::2", 5000, 5100, 0)), "::/0"),
		from(at("192.0.2.1", ignored(forward("udp", "", 5050, 0, 0))), "203.0.113.9"),
		from(ignored(forward("udp", "", 4000, 0, 0)), "203.0.113.9", "2001:db8::9"),
		forward("udp", "10.7.0.2", 4000, 0, 0),
	}}, where, func(*xml.Network) {})
	limited := &xml.Extensions{Firewall: xml.Firewall{Services: true}}
	add("services", limited, where, func(d *xml.Network) { d.IPs[0].TFTPRoot, d.Advertise = "/srv", &xml.Advertise{Prefix: "fd00:8::1/64"} })
	shut := firewall.Where{Shut: []firewall.Shut{
		{Link: "eth0", Index: 2, Except: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		{Link: "eth0", Index: 2, IPv6: true, Except: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")}},
		{Link: "wg1", Index: 1 << 20},
	}}
	add("guarded", &xml.Extensions{Uplinks: []xml.Uplink{{Dev: "wg0"}}}, shut, func(d *xml.Network) { d.Forward.Mode = xml.ForwardRoute })
	add("nowhere", &plain, firewall.Where{}, func(*xml.Network) {})
	return out
}
