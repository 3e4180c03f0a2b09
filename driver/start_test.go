package driver_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

func TestStartAndStop(t *testing.T) {
	t.Parallel()
	r := started(t)
	before := r.host.State()
	ref := r.define(natNet("default", 0))
	r.start(ref)
	up := strings.ReplaceAll(strings.Join(r.host.Lines(), "\n"), r.dir, "")
	wantUp := `link add virbr0 type bridge address 52:54:00:00:00:00
bridge set virbr0 forward_delay 0
bridge set virbr0 stp_state 1
sysctl net/ipv6/conf/virbr0/disable_ipv6 = 1 (if present)
sysctl net/ipv6/conf/virbr0/accept_ra = 0 (if present)
sysctl net/ipv6/conf/virbr0/autoconf = 0 (if present)
address add 192.168.0.1/24 broadcast 192.168.0.255 dev virbr0
link set virbr0 up
sysctl net/ipv4/ip_forward = 1
routing keep virbr0 for 192.168.0.0/24
file write /dnsmasq/default.conf mode 0600`
	if !strings.HasPrefix(up, wantUp) {
		t.Errorf("start (-want +got):\n%s", cmp.Diff(wantUp, up))
	}
	const wantEnd = `
dnsmasq start virbr0 conf /dnsmasq/default.conf pid /run/default.pid
zone set virbr0 libvirt (if firewalld runs)
firewall install virbr0 (leave_virbr0 enter_virbr0 nat4_virbr0)
firewall of others: accept virbr0
checksums fill virbr0
dnsmasq await /run/default.pid
shape virbr0 inbound average 1000`
	if !strings.HasSuffix(up, wantEnd) {
		t.Errorf("start ends with:\n%s", up)
	}
	if !r.active(ref) {
		t.Error("not active after start")
	}
	r.destroy(ref)
	down := strings.ReplaceAll(strings.Join(r.host.Lines(), "\n"), r.dir, "")
	wantDown := `unshape virbr0
dnsmasq signal TERM /run/default.pid
link set virbr0 down
checksums leave virbr0
firewall of others: forget virbr0
firewall remove virbr0
routing forget virbr0
zone unset virbr0
link delete virbr0
dnsmasq stop /run/default.pid`
	if diff := cmp.Diff(wantDown, down); diff != "" {
		t.Errorf("stop (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("what is left on the host (-before +after):\n%s", diff)
	}
	if r.active(ref) {
		t.Error("active after stop")
	}
	want := []string{"default defined", "default started", "default stopped"}
	if diff := cmp.Diff(want, r.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// Whatever step fails, the host and the files are as they were, the cause is
// reported first, and the next start works.
func TestFailedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	probe := started(t)
	probe.start(probe.define(natNet("default", 0)))
	steps := len(probe.host.Lines())
	for n := range steps {
		r := started(t)
		ref := r.define(natNet("default", 0))
		before, files := r.host.State(), r.files()
		seen, broken := 0, ""
		r.host.Before = func(_ context.Context, line string) error {
			if line == "facts" || broken != "" {
				return nil
			}
			if seen++; seen <= n {
				return nil
			}
			broken = line
			return syscall.EIO
		}
		err := r.d.Start(t.Context(), ref)
		if tolerated := strings.HasPrefix(broken, "checksums") || strings.HasPrefix(broken, "routing") || strings.HasPrefix(broken, "firewall of others"); tolerated != (err == nil) {
			t.Errorf("step %d %q: start gave %v", n, broken, err)
			continue
		} else if tolerated {
			r.destroy(ref)
			files = r.files() // dnsmasq's own stay after a stop
		} else if !errors.Is(err, syscall.EIO) {
			t.Errorf("step %d %q: error %v hides its cause", n, broken, err)
		}
		if diff := cmp.Diff(before, r.host.State()); diff != "" {
			t.Errorf("step %d %q: left on the host (-before +after):\n%s", n, broken, diff)
		}
		after := slices.DeleteFunc(r.files(), func(f string) bool { return strings.HasPrefix(f, "dnsmasq/") })
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasPrefix(f, "dnsmasq/") })
		if diff := cmp.Diff(files, after); diff != "" {
			t.Errorf("step %d %q: left on disk (-before +after):\n%s", n, broken, diff)
		}
		if r.active(ref) {
			t.Errorf("step %d %q: active", n, broken)
		}
		r.host.Before = nil
		r.start(ref)
	}
}

func TestForeignBridgeSurvivesAFailedStart(t *testing.T) {
	t.Parallel()
	r := started(t)
	r.host.AddLink("virbr0", "bridge")
	before := r.host.State()
	ref := r.define(natNet("default", 0))
	err := r.d.Start(t.Context(), ref)
	wantKind(t, err, driver.KindSystem, "error creating bridge interface virbr0")
	if !errors.Is(err, syscall.EEXIST) {
		t.Errorf("%v is not EEXIST", err)
	}
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
}

