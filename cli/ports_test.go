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
		{"", nil, "", `ports "": "" is not a port from 1 to 65535`},
		{"0", nil, "", `ports "0": "0" is not a port from 1 to 65535`},
		{"65536", nil, "", `ports "65536": "65536" is not a port from 1 to 65535`},
		{"+80", nil, "", `ports "+80": "+80" is not a port from 1 to 65535`},
		{"http", nil, "", `ports "http": "http" is not a port from 1 to 65535`},
		{"80,", nil, "", `ports "80,": "" is not a port from 1 to 65535`},
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
