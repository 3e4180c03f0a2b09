package driver_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// extend puts extensions into a network's document.
func extend(doc, extensions string) string {
	return strings.Replace(doc, "  <forward", "  <metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>\n"+extensions+"</virbr:network></metadata>\n  <forward", 1)
}

const web = "<virbr:portForward proto='tcp' guest='web1'><virbr:range start='8080' to='80'/></virbr:portForward>\n"

// following starts a rig whose driver follows its host until the test ends.
func following(t *testing.T) *rig {
	t.Helper()
	r := started(t)
	r.follow()
	return r
}

func (r *rig) follow() {
	ctx, stop := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.d.Run(ctx) }()
	r.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
}

func (r *rig) edit(ref driver.Ref, edit func(*xml.Extensions) error) error {
	return r.d.EditExtensions(r.t.Context(), ref, driver.AffectLive|driver.AffectConfig, edit)
}

// phases returns what the forwards of a network come to.
func (r *rig) phases(ref driver.Ref) string {
	r.t.Helper()
	list, err := r.d.Forwards(r.t.Context(), ref)
	if err != nil {
		r.t.Fatal(err)
	}
	var text []string
	for _, s := range list {
		text = append(text, strings.TrimSpace(fmt.Sprintf("%s %d %v %s", &s.Forward, s.Phase, s.Addresses, s.Reason)))
	}
	return strings.Join(text, "\n")
}

// lease writes the lease file of a bridge: lines of MAC address, address and
// name.
func (r *rig) lease(bridge string, lines ...string) {
	r.t.Helper()
	var entries []string
	for _, line := range lines {
		f := strings.Fields(line)
		entries = append(entries, fmt.Sprintf(`{"mac-address": %q, "ip-address": %q, "hostname": %q, "expiry-time": 0}`, f[0], f[1], f[2]))
	}
	r.write(filepath.Join(r.dirs.Dnsmasq, bridge+".status"), "["+strings.Join(entries, ",")+"]")
	r.host.Tell(driver.Change{Kind: driver.ChangeLeases, Link: bridge})
}

func (r *rig) wantPhases(ref driver.Ref, want string) {
	r.t.Helper()
	netnstest.Wait(r.t, "the forwards are right", func() error {
		if diff := cmp.Diff(want, r.phases(ref)); diff != "" {
			return errors.New("(-want +got)\n" + diff)
		}
		return nil
	})
}

func TestForwardsOfANetwork(t *testing.T) {
	t.Parallel()
	r := started(t)
	before := r.host.State()
	ref := r.define(extend(natNet("default", 3), web))
	r.wantPhases(ref, "tcp *:8080 to web1:80 0 []")
	r.start(ref)
	r.wantPhases(ref, "tcp *:8080 to web1:80 2 [192.168.3.10]")
	r.host.Lines()

	err := r.edit(ref, func(e *xml.Extensions) error {
		return e.AddForward(xml.PortForward{Proto: "udp", Guest: "52:54:00:00:00:99"}, xml.Last)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.wantPhases(ref, "tcp *:8080 to web1:80 2 [192.168.3.10]\nudp *:all to 52:54:00:00:00:99 1 [] waiting for \"52:54:00:00:00:99\" to get an address")
	r.host.Lines()
	err = r.edit(ref, func(e *xml.Extensions) error {
		return e.CutForward(&e.Forwards[0])
	})
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, r.host.Lines(), "firewall replace virbr3", "connections end to 192.168.3.10 tcp made to")
	if doc := r.xml(ref, true); strings.Contains(doc, "web1:80") || !strings.Contains(doc, "52:54:00:00:00:99") {
		t.Errorf("the persistent definition is\n%s", doc)
	}
	r.reopen()
	r.wantPhases(ref, "udp *:all to 52:54:00:00:00:99 1 [] waiting for \"52:54:00:00:00:99\" to get an address")
	r.destroy(ref)
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("what is left on the host (-before +after):\n%s", diff)
	}
}

