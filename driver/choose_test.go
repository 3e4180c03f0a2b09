package driver_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
)

// openNet is a network that leaves both addresses open.
func openNet(n int, prefix string) string {
	return fmt.Sprintf(`<network><name>n%d</name><uuid>%s</uuid><forward/><bridge name='virbr%d'/><ipv6 advprefix='%s'/><ip type='auto'/></network>`,
		n, uuid(n), n, prefix)
}

// local returns a rig whose host has a prefix of its own.
func local(t *testing.T) *rig {
	t.Helper()
	r := started(t)
	r.write(filepath.Join(r.dirs.Lib, "ula"), "fd01:203:405::/48\n")
	return r
}

// chosen returns the subnet and the prefix that live XML has, and deprecated
// addresses.
func (r *rig) chosen(ref driver.Ref) string {
	r.t.Helper()
	var list []string
	for _, m := range regexp.MustCompile(`(?:ip|deprecated) address='([^']*)'|advprefix='([^']*)' from`).FindAllStringSubmatch(r.xml(ref, false), -1) {
		list = append(list, m[1]+m[2])
	}
	return strings.Join(list, " ")
}

func (r *rig) wantChosen(ref driver.Ref, want string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.chosen(ref)); diff != "" {
		r.t.Errorf("chosen for %s (-want +got)\n%s", ref.Name, diff)
	}
}

// TestChoiceIsKept: what was chosen outlives the run, the daemon and others'
// coming and going, until the network is undefined.
func TestChoiceIsKept(t *testing.T) {
	t.Parallel()
	r := local(t)
	a, b := r.define(openNet(1, "ula")), r.define(openNet(2, "auto"))
	r.start(a)
	r.start(b)
	const inA, inB = "fd01:203:405:1::/64 192.168.122.1", "fd01:203:405:2::/64 192.168.123.1"
	r.wantChosen(a, inA)
	r.wantChosen(b, inB)
	if got := r.xml(a, true); !strings.Contains(got, "<ipv6 advprefix='ula'/>") || !strings.Contains(got, "<ip type='auto'>") {
		t.Errorf("the definition changed:\n%s", got)
	}
	r.reopen()
	r.wantChosen(a, inA)
	r.destroy(a)
	r.destroy(b)
	r.start(b)
	r.wantChosen(b, inB)
	if err := r.d.Undefine(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	c := r.define(openNet(3, "ula"))
	r.start(c)
	r.wantChosen(c, inA) // it is free again
}

// TestChoiceIsFree: what somebody has, or seems to have, is not chosen.
func TestChoiceIsFree(t *testing.T) {
	t.Parallel()
	pools := driver.Pools{
		IPv4: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/22"), netip.MustParsePrefix("10.9.0.0/24")},
		IPv6: []netip.Prefix{netip.MustParsePrefix("2001:db8:100::/62"), netip.MustParsePrefix("2001:db8:200::/64")},
	}
	tests := []struct {
		name    string
		prepare func(*rig)
		want    string
	}{
		{"nothing is taken", func(*rig) {}, "2001:db8:100::/64 10.1.0.1"},
		{"a definition", func(r *rig) {
			r.define(strings.NewReplacer("type='auto'", "address='10.1.0.77' prefix='23'", "auto", "2001:db8:100::7").Replace(openNet(2, "auto")))
		}, "2001:db8:100:1::/64 10.1.2.1"},
		{"another's choice", func(r *rig) { ref := r.define(openNet(2, "auto")); r.start(ref); r.destroy(ref) }, "2001:db8:100:1::/64 10.1.1.1"},
		{"routes", func(r *rig) {
			for _, dest := range []string{"10.1.0.128/25", "2001:db8:100::/63", "0.0.0.0/1", "2000::/3"} {
				r.host.AddRoute(step.Route{Dest: netip.MustParsePrefix(dest), Link: "eth0"})
			}
		}, "2001:db8:100:2::/64 10.1.1.1"},
		{"a route by a gateway", func(r *rig) {
			r.host.AddRoute(step.Route{Dest: netip.MustParsePrefix("10.1.0.0/16"), Link: "eth0", Gateway: netip.MustParseAddr("10.0.0.1")})
		}, "2001:db8:100::/64 10.9.0.1"},
		{"neighbours", func(r *rig) {
			r.host.Taken = []netip.Addr{netip.MustParseAddr("10.1.0.254"), netip.MustParseAddr("10.1.1.1")}
		}, "2001:db8:100::/64 10.1.2.1"},
		{"the pool is used up", func(r *rig) {
			r.host.AddRoute(step.Route{Dest: netip.MustParsePrefix("2001:db8::/32"), Link: "eth0"})
		}, "fd01:203:405:1::/64 10.1.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := local(t)
			r.d.SetPools(pools)
			tt.prepare(r)
			ref := r.define(openNet(1, "auto"))
			r.start(ref)
			r.wantChosen(ref, tt.want)
		})
	}
}

