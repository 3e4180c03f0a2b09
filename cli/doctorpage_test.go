package cli

import (
	"strings"
	"testing"

	"github.com/virbr/virbr/doctor"
)

// TestHintsAreShort: what nothing has to be done about is said once, without commands.
func TestHintsAreShort(t *testing.T) {
	t.Parallel()
	r := &doctor.Report{}
	for _, name := range []string{"a", "b"} {
		r.Networks = append(r.Networks, doctor.Walk{Network: name, Steps: []doctor.Step{{Name: "route", State: "hint"}}})
		r.Findings = append(r.Findings, doctor.Finding{
			ID: "no-route6", Severity: doctor.Hint, Network: name, Step: "route", Text: "there is no IPv6 way out", Evidence: []string{"nothing"}, Mend: "ip route add",
		})
	}
	text := (&chart{}).report(r)
	if n := strings.Count(text, "there is no IPv6 way out"); n != 1 {
		t.Errorf("the hint is said %d times", n)
	}
	if strings.Contains(text, "mend:") || !strings.Contains(text, "no problems found; 2 hints") {
		t.Errorf("printed\n%s", text)
	}
	if text := (&chart{verbose: true}).report(r); strings.Count(text, "mend: ip route add") != 2 {
		t.Errorf("--verbose printed\n%s", text)
	}
}
