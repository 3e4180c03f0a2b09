package driver_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// classes returns what the host has of traffic classes, and the two lines of
// the status file that account for them.
func (r *rig) classes() []string {
	r.t.Helper()
	var list []string
	for line := range strings.Lines(r.host.State()) {
		if strings.HasPrefix(line, "class ") {
			list = append(list, strings.TrimSpace(line))
		}
	}
	for line := range strings.Lines(r.read(filepath.Join(r.dirs.State, "default.xml"))) {
		if strings.Contains(line, "<class_id") || strings.Contains(line, "<floor") {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

func (r *rig) wantClasses(when string, want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.classes()); diff != "" {
		r.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// uncounted returns the rig's files without the counter in the status file,
// which is only as new as the last change of a floor, as with libvirt.
func (r *rig) uncounted() []string {
	list := r.files()
	for i := range list {
		list[i] = strings.Replace(list[i], " connections='1'", "", 1)
	}
	return list
}

// set replaces the bandwidth of port n.
func (r *rig) set(net driver.Ref, n int, b *xml.Bandwidth) error {
	return r.d.SetPortBandwidth(r.t.Context(), driver.PortRef{Network: net, UUID: uuid(n)}, b)
}

func floor(average, kilobytes uint64) *xml.Bandwidth {
	return &xml.Bandwidth{Inbound: &xml.Rate{Average: average, Floor: kilobytes}}
}

// Floors from creation through changes to deletion: classes, their sum, and the
// rate of the class of all others.
func TestFloors(t *testing.T) {
	t.Parallel()
	r := started(t)
	net := r.define(natNet("default", 0)) // 1000 kB/s
	r.start(net)
	none := []string{"<class_id bitmap='0-2'/>", "<floor sum='0'/>"}
	r.wantClasses("before", none...)
	for i, doc := range []string{"<bandwidth><inbound average='500' floor='300'/></bandwidth>", "<bandwidth><inbound floor='200'/></bandwidth>"} {
		if _, err := r.create(net, i+1, doc); err != nil {
			t.Fatal(err)
		}
	}
	first := "class virbr0 3 52:54:00:aa:bb:01 floor 300 ceil 1000 average 500"
	r.wantClasses("two floors", "class virbr0 2 rate 500", first,
		"class virbr0 4 52:54:00:aa:bb:02 floor 200 ceil 1000 average 0", "<class_id bitmap='0-4'/>", "<floor sum='500'/>")

	_, err := r.create(net, 3, "<bandwidth><inbound floor='501'/></bandwidth>")
	wantKind(t, err, driver.KindOperationInvalid,
		"Cannot plug '52:54:00:aa:bb:03' interface into 'virbr0' because new combined inbound floor=1001 would overcommit average=1000 on network 'default'")
	wantKind(t, r.set(net, 2, floor(1, 701)), driver.KindOperationInvalid,
		"Cannot plug '52:54:00:aa:bb:02' interface into 'virbr0' because new combined inbound floor=1001 would overcommit average=1000 on network 'default'")

	if err := r.set(net, 2, floor(1, 700)); err != nil {
		t.Fatal(err)
	}
	r.wantClasses("a floor grew", "class virbr0 2 rate 0", first,
		"class virbr0 4 52:54:00:aa:bb:02 floor 700 ceil 1000 average 1", "<class_id bitmap='0-4'/>", "<floor sum='1000'/>")
	if err := r.unplug(net, 1); err != nil {
		t.Fatal(err)
	}
	r.wantClasses("a port has gone", "class virbr0 2 rate 300",
		"class virbr0 4 52:54:00:aa:bb:02 floor 700 ceil 1000 average 1", "<class_id bitmap='0-2,4'/>", "<floor sum='700'/>")
	if err := r.set(net, 2, nil); err != nil {
		t.Fatal(err)
	}
	r.wantClasses("the last floor has gone", append([]string{"class virbr0 2 rate 1000"}, none...)...)
	if b, err := r.d.PortBandwidth(t.Context(), driver.PortRef{Network: net, UUID: uuid(2)}); err != nil || b.Inbound != nil || b.Outbound != nil || b.ClassID != 0 {
		t.Errorf("bandwidth: %+v, %v", b, err)
	}
	if err := r.set(net, 2, floor(0, 10)); err != nil {
		t.Fatal(err)
	}
	r.wantClasses("a floor came back", "class virbr0 2 rate 990",
		"class virbr0 3 52:54:00:aa:bb:02 floor 10 ceil 1000 average 0", "<class_id bitmap='0-3'/>", "<floor sum='10'/>")
	path := filepath.Join(r.dirs.State, "default/ports", uuid(2).String()+".xml")
	if got := r.read(path); !strings.Contains(got, "  <bandwidth classID='3'>\n    <inbound floor='10'/>\n  </bandwidth>\n") {
		t.Errorf("port file:\n%s", got)
	}
	r.destroy(net)
	if got := r.host.State(); strings.Contains(got, "class") {
		t.Errorf("after the stop:\n%s", got)
	}
}

// Whatever fails while a port is created or changed, its class, floor and guest
// are given back. libvirt loses them.
func TestFailedPortsLeaveNothing(t *testing.T) {
	t.Parallel()
	for _, fails := range []string{"shape virbr0 class 4", "file write ", "hook", "file"} {
		t.Run(fails, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if fails == "hook" {
				r.script("network", `[ "$2" != port-created ] || ! grep -q aa:bb:02`)
			}
			r.open()
			net := r.define(natNet("default", 0))
			r.start(net)
			if _, err := r.create(net, 1, "<bandwidth><inbound floor='100'/></bandwidth>"); err != nil {
				t.Fatal(err)
			}
			state, files, live := r.host.State(), r.uncounted(), r.xml(net, false)
			broken := syscall.EIO
			armed := true
			r.host.Before = func(_ context.Context, line string) error {
				if armed && strings.HasPrefix(line, fails) {
					armed = false
					return broken
				}
				return nil
			}
			block := filepath.Join(r.dirs.State, "default/ports", uuid(2).String()+".xml.new/in the way")
			if fails == "file" {
				r.write(block, "")
			}
			_, err := r.create(net, 2, "<bandwidth><inbound floor='200'/></bandwidth>")
			if err == nil {
				t.Fatal("created")
			}
			if diff := cmp.Diff(state, r.host.State()); diff != "" {
				t.Errorf("host (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(live, r.xml(net, false)); diff != "" {
				t.Errorf("live document (-before +after):\n%s", diff)
			}
			if fails == "file" {
				if err := os.RemoveAll(filepath.Dir(block)); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(files, r.uncounted()); diff != "" {
				t.Errorf("files (-before +after):\n%s", diff)
			}
		})
	}
}

// A class number that a reclaimed port claims is not believed, where it is
// another port's or nobody's.
func TestReclaimedClassesAreChecked(t *testing.T) {
	t.Parallel()
	r := started(t)
	net := r.define(natNet("default", 0))
	r.start(net)
	if _, err := r.create(net, 1, "<bandwidth><inbound floor='100'/></bandwidth>"); err != nil {
		t.Fatal(err)
	}
	before := r.classes()
	for i, class := range []string{"3", "2", "9", "4294967295"} {
		doc := "<bandwidth classID='" + class + "'><inbound floor='100'/></bandwidth><plug type='network' bridge='virbr0'/>"
		if err := r.reclaim(net, i+2, doc); err != nil {
			t.Fatal(err)
		}
		if err := r.unplug(net, i+2); err != nil {
			t.Fatal(err)
		}
		r.wantClasses("after a port that claimed class "+class, before...)
	}
}

// What virbr makes of limits and floors on the real kernel, as tc shows it.
func TestKernelFloors(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "tc")
	netnstest.Run(t, func(t *testing.T) {
		k := onKernel(t)
		net := k.define(strings.Replace(natNet("default", 7), "average='1000'", "average='1000' peak='5000' burst='5120'", 1))
		k.start(net)
		for i, f := range []string{"300", "200"} {
			if _, err := k.create(net, i+1, "<bandwidth><inbound average='500' floor='"+f+"'/></bandwidth>"); err != nil {
				t.Fatal(err)
			}
		}
		wantTC(t, "class", map[string]string{
			"class htb 1:1 root ":     "rate 8Mbit ceil 40Mbit", // tc shows the quantum of leaves only
			"class htb 1:2 parent 1:": "rate 36Mbit ceil 40Mbit quantum 85",
			"class htb 1:3 parent 1:": "rate 2400Kbit ceil 40Mbit quantum 42",
			"class htb 1:4 parent 1:": "rate 1600Kbit ceil 40Mbit quantum 42",
		})
		filters := tc(t, "filter", "show", "dev", "virbr7")
		for _, want := range []string{
			"protocol ip pref 2 u32 chain 0 fh 800::803 order 2051 key ht 800 bkt 0 *flowid 1:3",
			"match 00000800/0000ffff at -4",
			"match 00aabb01/ffffffff at -12",
			"match 00005254/0000ffff at -16",
			"fh 800::804 order 2052 key ht 800 bkt 0 *flowid 1:4",
			"match 00aabb02/ffffffff at -12",
		} {
			if !strings.Contains(strings.ReplaceAll(filters, " flowid", " *flowid"), want) {
				t.Errorf("filters lack %q:\n%s", want, filters)
			}
		}
		if err := k.set(net, 1, floor(500, 400)); err != nil {
			t.Fatal(err)
		}
		if err := k.unplug(net, 2); err != nil {
			t.Fatal(err)
		}
		wantTC(t, "class", map[string]string{
			"class htb 1:2 parent 1:": "rate 36800Kbit ceil 40Mbit quantum 85",
			"class htb 1:3 parent 1:": "rate 3200Kbit ceil 40Mbit quantum 42",
		})
		if text := tc(t, "class", "show", "dev", "virbr7") + tc(t, "filter", "show", "dev", "virbr7"); strings.Contains(text, "1:4") || strings.Contains(text, "804") {
			t.Errorf("of the deleted port there is left:\n%s", text)
		}
		k.destroy(net)
	})
}

// A kernel that cannot police what guests send says so by name.
func TestKernelOutbound(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		k := onKernel(t)
		net := k.define(strings.Replace(natNet("default", 7), "<inbound average='1000'/>", "<outbound average='1000'/>", 1))
		err := k.d.Start(t.Context(), net)
		if errors.Is(err, host.ErrNoPolice) && !strings.Contains(err.Error(), "act_police") {
			t.Errorf("the error does not name what is missing: %v", err)
		}
		if err != nil && !errors.Is(err, host.ErrNoPolice) {
			t.Errorf("start: %v", err)
		}
	})
}

func tc(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "tc", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("tc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// wantTC checks lines of what tc shows of virbr7: how they begin, and what
// words are in them.
func wantTC(t *testing.T, what string, lines map[string]string) {
	t.Helper()
	text := tc(t, "-d", what, "show", "dev", "virbr7")
	for begin, words := range lines {
		i := strings.Index(text, begin)
		if i < 0 {
			t.Errorf("no %q in:\n%s", begin, text)
			continue
		}
		line, _, _ := strings.Cut(text[i:], "\n")
		fields := strings.Fields(line)
		for j, want := 0, strings.Fields(words); j < len(want); j += 2 {
			if !strings.Contains(strings.Join(fields, " "), want[j]+" "+want[j+1]) {
				t.Errorf("%q lacks %s %s", line, want[j], want[j+1])
			}
		}
	}
}
