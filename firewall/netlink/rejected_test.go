package netlink_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestRejected: what rules reject is counted, by network and direction.
func TestRejected(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		hosts := map[string]*host{}
		for _, h := range labOf(t, networks()[:2]) {
			hosts[h.name] = h
		}
		for _, way := range []struct {
			from, to string
			tries    int
			err      error
		}{{"none", "up0", 3, errRejected}, {"up0", "nat", 2, errRejected}, {"nat", "up0", 4, nil}} {
			for range way.tries {
				to := hosts[way.to]
				if _, err := hosts[way.from].knock("udp", netip.AddrPort{}, netip.AddrPortFrom(to.ip4, to.port)); !errors.Is(err, way.err) {
					t.Fatalf("%s to %s: %v, want %v", way.from, way.to, err, way.err)
				}
			}
		}
		conn := open(t)
		for _, step := range []struct {
			change string
			want   map[string]netlink.Rejected
		}{
			{"", map[string]netlink.Rejected{"br-none": {Leaving: 3}, "br-nat": {Entering: 2}}},
			{"", map[string]netlink.Rejected{"br-none": {Leaving: 3}, "br-nat": {Entering: 2}}},
			{
				"flush chain inet virbr leave_br-none\nadd rule inet virbr leave_br-none oifname up0 counter packets 5 bytes 0 drop",
				map[string]netlink.Rejected{"br-none": {Leaving: 5}, "br-nat": {Entering: 2}},
			},
			{"delete table inet virbr", map[string]netlink.Rejected{}},
		} {
			nft(t, step.change, "-f", "-")
			got, err := netlink.ReadRejected(t.Context(), conn, []string{"br-none", "br-nat", "br-other"})
			if diff := cmp.Diff(step.want, got); diff != "" || err != nil {
				t.Errorf("after %q: %v (-want +got):\n%s", step.change, err, diff)
			}
		}
	})
}
