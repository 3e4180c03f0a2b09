package driver_test

import (
	"strings"
	"testing"
)

// TestOverlappingSubnets: two NAT networks of which one holds the other's
// subnet cannot both run; a routed one may overlap.
func TestOverlappingSubnets(t *testing.T) {
	t.Parallel()
	r := started(t)
	wide := strings.Replace(natNet("wide", 41), "255.255.255.0", "255.255.0.0", 1)
	r.start(r.define(natNet("narrow", 0)))
	ref := r.define(wide)
	err := r.d.Start(t.Context(), ref)
	if err == nil || !strings.Contains(err.Error(), "Network is already in use by interface virbr0") {
		t.Errorf("start of an overlapping NAT network: %v", err)
	}
}
