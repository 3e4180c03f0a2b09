package driver_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// found counts the lines that a restarted driver leaves of some kind.
func found(lines []string, prefix string) int {
	return len(slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.HasPrefix(l, prefix) }))
}

// TestTakeOverOfWhatWouldBeRefused: a network that runs is known whatever stands in
// its definition. What is dangerous there reaches nothing, the network can be
// stopped, and it starts when it was defined anew.
func TestTakeOverOfWhatWouldBeRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, from, to, reason string
		rules                  bool // ours can be put in
	}{
		{"line break", "<ip ", "<dns><host ip='192.168.0.9'><hostname>a\ndhcp-script=/x</hostname></host></dns><ip ", "invalid char in hostname: 0x0a", true},
		{"unreadable", "<ip ", "<mtu size='big'/><ip ", "Invalid mtu size 'big'", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := started(t)
			before := r.host.State()
			doc := natNet("a", 0)
			ref := r.define(doc)
			r.start(ref)
			r.start(r.define(natNet("b", 1)))
			served := r.read(filepath.Join(r.dirs.Dnsmasq, "a.conf")) + r.read(filepath.Join(r.dirs.Dnsmasq, "a.addnhosts"))
			status := r.leftByLibvirt(ref, "nftables")
			config := filepath.Join(r.dirs.Config, "a.xml")
			for _, path := range []string{status, config} {
				r.write(path, strings.Replace(r.read(path), tt.from, tt.to, 1))
			}
			texts := r.read(status) + r.read(config)
			r.host.Lines()
			r.open()
			lines := r.host.Lines()
			if !r.active(ref) || tt.rules != slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "firewall install") && strings.Contains(l, "virbr0") }) {
				t.Errorf("active %t, rules are to be put in: %t\n%s", r.active(ref), tt.rules, strings.Join(lines, "\n"))
			}
			if tt.rules != slices.Contains(lines, "firewall remove libvirt's rules") || found(lines, "dnsmasq") > 0 {
				t.Errorf("what libvirt's daemon left was changed:\n%s", strings.Join(lines, "\n"))
			}
			if now := r.read(filepath.Join(r.dirs.Dnsmasq, "a.conf")) + r.read(filepath.Join(r.dirs.Dnsmasq, "a.addnhosts")); now != served {
				t.Errorf("dnsmasq's files changed:\n%s", cmp.Diff(served, now))
			}
			if now := r.read(status) + r.read(config); !tt.rules && now != texts {
				t.Errorf("what could not be read is lost:\n%s", cmp.Diff(texts, now))
			}
			update := request(xml.UpdateAddLast, xml.SectionDNSHost, "<host ip='192.168.0.8'><hostname>c</hostname></host>", driver.AffectLive|driver.AffectConfig)
			if err := r.d.Update(t.Context(), ref, update); err == nil || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("update: %v, want %q", err, tt.reason)
			}
			r.destroy(ref)
			if err := r.d.Start(t.Context(), ref); err == nil || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("start: %v, want %q", err, tt.reason)
			}
			b, err := r.d.LookupByName(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			r.destroy(b)
			if diff := cmp.Diff(before, r.host.State()); diff != "" {
				t.Errorf("host after the stop (-before +after):\n%s", diff)
			}
			r.start(r.define(doc))
		})
	}
}

// TestTakeOverWithoutOne: while a status file is no network's, libvirt's rules stay,
// for they may be all that its guests have.
func TestTakeOverWithoutOne(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("a", 0))
	r.start(ref)
	r.leftByLibvirt(ref, "iptables")
	broken := filepath.Join(r.dirs.State, "broken.xml")
	r.write(broken, "<networkstatus><network><name>bro")
	r.host.Lines()
	r.open()
	if lines := r.host.Lines(); slices.Contains(lines, "firewall remove libvirt's rules") || found(lines, "firewall install") != 1 {
		t.Errorf("the rules of a network that was not taken over:\n%s", strings.Join(lines, "\n"))
	}
}

// TestUnacceptableDefinitions: definitions that others accepted are listed, and
// say at start what is wrong with them. Their files stay as they are.
func TestUnacceptableDefinitions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	bad := strings.Replace(natNet("bad", 1), "<mac address='52:54:00:00:00:01'/>", "<mtu size='big'/>", 1)
	path := filepath.Join(r.dirs.Config, "bad.xml")
	r.write(path, bad)
	r.write(filepath.Join(r.dirs.Config, "autostart", "bad.xml"), "")
	r.open()
	ref, err := r.d.LookupByName(t.Context(), "bad")
	if err != nil {
		t.Fatal(err)
	}
	err = r.d.Start(t.Context(), ref)
	if err == nil || !strings.Contains(err.Error(), "Invalid mtu size 'big' in network 'bad'") {
		t.Errorf("start: %v", err)
	}
	text := "x"
	err = r.d.SetMetadata(t.Context(), ref, driver.MetadataRequest{Type: driver.MetadataTitle}, "", &text)
	if err == nil || r.read(path) != bad {
		t.Errorf("a title (%v):\n%s", err, r.read(path))
	}
	good := r.define(natNet("bad", 1))
	r.start(good)
}

// TestTakeOverOfOverlappingSubnets: libvirt starts a network within another one's
// subnet. The kernel's maps have room for both when they are ours: each translates
// its own addresses.
func TestTakeOverOfOverlappingSubnets(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq", "nft")
	netnstest.Run(t, func(t *testing.T) {
		k := onKernel(t)
		narrow, wide := k.define(natNet("narrow", 1)), k.define(natNet("wide", 2))
		k.start(narrow)
		k.start(wide)
		status := k.leftByLibvirt(wide, "iptables")
		k.write(status, strings.Replace(k.read(status), "address='192.168.2.1' netmask='255.255.255.0'", "address='192.168.2.1' netmask='255.255.0.0'", 1))
		k.boot()
		out, err := exec.CommandContext(t.Context(), "nft", "list", "map", "inet", "virbr", "nat4").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, element := range []string{"192.168.1.0/24 : jump nat4_virbr1", "192.168.0.0/24 : jump nat4_virbr2", "192.168.2.0/23 : jump nat4_virbr2", "192.168.128.0/17 : jump nat4_virbr2"} {
			if !strings.Contains(string(out), element) {
				t.Errorf("%q is missing:\n%s", element, out)
			}
		}
		k.destroy(wide)
		k.destroy(narrow)
	})
}