// TestForwardTakenBack: whatever step of a change fails, host and files are as
// they were.
func TestForwardTakenBack(t *testing.T) {
	t.Parallel()
	for step := 0; ; step++ {
		r := started(t)
		ref := r.define(extend(natNet("default", 3), web))
		r.start(ref)
		host, files, phases := r.host.State(), r.files(), r.phases(ref)
		broken, failed, count := errors.New("broken on purpose"), "", 0
		r.host.Before = func(_ context.Context, line string) error {
			for _, spared := range []string{"connections", "facts", "neighbours", "addresses"} {
				if strings.HasPrefix(line, spared) {
					return nil // nothing is lost without
				}
			}
			if count++; count == step+1 {
				failed = line
				return broken
			}
			return nil
		}
		err := r.edit(ref, func(e *xml.Extensions) error {
			e.Forwards, e.Firewall.Coexist = nil, xml.CoexistNo
			return e.AddForward(xml.PortForward{Proto: "udp", Guest: "web1", Ranges: []xml.ForwardRange{{Start: 54}}}, xml.Last)
		})
		r.host.Before = nil
		if failed == "" {
			if err != nil || step < 2 {
				t.Errorf("with %d steps: %v", step, err)
			}
			return
		}
		if !errors.Is(err, broken) {
			t.Errorf("%q broken: got %v", failed, err)
		}
		if diff := cmp.Diff([]string{host, phases}, []string{r.host.State(), r.phases(ref)}); diff != "" {
			t.Errorf("%q broken: (-before +after)\n%s", failed, diff)
		}
		if diff := cmp.Diff(files, r.files()); diff != "" {
			t.Errorf("%q broken: files (-before +after)\n%s", failed, diff)
		}
	}
}

func TestGuestsAreFollowed(t *testing.T) {
	t.Parallel()
	r := following(t)
	ref := r.define(extend(natNet("default", 3), "<virbr:portForward proto='tcp' guest='db'><virbr:range start='5432'/></virbr:portForward>"))
	r.start(ref)
	r.wantPhases(ref, "tcp *:5432 to db 1 [] waiting for \"db\" to get an address")
	r.lease("virbr3", "52:54:00:00:00:01 192.168.3.20 db")
	r.wantPhases(ref, "tcp *:5432 to db 2 [192.168.3.20]")
	r.host.Lines()

	r.lease("virbr3", "52:54:00:00:00:66 192.168.3.66 db", "52:54:00:00:00:01 192.168.3.21 db") // the second is the first
	r.wantPhases(ref, "tcp *:5432 to db 2 [192.168.3.21] another guest, 52:54:00:00:00:66, asks for its name, and gets nothing by it")
	netnstest.Wait(t, "old connections end", func() error {
		if lines := strings.Join(r.host.Lines(), "\n"); !strings.Contains(lines, "connections end to 192.168.3.20 tcp") {
			return errors.New(lines)
		}
		return nil
	})
	r.lease("virbr3")
	r.wantPhases(ref, "tcp *:5432 to db 1 [] waiting for \"db\" to get an address")
}

// TestAnswersFollowGuests: on an uplink where the provider keeps the prefix, the
// host answers for each guest while it is there.
func TestAnswersFollowGuests(t *testing.T) {
	t.Parallel()
	r := following(t)
	guest, other := netip.MustParseAddr("2001:db8:7::99"), netip.MustParseAddr("2001:db8:7::1")
	mac := xml.MAC{0x52, 0x54, 0, 0, 0, 1}
	r.host.SetNeighbours("eth0", driver.Neighbour{Address: other, MAC: xml.MAC{2, 1}})
	before := r.host.State()
	ref := r.define(extend(natNet("default", 3), "<virbr:ipv6 advprefix='2001:db8:7::f/64' force='yes' proxyndp='eth0'/>"))
	r.start(ref)
	want := func(what string, on, off []string) {
		t.Helper()
		netnstest.Wait(t, what, func() error {
			state := r.host.State()
			for _, line := range on {
				if !strings.Contains(state, line+"\n") {
					return fmt.Errorf("no %q in\n%s", line, state)
				}
			}
			for _, line := range off {
				if strings.Contains(state, line+"\n") {
					return fmt.Errorf("%q in\n%s", line, state)
				}
			}
			return nil
		})
	}
	bridge, proxy, route := "proxy eth0 2001:db8:7::f", "proxy eth0 2001:db8:7::99", "route 2001:db8:7::99 virbr3"
	want("the bridge is answered for", []string{bridge}, []string{proxy, route})
	r.host.SetNeighbours("virbr3", driver.Neighbour{Address: guest, MAC: mac}, driver.Neighbour{Address: other, MAC: mac})
	r.host.Tell(driver.Change{Kind: driver.ChangeNeighbours, Link: "virbr3"})
	want("the guest is answered for, and the router on the uplink is not", []string{bridge, proxy, route},
		[]string{"proxy eth0 2001:db8:7::1", "route 2001:db8:7::1 virbr3"})
	r.host.SetNeighbours("virbr3")
	r.host.Tell(driver.Change{Kind: driver.ChangeNeighbours, Link: "virbr3"})
	want("the guest is gone", []string{bridge}, []string{proxy, route})
	r.destroy(ref)
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("what is left on the host (-before +after):\n%s", diff)
	}
}

