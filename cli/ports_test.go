package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/xml"
)

func TestParsePorts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text  string
		want  []xml.ForwardRange
		proto string
		fails string
	}{
		{"80", []xml.ForwardRange{{Start: 80}}, "", ""},
		{"8080:80", []xml.ForwardRange{{Start: 8080, To: 80}}, "", ""},
		{"80:80/udp", []xml.ForwardRange{{Start: 80}}, "udp", ""},
		{"9000-9010", []xml.ForwardRange{{Start: 9000, End: 9010}}, "", ""},
		{"9000-9010:80", []xml.ForwardRange{{Start: 9000, End: 9010, To: 80}}, "", ""},
		{"9000-9010:80-90,7/sctp", []xml.ForwardRange{{Start: 9000, End: 9010, To: 80}, {Start: 7}}, "sctp", ""},
		{"5-5", []xml.ForwardRange{{Start: 5}}, "", ""},
		{"all/tcp", nil, "tcp", ""},
		{"", nil, "", `ports "": "" is neither a port from 1 to 65535 nor a service of /etc/services`},
		{"0", nil, "", `ports "0": "0" is neither a port from 1 to 65535 nor a service of /etc/services`},
		{"65536", nil, "", `ports "65536": "65536" is neither a port from 1 to 65535 nor a service of /etc/services`},
		{"+80", nil, "", `ports "+80": "+80" is neither a port from 1 to 65535 nor a service of /etc/services`},
		{"nosuch", nil, "", `ports "nosuch": "nosuch" is neither a port from 1 to 65535 nor a service of /etc/services`},
		{"http:8080,HTTPS", []xml.ForwardRange{{Start: 80, To: 8080}, {Start: 443}}, "", ""},
		{"80/TCP", []xml.ForwardRange{{Start: 80}}, "tcp", ""},
		{"80,", nil, "", `ports "80,": "" is neither a port from 1 to 65535 nor a service of /etc/services`},
		{"9-8", nil, "", `ports "9-8": 9-8 ends before it begins`},
		{"9000-9010:80-89", nil, "", `ports "9000-9010:80-89": 9000-9010 are not as many ports as 80-89`},
		{"80/icmp", nil, "", `ports "80/icmp": the protocol is one of tcp, udp and sctp, not "icmp"`},
	} {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			got, proto, err := parsePorts(tt.text)
			if tt.fails != "" {
				if err == nil || err.Error() != tt.fails {
					t.Errorf("%v, want %s", err, tt.fails)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || proto != tt.proto || diff != "" {
				t.Errorf("%v, protocol %q (-want +got):\n%s", err, proto, diff)
			}
		})
	}
}

// TestForwardOptions: an argument may be written in each way that people know, and
// what is wrong with one is said of it.
func TestForwardOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		o    forwardOptions
		want string
	}{
		{"MAC address", forwardOptions{guest: "52:54:00:AA:BB:CC"}, "tcp *:80 to 52:54:00:aa:bb:cc:80"},
		{"MAC address with dashes", forwardOptions{guest: "52-54-00-aa-bb-cc"}, "tcp *:80 to 52:54:00:aa:bb:cc:80"},
		{"Cisco's MAC address", forwardOptions{guest: "5254.00aa.bbcc"}, "tcp *:80 to 52:54:00:aa:bb:cc:80"},
		{"everywhere", forwardOptions{listen: "*"}, "tcp *:80 to web:80"},
		{"localhost", forwardOptions{listen: "localhost"}, "tcp 127.0.0.1:80 to web:80"},
		{"localhost by IPv6", forwardOptions{listen: "localhost", family: "IPv6"}, "tcp [::1]:80 to web:80"},
		{"interface", forwardOptions{listen: "br-lan.7"}, "tcp br-lan.7:80 to web:80"},
		{"protocol", forwardOptions{proto: "UDP"}, "udp *:80 to web:80"},
		{"a blank", forwardOptions{guest: " "}, "invalid char in guest: 0x20"},
		{"no address", forwardOptions{listen: "300.1.1.1"}, `--listen "300.1.1.1" is neither an IP address nor the name of an interface`},
		{"no interface", forwardOptions{listen: "averylonginterface"}, `--listen "averylonginterface" is neither an IP address nor the name of an interface`},
		{"no protocol", forwardOptions{proto: "icmp"}, `--proto: the protocol is one of tcp, udp and sctp, not "icmp"`},
		{"link-local guest", forwardOptions{guest: "fe80::1"}, "invalid guest 'fe80::1': this is a link-local address"},
		{"two families", forwardOptions{listen: "::1", family: "ipv4"}, "invalid forward tcp [::1]:80 to web: address '::1' is not of family='ipv4'"},
		{"no port left", forwardOptions{except: "80"}, "every range is excluded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.o.ports = "80"
			if tt.o.guest == "" {
				tt.o.guest = "web"
			}
			got, err := tt.o.forward()
			text := ""
			if err != nil {
				text = err.Error()
			} else {
				text = got.String() + ":80"
			}
			if text != tt.want {
				t.Errorf("got %q, want %q", text, tt.want)
			}
		})
	}
}
