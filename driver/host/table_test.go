package host_test

import (
	"cmp"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// routeChanges are changes of routes by all that changes them, told and untold.
const routeChanges = `
link add a0 type bridge
link add b0 type veth peer name b1
link set b1 up
link set b0 up
link set a0 up
addr add 10.1.0.1/24 dev a0
addr add 10.1.0.2/24 dev a0
addr add 10.2.0.1/24 dev b0
route add 10.9.0.0/16 via 10.2.0.9
route add 10.9.0.0/16 via 10.2.0.9 metric 7
route append 10.9.0.0/16 via 10.2.0.8
route replace 10.9.0.0/16 via 10.2.0.7
route change 10.9.0.0/16 via 10.2.0.6
route del 10.9.0.0/16 metric 7
route add blackhole 10.10.0.0/16
route add 10.11.0.0/16 nexthop via 10.2.0.3 nexthop via 10.1.0.3
route add 10.12.0.0/16 via 10.2.0.3 table 100
route add default via 10.2.0.9 src 10.1.0.2
addr del 10.1.0.2/24 dev a0
nexthop add id 1 via 10.2.0.4 dev b0
route add 10.13.0.0/16 nhid 1
nexthop replace id 1 via 10.1.0.4 dev a0
nexthop del id 1
link set a0 down
link set a0 up
route add 10.14.0.0/16 via 10.2.0.3
link set b1 down
link set b1 up
link set b0 master a0
link set b0 nomaster
link set b0 down
link set b0 up
addr add 10.3.0.1/24 dev b0
route flush table main proto kernel
link del b0
link set a0 down
link set a0 name c0
link set c0 up
addr add 10.4.0.1/24 dev c0
addr flush dev c0
`

// TestRoutesFollowed: routes that are followed are those that are read anew,
// whatever changed them.
func TestRoutesFollowed(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip")
	netnstest.Run(t, func(t *testing.T) {
		followed := testHost(t)
		routesOf(t, followed)
		seen := 0
		for line := range strings.Lines(strings.TrimSpace(routeChanges)) {
			if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v: %s", line, err, out)
			}
			want := routesOf(t, testHost(t))
			seen = max(seen, len(want))
			if diff := gocmp.Diff(want, routesOf(t, followed), cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
				t.Fatalf("after ip %s(-read +followed):\n%s", line, diff)
			}
		}
		if seen < 7 {
			t.Errorf("there were %d routes at most", seen)
		}
	})
}

// routesOf returns the routes of IPv4 that plans are made of, in an order of its
// own. Those of IPv6 come by themselves a while after a link is up.
func routesOf(t *testing.T, h *host.Host) []step.Route {
	t.Helper()
	facts, err := h.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	facts.Routes = slices.DeleteFunc(facts.Routes, func(r step.Route) bool { return r.Dest.Addr().Is6() })
	slices.SortFunc(facts.Routes, func(a, b step.Route) int {
		return cmp.Or(cmp.Compare(a.Dest.String(), b.Dest.String()), cmp.Compare(a.Link, b.Link), a.Gateway.Compare(b.Gateway))
	})
	return facts.Routes
}
