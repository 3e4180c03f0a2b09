package host_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// startBus runs a D-Bus daemon and returns its address.
func startBus(t testing.TB) string {
	t.Helper()
	netnstest.NeedProgram(t, "dbus-daemon")
	dir := t.TempDir()
	address := "unix:path=" + filepath.Join(dir, "bus")
	conf := filepath.Join(dir, "conf")
	text := `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
		"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
		<busconfig><type>session</type><listen>` + address + `</listen><auth>EXTERNAL</auth>
		<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dbus-daemon", "--nofork", "--config-file="+conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	netnstest.Wait(t, "the bus listens", func() error {
		c, err := net.Dial("unix", filepath.Join(dir, "bus"))
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return address
}

// service stands in for firewalld or systemd-resolved on a real bus: these are
// not installed where tests run, and own too much of a machine.
type service struct {
	mu       sync.Mutex // guards what follows
	zones    []string
	policies []string
	calls    []string
}

func (s *service) heard(words ...string) *dbus.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, strings.Join(words, " "))
	return nil
}

// all returns what was heard so far.
func (s *service) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

type zoneInterface struct{ *service }

func (z zoneInterface) GetZones() ([]string, *dbus.Error) { return z.zones, nil }

func (z zoneInterface) ChangeZoneOfInterface(zone, link string) (string, *dbus.Error) {
	for _, known := range z.zones {
		if known == zone {
			return zone, z.heard("change", zone, link)
		}
	}
	return "", dbus.NewError("org.fedoraproject.FirewallD1.Exception", []any{"INVALID_ZONE: " + zone})
}

func (z zoneInterface) RemoveInterface(zone, link string) (string, *dbus.Error) {
	if link == "stranger" {
		return "", dbus.NewError("org.fedoraproject.FirewallD1.Exception", []any{"UNKNOWN_INTERFACE: 'stranger' is not in any zone"})
	}
	return "", z.heard("remove", "'"+zone+"'", link)
}

type policyInterface struct{ *service }

func (p policyInterface) GetPolicies() ([]string, *dbus.Error) { return p.policies, nil }

type resolvedInterface struct{ *service }

type linkDomain struct {
	Name      string
	RouteOnly bool
}

type linkServer struct {
	Family  int32
	Address []byte
}

func (r resolvedInterface) SetLinkDomains(index int32, domains []linkDomain) *dbus.Error {
	if domains[0].Name == "refused" {
		return dbus.NewError("org.freedesktop.resolve1.LinkBusy", []any{"Link is managed."})
	}
	return r.heard("domains", linkText(index), domains[0].Name, map[bool]string{true: "route-only"}[domains[0].RouteOnly])
}

func (r resolvedInterface) SetLinkDNS(index int32, servers []linkServer) *dbus.Error {
	a, _ := netip.AddrFromSlice(servers[0].Address)
	return r.heard("dns", linkText(index), map[int32]string{2: "ipv4", 10: "ipv6"}[servers[0].Family], a.String())
}

func linkText(index int32) string { return map[int32]string{1: "lo"}[index] }

// offer puts the service on a bus under a name.
func (s *service) offer(t testing.TB, address, name string) (withdraw func()) {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	const firewalld = "org.fedoraproject.FirewallD1"
	lower := map[string]string{
		"GetZones": "getZones", "ChangeZoneOfInterface": "changeZoneOfInterface", "RemoveInterface": "removeInterface", "GetPolicies": "getPolicies",
	}
	if err := errors.Join(
		conn.ExportWithMap(zoneInterface{s}, lower, "/org/fedoraproject/FirewallD1", firewalld+".zone"),
		conn.ExportWithMap(policyInterface{s}, lower, "/org/fedoraproject/FirewallD1", firewalld+".policy"),
		conn.Export(resolvedInterface{s}, "/org/freedesktop/resolve1", "org.freedesktop.resolve1.Manager"),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.ReleaseName(name); err != nil {
			t.Error(err)
		}
	}
}

func busHost(t testing.TB, address string) *host.Host {
	t.Helper()
	h, err := host.New(host.Config{SystemBus: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func TestZones(t *testing.T) {
	t.Parallel()
	all := []string{"public", "libvirt", "libvirt-routed"}
	tests := []struct {
		name            string
		zones, policies []string
		op              step.SetZone
		want            string
		fails           string
	}{
		{"default", all, nil, step.SetZone{Link: "virbr0"}, "change libvirt virbr0", ""},
		{"routed", all, []string{"libvirt-routed-out"}, step.SetZone{Link: "virbr0", Routed: true}, "change libvirt-routed virbr0", ""},
		{"routed without policy", all, []string{"allow-host-ipv6"}, step.SetZone{Link: "virbr0", Routed: true}, "change libvirt virbr0", ""},
		{"routed without zone", all[:2], []string{"libvirt-routed-out"}, step.SetZone{Link: "virbr0", Routed: true}, "change libvirt virbr0", ""},
		{"explicit", all, nil, step.SetZone{Link: "virbr0", Zone: "public"}, "change public virbr0", ""},
		{"no libvirt zone", all[:1], nil, step.SetZone{Link: "virbr0"}, "", "firewalld can't find the 'libvirt' zone that should have been installed with libvirt"},
		{"unknown zone", all, nil, step.SetZone{Link: "virbr0", Zone: "moon"}, "", "INVALID_ZONE: moon"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := startBus(t)
			s := &service{zones: tt.zones, policies: tt.policies}
			s.offer(t, address, "org.fedoraproject.FirewallD1")
			err := busHost(t, address).Run(t.Context(), tt.op)
			if (err != nil) != (tt.fails != "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("error is %v, want %q", err, tt.fails)
			}
			if got := strings.Join(s.all(), "\n"); got != tt.want {
				t.Errorf("firewalld heard %q, want %q", got, tt.want)
			}
		})
	}
}

func TestZonesWithoutFirewalld(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{"bus": startBus(t), "no bus": "unix:path=/nonexistent/bus"} {
		h := busHost(t, address)
		run(t, h, step.SetZone{Link: "virbr0", Routed: true}, step.UnsetZone{Link: "virbr0"})
		err := h.Run(t.Context(), step.SetZone{Link: "virbr0", Zone: "public", Network: "default"})
		var zone *host.ZoneError
		if !errors.As(err, &zone) || err.Error() != "zone public requested for network default but firewalld is not active" {
			t.Errorf("%s: an explicit zone: %v", name, err)
		}
		err = h.Run(t.Context(), step.RegisterDNS{Link: "lo", Domain: "lab", Server: netip.MustParseAddr("192.0.2.1")})
		var register *host.RegisterError
		if !errors.As(err, &register) || register.Err != nil || err.Error() != "failed to register name server: systemd-resolved is not available" {
			t.Errorf("%s: registering a server: %v", name, err)
		}
	}
}

// Services come and go while we run, and the bus may be restarted.
func TestServicesComeAndGo(t *testing.T) {
	t.Parallel()
	address := startBus(t)
	h := busHost(t, address)
	s := &service{zones: []string{"libvirt"}}
	op := step.SetZone{Link: "virbr0"}
	run(t, h, op)
	withdraw := s.offer(t, address, "org.fedoraproject.FirewallD1")
	run(t, h, op, step.UnsetZone{Link: "virbr0"}, step.UnsetZone{Link: "stranger"})
	withdraw()
	run(t, h, op, step.UnsetZone{Link: "virbr0"})
	if diff := cmp.Diff([]string{"change libvirt virbr0", "remove '' virbr0"}, s.all()); diff != "" {
		t.Errorf("firewalld heard (-want +got):\n%s", diff)
	}
}

func TestDNSIsRegistered(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) { // where lo has index 1
		address := startBus(t)
		s := &service{}
		s.offer(t, address, "org.freedesktop.resolve1")
		h := busHost(t, address)
		run(t, h,
			step.RegisterDNS{Link: "lo", Domain: "lab.example", Server: netip.MustParseAddr("192.0.2.1")},
			step.RegisterDNS{Link: "lo", Domain: "six.example", Server: netip.MustParseAddr("2001:db8::1")},
		)
		want := []string{
			"domains lo lab.example route-only", "dns lo ipv4 192.0.2.1",
			"domains lo six.example route-only", "dns lo ipv6 2001:db8::1",
		}
		if diff := cmp.Diff(want, s.all()); diff != "" {
			t.Errorf("systemd-resolved heard (-want +got):\n%s", diff)
		}
		for _, op := range []step.RegisterDNS{
			{Link: "lo", Domain: "refused", Server: netip.MustParseAddr("192.0.2.1")},
			{Link: "nosuch", Domain: "lab", Server: netip.MustParseAddr("192.0.2.1")},
			{Link: "lo", Domain: "lab"},
		} {
			err := h.Run(t.Context(), op)
			var register *host.RegisterError
			if !errors.As(err, &register) || register.Err == nil || err.Error() != "failed to register name server" {
				t.Errorf("%s: %v", op, err)
			}
		}
	})
}

// A bus that accepts and says nothing must not hold a start for ever.
func TestSilentBus(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := deadlineSoon(t)
	defer cancel()
	if err := busHost(t, "unix:path="+path).Run(ctx, step.SetZone{Link: "virbr0"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a bus that does not answer: %v", err)
	}
}
