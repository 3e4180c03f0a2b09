package metrics_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/metrics"
	"github.com/virbr/virbr/quota"
	"github.com/virbr/virbr/xml"
)

// hostile is a name that a definition may have.
const hostile = "a \"b\" \\n {c=\"d\"} é"

// config returns two networks: one that runs and one that does not.
func config() metrics.Config {
	return metrics.Config{
		Version: "1.2.3",
		Networks: func() []driver.NetworkStats {
			return []driver.NetworkStats{
				{
					Name: hostile, UUID: xml.UUID{1}, Bridge: "virbr0", Active: true, Persistent: true, Autostart: true,
					Ports: 3, Leases: 7, Leases6: 2, Pool: 253, Pool6: 1<<64 - 1, Forwards: 5, Waiting: 1,
					StartDuration: 12 * time.Millisecond, DnsmasqRestarts: 4, Healings: 6,
				},
				{Name: "off", UUID: xml.UUID{2}, Bridge: "virbr1"},
			}
		},
		Starts: func() driver.StartTimes {
			return driver.StartTimes{
				Bounds: []time.Duration{5 * time.Millisecond, time.Second}, Counts: []uint64{1, 2, 4}, Sum: 10 * time.Second, Failed: 3,
			}
		},
		Clients: func() int { return 9 },
		User:    func(net.Conn) quota.User { return quota.User{UID: 1000} },
		Traffic: func(context.Context) (map[string]metrics.Traffic, error) {
			return map[string]metrics.Traffic{
				"virbr0": {1, 2, 3, 4, 5, 6}, "eth0": {ReceivedBytes: 99}, "virbr1": {ReceivedBytes: 99},
			}, nil
		},
		Rejected: func(_ context.Context, bridges []string) (map[string]metrics.Rejected, error) {
			if !slices.Equal(bridges, []string{"virbr0"}) {
				return nil, fmt.Errorf("asked for %q", bridges)
			}
			return map[string]metrics.Rejected{"virbr0": {7, 8}, "virbr1": {9, 9}}, nil
		},
		Stopped: func(context.Context) ([]metrics.Stopped, error) {
			return []metrics.Stopped{{"virbr0", "vnet1", "web1", "ra", 12}, {"virbr1", "vnet2", "db1", "ip", 9}}, nil
		},
	}
}

// read has Prometheus' own parser read a document.
func read(t *testing.T, doc []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	return families
}

// series lists what Prometheus reads, but for what is of the process.
func series(families map[string]*dto.MetricFamily) []string {
	var list []string
	for name, f := range families {
		if strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "go_") {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := fmt.Sprint(m.GetGauge().GetValue() + m.GetCounter().GetValue())
			if h := m.GetHistogram(); h != nil {
				value = fmt.Sprint(h.GetSampleCount(), h.GetSampleSum())
				for _, b := range h.GetBucket() {
					value += fmt.Sprintf(" %v:%d", b.GetUpperBound(), b.GetCumulativeCount())
				}
			}
			list = append(list, fmt.Sprintf("%s %v %s", name, labels, value))
		}
	}
	slices.Sort(list)
	return list
}

func TestDocument(t *testing.T) {
	t.Parallel()
	families := read(t, metrics.New(config()).Document(t.Context()))
	for _, name := range []string{"process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds", "process_cpu_seconds_total", "go_goroutines"} {
		f := families[name]
		if f == nil || f.GetMetric()[0].GetGauge().GetValue()+f.GetMetric()[0].GetCounter().GetValue() <= 0 {
			t.Errorf("%s is %v", name, f)
		}
	}
	const first = "network=" + hostile
	goversion := families["virbr_build_info"].GetMetric()[0].GetLabel()[1].GetValue()
	want := []string{
		"virbr_build_info [version=1.2.3 goversion=" + goversion + "] 1",
		"virbr_clients [] 9",
		"virbr_network_info [" + first + " uuid=01000000-0000-0000-0000-000000000000 bridge=virbr0] 1",
		"virbr_network_info [network=off uuid=02000000-0000-0000-0000-000000000000 bridge=virbr1] 1",
		"virbr_network_start_failures_total [] 3",
		"virbr_network_start_seconds [] 7 10 0.005:1 1:3 +Inf:7",
		"virbr_network_rejected_packets_total [" + first + " direction=leaving] 7",
		"virbr_network_rejected_packets_total [" + first + " direction=entering] 8",
		"virbr_network_guard_dropped_packets_total [" + first + " guest=web1 port=vnet1 cause=ra] 12",
	}
	for name, values := range map[string][2]string{
		"active": {"1", "0"}, "persistent": {"1", "0"}, "autostart": {"1", "0"}, "ports": {"3", "0"},
		"dnsmasq_restarts_total": {"4", "0"}, "healings_total": {"6", "0"}, "last_start_seconds": {"0.012", "0"},
		"receive_bytes_total": {"1"}, "receive_packets_total": {"2"}, "receive_drops_total": {"3"},
		"transmit_bytes_total": {"4"}, "transmit_packets_total": {"5"}, "transmit_drops_total": {"6"},
	} {
		want = append(want, fmt.Sprintf("virbr_network_%s [%s] %s", name, first, values[0]))
		if values[1] != "" {
			want = append(want, fmt.Sprintf("virbr_network_%s [network=off] %s", name, values[1]))
		}
	}
	for name, values := range map[string][4]string{
		"leases family":         {"ipv4", "5", "ipv6", "2"},
		"pool_addresses family": {"ipv4", "253", "ipv6", "1.8446744073709552e+19"},
		"forwards state":        {"ready", "4", "waiting", "1"},
	} {
		name, label, _ := strings.Cut(name, " ")
		for i := 0; i < len(values); i += 2 {
			want = append(want, fmt.Sprintf("virbr_network_%s [%s %s=%s] %s", name, first, label, values[i], values[i+1]),
				fmt.Sprintf("virbr_network_%s [network=off %s=%s] 0", name, label, values[i]))
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, series(families)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestWithoutCounters: what is known is told where the host does not answer.
func TestWithoutCounters(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Traffic = func(context.Context) (map[string]metrics.Traffic, error) { return nil, errors.New("no netlink") }
	families := read(t, metrics.New(cfg).Document(t.Context()))
	const links, rules = "virbr_network_receive_bytes_total", "virbr_network_rejected_packets_total"
	if families["virbr_network_active"] == nil || families[links] != nil || families[rules] == nil {
		t.Errorf("families %v", slices.Sorted(maps.Keys(families)))
	}
	cfg = config()
	cfg.Rejected = func(context.Context, []string) (map[string]metrics.Rejected, error) {
		return nil, errors.New("no netlink")
	}
	families = read(t, metrics.New(cfg).Document(t.Context()))
	if families[links] == nil || families[rules] != nil {
		t.Errorf("families %v", slices.Sorted(maps.Keys(families)))
	}
}

// TestNames: the conventions that promtool checks, too.
func TestNames(t *testing.T) {
	t.Parallel()
	for name, f := range read(t, metrics.New(config()).Document(t.Context())) {
		if total := strings.HasSuffix(name, "_total"); total != (f.GetType() == dto.MetricType_COUNTER) {
			t.Errorf("%s is a %v", name, f.GetType())
		}
		if f.GetHelp() == "" || !regexp.MustCompile(`^[a-z_]+$`).MatchString(name) {
			t.Errorf("%s: help %q", name, f.GetHelp())
		}
	}
}