// A failure to take something back is reported after the cause, and the rest
// is taken back all the same.
func TestRollbackGoesOnAfterErrors(t *testing.T) {
	t.Parallel()
	r := started(t)
	before := r.host.State()
	ref := r.define(natNet("default", 0))
	r.host.Before = func(_ context.Context, line string) error {
		switch {
		case strings.HasPrefix(line, "dnsmasq start"):
			return syscall.ENOMEM
		case strings.HasPrefix(line, "link set virbr0 down"):
			return syscall.EPERM
		}
		return nil
	}
	err := r.d.Start(t.Context(), ref)
	if !errors.Is(err, syscall.ENOMEM) || !errors.Is(err, syscall.EPERM) {
		t.Fatalf("error %v does not tell of both failures", err)
	}
	if text := err.Error(); strings.Index(text, syscall.ENOMEM.Error()) > strings.Index(text, syscall.EPERM.Error()) {
		t.Errorf("the cause is not first: %v", err)
	}
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
}

func TestCancelledStartIsTakenBack(t *testing.T) {
	t.Parallel()
	r := started(t)
	before := r.host.State()
	ref := r.define(natNet("default", 0))
	g := newGate(r, "dnsmasq start")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-g.reached; cancel() }()
	if err := r.d.Start(ctx, ref); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
}

func TestStopGoesOnAfterErrors(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	r.start(ref)
	r.host.Before = func(_ context.Context, line string) error {
		if strings.HasPrefix(line, "dnsmasq stop") {
			return syscall.EPERM
		}
		return nil
	}
	r.destroy(ref)
	if strings.Contains(r.host.State(), "virbr0 kind") || r.active(ref) {
		t.Errorf("stop stopped at an error:\n%s", r.host.State())
	}
}

func TestStatusFile(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	r.start(ref)
	_, status, ok := strings.Cut(r.read(r.dirs.State+"/default.xml"), "-->\n\n")
	if !ok {
		t.Fatal("status file has no comment and empty line on top")
	}
	want := `<networkstatus>
  <class_id bitmap='0-2'/>
  <floor sum='0'/>
  <network>
    <name>default</name>
    <uuid>aa000000-0000-4000-8000-000000000000</uuid>
    <forward mode='nat'>
      <nat>
        <port start='1024' end='65535'/>
      </nat>
    </forward>
    <bridge name='virbr0' stp='on' delay='0'/>
    <mac address='52:54:00:00:00:00'/>
    <bandwidth>
      <inbound average='1000'/>
    </bandwidth>
    <ip address='192.168.0.1' netmask='255.255.255.0'>
      <dhcp>
        <range start='192.168.0.2' end='192.168.0.254'/>
        <host mac='52:54:00:aa:bb:cc' name='web1' ip='192.168.0.10'/>
      </dhcp>
    </ip>
  </network>
</networkstatus>`
	if diff := cmp.Diff(want, status); diff != "" {
		t.Errorf("status file (-want +got):\n%s", diff)
	}
	if st, err := os.Stat(r.dirs.State + "/default.xml"); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", st.Mode(), err)
	}
	r.destroy(ref)
	want2 := []string{"dnsmasq/default.addnhosts", "dnsmasq/default.conf", "dnsmasq/default.hostsfile", "etc/default.xml", "run/autostarted"}
	if diff := cmp.Diff(want2, r.names()); diff != "" {
		t.Errorf("files after stop (-want +got):\n%s", diff)
	}
}

// Modes without a bridge of ours touch nothing on the host.
func TestOtherForwardModes(t *testing.T) {
	t.Parallel()
	r := started(t)
	r.host.AddLink("br0", "bridge")
	r.host.VFs = map[string][]step.VF{"eth0": {{PCI: xml.PCIAddress{Bus: 3, Function: 1}}}}
	before := r.host.State()
	for _, body := range []string{
		`<name>bridge</name><forward mode='bridge'/><bridge name='br0'/>`,
		`<name>private</name><forward mode='private'><interface dev='eth0'/></forward>`,
		`<name>vepa</name><forward mode='vepa'><interface dev='eth0'/></forward>`,
		`<name>passthrough</name><forward mode='passthrough'><interface dev='eth0'/></forward>`,
		`<name>hostdev</name><forward mode='hostdev' managed='yes'><address type='pci' domain='0' bus='3' slot='0' function='1'/></forward>`,
	} {
		ref := r.define("<network>" + body + "</network>")
		r.start(ref)
		if !r.active(ref) {
			t.Errorf("%s is not active", ref.Name)
		}
		if lines := r.host.Lines(); len(lines) > 0 {
			t.Errorf("%s: start did %q", ref.Name, lines)
		}
		r.destroy(ref)
	}
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
}
