package metrics_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/virbr/virbr/metrics"
)

// metric matches the names of metrics in PromQL; those that a histogram is read by
// end in a suffix.
var metric = regexp.MustCompile(`\b(?:virbr|process|go)_[a-z_]+\b`)

// known reports for each metric in an expression whether it exists.
func known(t *testing.T, where, expr string, used map[string]bool) {
	t.Helper()
	families := read(t, metrics.New(config()).Document(t.Context()))
	names := metric.FindAllString(expr, -1)
	if len(names) == 0 {
		t.Errorf("%s: %q asks for no metric", where, expr)
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, "_bucket")
		if families[name] == nil {
			t.Errorf("%s: %q asks for %s, which virbrd does not have", where, expr, name)
		}
		used[name] = true
	}
}

// TestDashboard: the sample dashboard is JSON as Grafana wants it, asks for
// metrics that exist, and for all that are about networks.
func TestDashboard(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../packaging/grafana/virbr.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	used, ids := map[string]bool{}, map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || len(p.Targets) == 0 {
			t.Errorf("panel %q: id %d, place %+v, %d targets", p.Title, p.ID, p.GridPos, len(p.Targets))
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			known(t, p.Title, target.Expr, used)
		}
	}
	for _, v := range board.Templating.List {
		if v.Definition != "" {
			known(t, "variable "+v.Name, v.Definition, used)
		}
	}
	for name := range read(t, metrics.New(config()).Document(t.Context())) {
		state := name == "virbr_network_persistent" || name == "virbr_network_autostart" || name == "virbr_network_last_start_seconds"
		if strings.HasPrefix(name, "virbr_") && !used[name] && !state {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// TestAlerts: the sample alerts ask for metrics that exist.
func TestAlerts(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../packaging/prometheus/virbr.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`(?m)^      - alert: (\w+)\n        expr: (.+)$`).FindAllStringSubmatch(string(data), -1)
	if want := strings.Count(string(data), "alert:"); len(rules) != want || want == 0 {
		t.Errorf("%d of %d alerts have an expression", len(rules), want)
	}
	for _, r := range rules {
		known(t, r[1], r[2], map[string]bool{})
	}
}

// TestDocumented: docs/metrics.md lists each metric.
func TestDocumented(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)").FindAllStringSubmatch(string(data), -1) {
		have[m[1]] = true
	}
	families := read(t, metrics.New(config()).Document(t.Context()))
	for name := range families {
		if !have[name] {
			t.Errorf("docs/metrics.md has no row for %s", name)
		}
	}
	for name := range have {
		if families[name] == nil {
			t.Errorf("docs/metrics.md has %s, which virbrd does not have", name)
		}
	}
}
