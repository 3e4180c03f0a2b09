package packages

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/debiantest"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestCockpitPackage: Debian's Cockpit has the page while the package is installed, and
// both packages have the same files.
func TestCockpitPackage(t *testing.T) {
	t.Parallel()
	debiantest.Need(t, debiantest.Cockpit)
	netnstest.NeedProgram(t, "rpm")
	netnstest.Run(t, func(t *testing.T) {
		r := newRoot(t, debiantest.Cockpit)
		page := func() bool {
			return strings.Contains(r.Sh(t, "cockpit-bridge --packages"), "/usr/share/cockpit/virbr")
		}
		r.Sh(t, "dpkg --force-unsafe-io -i /dist/virbr_1.0_*.deb")
		before := r.files(t)
		r.Sh(t, "dpkg --force-unsafe-io -i /dist/virbr-cockpit_1.0_all.deb; dpkg --audit")
		if !page() {
			t.Errorf("Cockpit has no page of virbr:\n%s", r.Sh(t, "cockpit-bridge --packages"))
		}
		installed := strings.Fields(r.Sh(t, "find /usr/share/cockpit/virbr -type f"))
		slices.Sort(installed)
		r.Sh(t, "dpkg -P virbr-cockpit")
		if page() {
			t.Error("Cockpit still has the page")
		}
		if diff := cmp.Diff(before, r.files(t)); diff != "" {
			t.Errorf("files (-before +after)\n%s", diff)
		}
		var packed []string
		for _, file := range strings.Fields(output(t, "rpm", "-qpl", dist("virbr-cockpit-1.0-1.noarch.rpm"))) {
			if strings.HasPrefix(file, "/usr/share/cockpit/virbr/") {
				packed = append(packed, file)
			}
		}
		if diff := cmp.Diff(installed, packed); diff != "" || len(packed) < 10 {
			t.Errorf("files (-deb +rpm)\n%s", diff)
		}
	})
}
