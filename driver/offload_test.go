package driver_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// TestOffloadFollowsLinks: a network whose connections go by the flowtable gets new
// rules when the host has an address on one more link, and when the option goes.
func TestOffloadFollowsLinks(t *testing.T) {
	t.Parallel()
	r := following(t)
	ref := r.define(extend(natNet("default", 3), "<virbr:firewall offload='yes'/>"))
	r.start(ref)
	r.host.Lines()
	replaced := func(link string) {
		t.Helper()
		netnstest.Wait(t, "the flowtable follows "+link, func() error {
			if !slices.ContainsFunc(r.host.Lines(), func(l string) bool { return strings.HasPrefix(l, "firewall replace virbr3") }) {
				return errors.New("it does not")
			}
			return nil
		})
	}
	r.host.AddLink("ppp0", "ppp")
	r.host.SetAddresses("ppp0", netip.MustParsePrefix("203.0.113.9/32"))
	r.host.Tell(driver.Change{Kind: driver.ChangeAddresses, Link: "ppp0"})
	replaced("ppp0")

	err := r.edit(ref, func(e *xml.Extensions) error { e.Firewall.Offload = false; return nil })
	if err != nil {
		t.Fatal(err)
	}
	replaced("no link")
}
