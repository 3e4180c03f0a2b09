//go:build libvirt_dlopen

package stress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/netnstest"
)

// maxResident is what the daemon may use of memory with a thousand networks.
const maxResident = 64 << 10 // KiB

// sampled is how many calls a median is of.
const sampled = 20

// TestScale: so many networks run side by side, with a DHCP server each. They
// are listed, counted and taken over by the next daemon, started at once as at
// boot, and gone without a trace.
func TestScale(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "dnsmasq", "ip", "nft")
		n := size(100, 1000)
		needInotify(t, n)
		s := &scale{t: t, n: n, conf: t.TempDir() + "/virbrd.conf", place: newPlace(t)}
		const conf = "log_level = \"warn\"\nmetrics = \"unix:" + metricsSocket + "\"\n"
		if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		before := s.links()
		s.daemon = s.start()
		s.startAll()
		s.list()
		s.scrape()
		s.restart()
		s.destroyAll()
		s.boot()
		s.destroyAll()
		if after := s.links(); after != before {
			t.Errorf("links before:\n%safter:\n%s", before, after)
		}
		if rules := s.output("nft", "list", "ruleset"); rules != "" {
			t.Errorf("rules are left:\n%s", rules)
		}
	})
}

const metricsSocket = "/run/virbr/metrics.sock"

// scale is one run of TestScale.
type scale struct {
	*daemon
	*place
	t    *testing.T
	n    int
	conf string
	nets []*libvirt.Network

	first use // with the first network running
}

// needInotify is for a limit of the whole machine, which a test does not raise:
// it holds for each user, and so for the owner of the test's namespaces.
func needInotify(t *testing.T, networks int) {
	t.Helper()
	const key = "/proc/sys/fs/inotify/max_user_instances"
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	have, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if want := networks + 24; have < want {
		netnstest.Need(t, fmt.Sprintf("needs fs.inotify.max_user_instances of %d or more (now %d); sysctl -w sets it", want, have))
	}
}

// start starts a daemon.
func (s *scale) start() *daemon {
	s.t.Helper()
	return launch(s.t, s.command(bin("virbrd"), "--virbrd-config", s.conf))
}

func (s *scale) links() string { return s.output("ip", "-br", "link", "show", "type", "bridge") }

func median(took []time.Duration) time.Duration {
	took = slices.Clone(took)
	slices.Sort(took)
	return took[len(took)/2]
}

// startAll defines all networks and starts one after the other. The last ones take
// turns with the first ones of another daemon: what slows the machine down
// meanwhile slows both.
func (s *scale) startAll() {
	s.t.Helper()
	s.nets = s.define(s.n)
	began, busy := time.Now(), s.busy()
	for i, net := range s.nets[:s.n-sampled] {
		if err := net.Create(); err != nil {
			s.t.Fatalf("starting network %d of %d: %v", i+1, s.n, err)
		}
		if i == 0 {
			s.first = s.use()
		}
	}
	s.t.Logf("%d starts, one after the other: %v, of which the processors worked %v", s.n-sampled, time.Since(began), s.busy()-busy)
	few, many := newcomer(s.t, sampled), &pace{daemon: s.daemon, place: s.place}
	few.begin()
	many.begin()
	for i, net := range s.nets[s.n-sampled:] {
		few.start(few.nets[i])
		many.start(net)
	}
	few.end()
	many.end()
	ratios := make([]float64, sampled)
	for i := range ratios {
		ratios[i] = ratio(many.took[i], few.took[i])
	}
	slices.Sort(ratios)
	s.t.Logf("net-start: %v at first, %v with %d networks: %.2f times (medians of %d, in turns)",
		median(few.took), median(many.took), s.n, ratios[sampled/2], sampled)
	s.t.Logf("dnsmasq's own start: %v at first, %v with %d networks: %.2f times", few.alone, many.alone, s.n, ratio(many.alone, few.alone))
	s.t.Logf("of a processor virbrd used %v for each at first, %v with %d networks: %.2f times", few.work, many.work, s.n, ratio(many.work, few.work))
	few.leave()
	now := s.use()
	s.t.Logf("virbrd: %.1f MiB (at most %.1f), %d threads, %d files open; with one network %.1f MiB and %d files",
		mib(now.resident), mib(now.peak), now.threads, now.descriptors, mib(s.first.resident), s.first.descriptors)
	if now.peak > maxResident {
		s.t.Errorf("virbrd used %d KiB of memory, more than %d", now.peak, maxResident)
	}
	if more := now.descriptors - s.first.descriptors; more > s.n+8 { // one tells when a dnsmasq ends
		s.t.Errorf("%d networks hold %d files open in virbrd", s.n, more)
	}
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
func mib(kib int64) float64            { return float64(kib) / 1024 }

// list lists all networks in one call, and as virsh net-list does.
func (s *scale) list() {
	s.t.Helper()
	var took []time.Duration
	for range sampled {
		began := time.Now()
		list, err := s.conn.ListAllNetworks(libvirt.CONNECT_LIST_NETWORKS_ACTIVE)
		took = append(took, time.Since(began))
		if err != nil || len(list) != s.n {
			s.t.Fatalf("%d networks are listed, not %d: %v", len(list), s.n, err)
		}
		for i := range list {
			_ = list[i].Free()
		}
	}
	s.t.Logf("list of %d networks: %v", s.n, median(took))
}

// scrape reads the metrics as Prometheus would.
func (s *scale) scrape() {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", metricsSocket)
	}}}
	defer client.CloseIdleConnections()
	var took []time.Duration
	var doc string
	before := s.use()
	for range sampled {
		began := time.Now()
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://virbrd/metrics", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		reply, err := client.Do(request)
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := io.ReadAll(reply.Body)
		_ = reply.Body.Close()
		if err != nil || reply.StatusCode != http.StatusOK {
			s.t.Fatalf("scraping: %v, %v", reply.Status, err)
		}
		took, doc = append(took, time.Since(began)), string(body)
	}
	cost := (s.use().cpu - before.cpu) / sampled
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(doc))
	if err != nil {
		s.t.Fatalf("Prometheus' parser: %v", err)
	}
	for _, name := range []string{"virbr_network_active", "virbr_network_transmit_packets_total"} {
		if got := len(families[name].GetMetric()); got != s.n {
			s.t.Errorf("%s has %d series, not %d", name, got, s.n)
		}
	}
	if got := families["virbr_network_start_seconds"].GetMetric()[0].GetHistogram().GetSampleCount(); int(got) != s.n {
		s.t.Errorf("%d starts are counted, not %d", got, s.n)
	}
	s.t.Logf("scrape of %d KiB: %v, %v of a processor", len(doc)>>10, median(took), cost.Round(100*time.Microsecond))
}