// TestNoSubnetIsFree: the start says so and leaves nothing behind.
func TestNoSubnetIsFree(t *testing.T) {
	t.Parallel()
	r := started(t)
	r.d.SetPools(driver.Pools{IPv4: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}})
	ref := r.define(openNet(1, "ula"))
	before := r.host.State()
	wantKind(t, r.d.Start(t.Context(), ref), driver.KindInternal, "no free IPv4 subnet was found for network 'n1'")
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("the start left something (-before +after)\n%s", diff)
	}
}

// TestBrokenChoice: files that make no sense stop a start; another choice would
// move the network.
func TestBrokenChoice(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][2]string{
		"host's prefix":        {"ula", "2001:db8::/48\n"},
		"no JSON":              {"networks/" + uuid(1).String() + ".json", "{"},
		"no /24":               {"networks/" + uuid(1).String() + ".json", `{"network":"n1","ipv4":"10.0.0.0/8"}`},
		"no /64":               {"networks/" + uuid(2).String() + ".json", `{"network":"n2","pool":"2001:db8::/48"}`},
		"former with no /64":   {"networks/" + uuid(2).String() + ".json", `{"network":"n2","former":[{"address":"2001:db8::1/60","until":1}]}`},
		"IPv4 in IPv6's place": {"networks/" + uuid(2).String() + ".json", `{"network":"n2","current":"10.0.0.0/24"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := started(t)
			r.write(filepath.Join(r.dirs.Lib, file[0]), file[1])
			ref := r.define(openNet(1, "ula"))
			if err := r.d.Start(t.Context(), ref); err == nil || !strings.Contains(err.Error(), filepath.Base(file[0])) {
				t.Errorf("start: %v", err)
			}
		})
	}
}

// TestRenumber: a pool that changes moves running networks, whose former prefix
// stays until its time is up.
func TestRenumber(t *testing.T) {
	t.Parallel()
	r := started(t)
	pool := func(p string) driver.Pools { return driver.Pools{IPv6: []netip.Prefix{netip.MustParsePrefix(p)}} }
	r.d.SetPools(pool("2001:db8:100::/56"))
	ref := r.define(strings.Replace(openNet(1, "auto"), "<ipv6 ", "<ipv6 lifetime='7200' ", 1))
	r.start(ref)
	still := r.define(openNet(2, "ula"))
	r.start(still)
	r.host.Lines()
	if next, err := r.d.Renumber(t.Context()); next != 0 || err != nil || len(r.host.Lines()) > 0 {
		t.Errorf("nothing changed, but: %v, %v", next, err)
	}

	r.d.SetPools(pool("2001:db8:200::/56"))
	next, err := r.d.Renumber(t.Context())
	if err != nil || next.Seconds() < 7000 || next.Seconds() > 7200 {
		t.Errorf("the former prefix goes in %v, %v", next, err)
	}
	const both = "2001:db8:200::/64 2001:db8:100::1/64 192.168.122.1"
	r.wantChosen(ref, both)
	wantLines(t, r.host.Lines(), "address add 2001:db8:200::1/64 nodad dev virbr1", "address add 2001:db8:100::1/64 nodad deprecated dev virbr1",
		"firewall replace virbr1", "routing keep virbr1", "file write", "dnsmasq stop", "dnsmasq start virbr1")
	r.reopen()
	r.d.SetPools(pool("2001:db8:200::/56"))
	r.wantChosen(ref, both)
	r.host.Lines()

	file := filepath.Join(r.dirs.Lib, "networks", uuid(1).String()+".json")
	r.write(file, regexp.MustCompile(`"until": *\d+`).ReplaceAllString(r.read(file), `"until": 1`))
	if next, err := r.d.Renumber(t.Context()); next != 0 || err != nil {
		t.Errorf("when its time is up: %v, %v", next, err)
	}
	r.wantChosen(ref, "2001:db8:200::/64 192.168.122.1")
	wantLines(t, r.host.Lines(), "firewall replace virbr1", "routing keep virbr1", "file write", "dnsmasq stop", "dnsmasq start virbr1", "address delete 2001:db8:100::1/64 dev virbr1")
	r.destroy(ref)
	if got := r.host.State(); strings.Contains(got, "virbr1") {
		t.Errorf("left behind:\n%s", got)
	}
}

// wantLines looks for lines by their beginnings, in any order of equals.
func wantLines(t *testing.T, lines []string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains("\n"+strings.Join(lines, "\n"), "\n"+w) {
			t.Errorf("no step %q in\n%s", w, strings.Join(lines, "\n"))
		}
	}
	for _, l := range lines {
		found := false
		for _, w := range want {
			found = found || strings.HasPrefix(l, w)
		}
		if !found {
			t.Errorf("step %q was not expected", l)
		}
	}
}

// TestRenumberFails: a step that fails leaves the network as it was, and the
// next attempt does it.
func TestRenumberFails(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"address add 2001:db8:200::1", "firewall replace", "file write", "dnsmasq start"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			r := started(t)
			r.d.SetPools(driver.Pools{IPv6: []netip.Prefix{netip.MustParsePrefix("2001:db8:100::/64")}})
			ref := r.define(openNet(1, "auto"))
			r.start(ref)
			before, live := r.host.State(), r.xml(ref, false)
			r.d.SetPools(driver.Pools{IPv6: []netip.Prefix{netip.MustParsePrefix("2001:db8:200::/64")}})
			breakOnce(r, step)
			if _, err := r.d.Renumber(t.Context()); err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(before+live, r.host.State()+r.xml(ref, false)); diff != "" {
				t.Errorf("not as it was (-before +after)\n%s", diff)
			}
			if _, err := r.d.Renumber(t.Context()); err != nil {
				t.Error(err)
			}
			r.wantChosen(ref, "2001:db8:200::/64 2001:db8:100::1/64 192.168.122.1")
		})
	}
}

// TestTakenPrefix: an advertised prefix is one network's, at definition and at
// start.
func TestTakenPrefix(t *testing.T) {
	t.Parallel()
	r := started(t)
	with := func(n int, prefix string) string {
		return strings.Replace(openNet(n, prefix), "<ipv6 ", "<ipv6 force='yes' ", 1)
	}
	first := r.define(with(1, "2001:db8:31::/64"))
	_, err := r.d.DefineXML(t.Context(), with(2, "2001:db8:31::5"), false)
	wantPrefixTaken(t, err, "IPv6 prefix 2001:db8:31::/64 of network 'n2' is in use: network 'n1' has 2001:db8:31::/64")
	_, err = r.d.DefineXML(t.Context(), strings.Replace(openNet(2, "ula"), "<ipv6 advprefix='ula'/>", "<ip family='ipv6' address='2001:db8:31::9' prefix='120'/>", 1), false)
	wantPrefixTaken(t, err, "IPv6 prefix 2001:db8:31::/120 of network 'n2' is in use: network 'n1' has 2001:db8:31::/64")
	r.close()
	r.write(filepath.Join(r.dirs.Config, "n3.xml"), with(3, "2001:db8:31::/64"))
	r.open()
	r.start(first)
	err = r.d.Start(t.Context(), driver.Ref{Name: "n3", UUID: uuid(3)})
	if err == nil || !strings.Contains(err.Error(), "advprefix '2001:db8:31::/64' of network 'n3' is already in use: interface virbr1 has 2001:db8:31::/64") {
		t.Errorf("start with a running network's prefix: %v", err)
	}
}

func wantPrefixTaken(t *testing.T, err error, msg string) {
	t.Helper()
	if e, ok := errors.AsType[*plan.Error](err); !ok || e.Kind != plan.KindUnsupported || e.Msg != msg {
		t.Errorf("got %v, want %q", err, msg)
	}
}

// TestLiveXMLDefined: what live XML says of a choice is no part of a definition.
func TestLiveXMLDefined(t *testing.T) {
	t.Parallel()
	r := local(t)
	ref := r.define(openNet(1, "ula"))
	r.start(ref)
	live := r.xml(ref, false)
	r.define(strings.Replace(live, " from='ula'/>", " from='auto'><deprecated address='2001:db8::1/64'/></ipv6>", 1))
	if got := r.xml(ref, true); !strings.Contains(got, "<ipv6 advprefix='fd01:203:405:1::/64'/>") {
		t.Errorf("defined:\n%s", got)
	}
}

// breakOnce makes the first step whose line begins with prefix fail.
func breakOnce(r *rig, prefix string) {
	var once sync.Once
	r.host.Before = func(_ context.Context, line string) (err error) {
		if strings.HasPrefix(line, prefix) {
			once.Do(func() { err = syscall.EIO })
		}
		return err
	}
}

// TestChoicesInOrder: networks that start by themselves for the first time get their
// subnets in the order of their names, whoever is faster.
func TestChoicesInOrder(t *testing.T) {
	t.Parallel()
	for range 3 {
		r := local(t)
		const many = 8
		for _, n := range []int{5, 2, 8, 1, 7, 3, 6, 4} {
			ref := r.define(openNet(n, []string{"ula", "auto"}[n%2]))
			if err := r.d.SetAutostart(t.Context(), ref, true); err != nil {
				t.Fatal(err)
			}
		}
		r.close()
		if err := os.Remove(filepath.Join(r.dirs.State, "autostarted")); err != nil {
			t.Fatal(err)
		}
		r.open()
		for n := 1; n <= many; n++ {
			ref := driver.Ref{Name: fmt.Sprintf("n%d", n), UUID: uuid(n)}
			r.wantChosen(ref, fmt.Sprintf("fd01:203:405:%d::/64 192.168.%d.1", n, 121+n))
		}
	}
}