func TestHealing(t *testing.T) {
	t.Parallel()
	r := following(t)
	a, b := r.define(natNet("a", 3)), r.define(extend(natNet("b", 4), web))
	r.start(a)
	r.start(b)
	gone := r.define(natNet("gone", 5))
	r.start(gone)
	r.destroy(gone)
	r.told()
	r.host.Lines()
	r.host.Tell(driver.Change{Kind: driver.ChangeRules, Ours: true, By: "nft (pid 7)"})
	var lines []string
	netnstest.Wait(t, "the rules are in again", func() error {
		lines = append(lines, r.host.Lines()...)
		if !strings.Contains(strings.Join(lines, "\n"), "firewall restore 2 networks") || !strings.Contains(strings.Join(lines, "\n"), "firewall of others: repair") {
			return fmt.Errorf("did %q", lines)
		}
		return nil
	})
	var events []string
	netnstest.Wait(t, "it is told", func() error {
		events = append(events, r.told()...)
		slices.Sort(events)
		if diff := cmp.Diff([]string{"a healed", "b healed"}, events); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	for _, s := range r.d.Stats() {
		if want := map[string]int{"a": 1, "b": 1}[s.Name]; s.Healings != want {
			t.Errorf("network %s: %d healings, want %d", s.Name, s.Healings, want)
		}
	}
}

// TestEventsOfGuests: who moved is told, and who is where it was is not; and that
// others' firewalls stopped guests of some networks.
func TestEventsOfGuests(t *testing.T) {
	t.Parallel()
	r := following(t)
	ref := r.define(extend(natNet("default", 3), "<virbr:portForward proto='tcp' guest='db'><virbr:range start='1'/></virbr:portForward>"+
		"<virbr:portForward proto='udp' guest='db'><virbr:range start='1'/></virbr:portForward>"+web))
	r.start(ref)
	r.start(r.define(natNet("other", 4)))
	r.told()
	told := func(what string, want ...string) {
		t.Helper()
		var events []string
		netnstest.Wait(t, what+" is told", func() error {
			events = append(events, r.told()...)
			if diff := cmp.Diff(want, events); diff != "" {
				return errors.New("(-want +got)\n" + diff)
			}
			return nil
		})
	}
	r.lease("virbr3", "52:54:00:00:00:0d 192.168.3.50 db")
	told("a guest that comes", "default guest db of 2: [] to [192.168.3.50]")
	r.lease("virbr3", "52:54:00:00:00:0d 192.168.3.51 db")
	told("a guest that moves", "default guest db of 2: [192.168.3.50] to [192.168.3.51]")
	r.host.Tell(driver.Change{Kind: driver.ChangeRules, Ours: true, Elsewhere: true, Link: "virbr4", By: "ufw (pid 7)"})
	told("a closed firewall", "other accepted of 1 by ufw (pid 7)")
}

// TestDnsmasqIsNursed: a dnsmasq that died is back at once; one that dies again
// and again is waited for longer and longer, until it has lived for a while.
func TestDnsmasqIsNursed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := started(t)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.d.Run(ctx) }()
		defer func() {
			stop()
			<-done
		}()
		ref := r.define(natNet("default", 3))
		r.start(ref)
		pid := filepath.Join(r.dirs.State, "default.pid")
		die := func(want time.Duration) {
			t.Helper()
			synctest.Wait()
			r.host.Kill(pid)
			r.host.Tell(driver.Change{Kind: driver.ChangeDnsmasq, Network: "default"})
			if want > 0 {
				time.Sleep(want - time.Millisecond)
				synctest.Wait()
				if r.host.DnsmasqAlive(pid) {
					t.Errorf("back before %v", want)
				}
				time.Sleep(time.Millisecond)
			}
			synctest.Wait()
			if !r.host.DnsmasqAlive(pid) {
				t.Errorf("not back after %v", want)
			}
		}
		r.told()
		for _, wait := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second} {
			die(wait)
		}
		want := []string{
			"default dnsmasq died 1, wait 0s", "default dnsmasq started", "default dnsmasq died 2, wait 1s", "default dnsmasq started",
			"default dnsmasq died 3, wait 2s", "default dnsmasq started", "default dnsmasq died 4, wait 4s", "default dnsmasq started",
		}
		if diff := cmp.Diff(want, r.told()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Minute)
		die(0)
		if s := r.d.Stats(); s[0].DnsmasqRestarts != 5 {
			t.Errorf("%d restarts, want 5", s[0].DnsmasqRestarts)
		}
		synctest.Wait()
		r.host.Lines()
		r.destroy(ref)
		r.host.Tell(driver.Change{Kind: driver.ChangeDnsmasq, Network: "default"})
		synctest.Wait()
		for _, line := range r.host.Lines() {
			if strings.HasPrefix(line, "dnsmasq start") {
				t.Errorf("a stopped network: %q", line)
			}
		}
	})
}