// restart ends the daemon and starts another one, which takes the networks over.
func (s *scale) restart() {
	s.t.Helper()
	s.stop()
	began := time.Now()
	s.daemon = s.start()
	took, used := time.Since(began), s.use()
	s.list()
	s.t.Logf("start of virbrd with %d running networks: %v, %v of a processor, %.1f MiB", s.n, took, used.cpu, mib(used.peak))
	if used.peak > maxResident {
		s.t.Errorf("the new virbrd used %d KiB of memory, more than %d", used.peak, maxResident)
	}
	s.lookup()
}

// lookup gets the networks from the connection to a new daemon.
func (s *scale) lookup() {
	s.t.Helper()
	for i := range s.nets {
		net, err := s.conn.LookupNetworkByName("net" + strconv.Itoa(i))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = net.Free() })
		s.nets[i] = net
	}
}

// boot starts the daemon as after a boot, with autostart of all networks.
func (s *scale) boot() {
	s.t.Helper()
	for _, net := range s.nets {
		if err := net.SetAutostart(true); err != nil {
			s.t.Fatal(err)
		}
	}
	s.stop()
	if err := os.Remove("/run/libvirt/network/autostarted"); err != nil {
		s.t.Fatal(err)
	}
	began, busy := time.Now(), s.busy()
	s.daemon = s.start()
	s.allUp()
	took, busy := time.Since(began), s.busy()-busy
	s.t.Logf("autostart of %d networks: %v; the machine's %d processors worked %v, %.0f%% of that time",
		s.n, took, runtime.NumCPU(), busy, 100*ratio(busy, took)/float64(runtime.NumCPU()))
	s.lookup()
}

// allUp waits until all networks run, a thousand longer than a broken test would be
// waited for. It asks seldom: whoever asks takes a processor from who starts them.
func (s *scale) allUp() {
	s.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Minute); ; {
		active, err := s.conn.NumOfNetworks()
		if err != nil {
			s.t.Fatal(err)
		}
		now := <-tick.C
		if active == s.n {
			return
		}
		if now.After(deadline) {
			s.t.Fatalf("%d of %d networks are up", active, s.n)
		}
	}
}

// busy returns how long all processors of the machine worked since its boot:
// whoever else is on it counts, too.
func (s *scale) busy() time.Duration {
	s.t.Helper()
	fields := strings.Fields(strings.SplitN(s.read("/proc/stat"), "\n", 2)[0])
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		ticks += n
	}
	const second = 100 // USER_HZ
	return time.Duration(ticks) * time.Second / second
}

// destroyAll stops all networks, one after the other.
func (s *scale) destroyAll() {
	s.t.Helper()
	var took []time.Duration
	for i, net := range s.nets {
		began := time.Now()
		if err := net.Destroy(); err != nil {
			s.t.Fatalf("stopping network %d: %v", i+1, err)
		}
		took = append(took, time.Since(began))
	}
	s.t.Logf("net-destroy: %v at first, %v at last", median(took[:sampled]), median(took[s.n-sampled:]))
	if left, err := os.ReadDir("/run/virbr/networks"); err != nil || len(left) != 0 {
		s.t.Errorf("%d undo records are left, %v", len(left), err)
	}
	if now := s.use(); now.descriptors > s.first.descriptors+8 {
		s.t.Errorf("%d files are open, with one network %d were", now.descriptors, s.first.descriptors)
	}
}
