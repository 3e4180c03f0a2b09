package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
)

// overlaid returns the steps that add extensions to a network of libvirt's.
func overlaid(t *testing.T, body, elements string) ([]string, []step.Op, error) {
	t.Helper()
	def := parse(t, "<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>"+elements+"</virbr:network></metadata>"+body)
	made, err := plan.Overlaid(def)
	if err != nil {
		return nil, nil, err
	}
	ext, err := def.Extensions()
	if err != nil {
		t.Fatal(err)
	}
	facts := step.Facts{Links: map[string]step.Link{"lo": {}, "eth0": {}, "virbr0": {Kind: "bridge"}}, Dnsmasq: step.DnsmasqFacts{Path: "/usr/sbin/dnsmasq", Major: 2, Minor: 90}}
	resolution := plan.NewResolution(made, ext, plan.Observations{}, plan.Memory{})
	p, err := plan.Overlay(def, made, resolution, facts, plan.Dirs{Run: "/run/virbr/hook", Dnsmasq: "/var/lib/virbr/dnsmasq"})
	if err != nil {
		return nil, nil, err
	}
	var lines []string
	for _, s := range p.Steps {
		line, _, _ := strings.Cut(s.Do.String(), " (")
		lines = append(lines, line)
	}
	return lines, step.StopOrder(step.Undos(p.Steps)), nil
}

const (
	natBody  = "<forward mode='nat'/><bridge name='virbr0'/><ip address='10.1.0.1' prefix='24'><dhcp><range start='10.1.0.2' end='10.1.0.9'/></dhcp></ip>"
	openBody = "<forward mode='open'/><bridge name='virbr0'/><ip address='10.1.0.1' prefix='24'/>"
	bareBody = "<bridge name='virbr0'/>"
	web      = "<virbr:portForward proto='tcp' guest='10.1.0.5'><virbr:range start='8080'/></virbr:portForward>"
)

// TestOverlay: what is libvirt's is not done again: no bridge, no IPv4 address, no
// link brought up.
func TestOverlay(t *testing.T) {
	t.Parallel()
	beside := []string{"firewall install virbr0", "firewall of libvirt: accept virbr0", "firewall of others: accept virbr0"}
	prefix := []string{
		"sysctl net/ipv6/conf/virbr0/disable_ipv6 = 0", "sysctl net/ipv6/conf/virbr0/accept_ra = 0", "sysctl net/ipv6/conf/virbr0/autoconf = 0",
		"firewall install virbr0", "firewall of libvirt: accept virbr0", "firewall of others: accept virbr0",
		"address add fd00:5::1/64 nodad dev virbr0", "router advertisements: hear for virbr0", "sysctl net/ipv6/conf/all/forwarding = 1",
		"routing keep virbr0 for 10.1.0.0/24 fd00:5::/64",
		"file write /var/lib/virbr/dnsmasq/net.conf mode 0600", "file write /var/lib/virbr/dnsmasq/net.hostsfile mode 0644", "file write /var/lib/virbr/dnsmasq/net.addnhosts mode 0644",
		"dnsmasq start virbr0 conf /var/lib/virbr/dnsmasq/net.conf pid /run/virbr/hook/net.pid",
	}
	const routing = "routing keep virbr0 for 10.1.0.0/24"
	and := func(lines ...string) []string { return append(lines[:len(lines):len(lines)], routing) }
	for _, tt := range []struct {
		name, body, elements string
		want                 []string
	}{
		{"uplink", natBody, "<virbr:firewall coexist='no'/><virbr:uplink dev='wg0'/>", []string{"firewall install virbr0", routing + " ipv4 unreachable ipv6 unreachable"}},
		{"forward", natBody, web, and(beside...)},
		{"prefix", natBody, "<virbr:ipv6 advprefix='fd00:5::/64'/>", prefix},
		{"others have the last word", natBody, "<virbr:firewall coexist='no'/>" + web, and(beside[:2]...)},
		{"others alone", natBody, "<virbr:firewall coexist='yes'/>", and(beside[2:]...)},
		{"open", openBody, web, and(beside[:1]...)},
		{"open with rules", openBody, "<virbr:firewall mode='nat'/>", []string{beside[0], beside[2], routing}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, undo, err := overlaid(t, tt.body, tt.elements)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, op := range undo {
				switch op.(type) {
				case step.DelLink, step.SetDown:
					t.Errorf("%s would end libvirt's network", op)
				}
			}
		})
	}
}

// TestOverlayServes: where libvirt runs a dnsmasq ours leaves DNS to it and says so to
// guests; where it runs none ours does all.
func TestOverlayServes(t *testing.T) {
	t.Parallel()
	conf := func(body string) string {
		def := parse(t, "<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:ipv6 advprefix='fd00:5::/64'/></virbr:network></metadata>"+body)
		made, err := plan.Overlaid(def)
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.Overlay(def, made, nil, step.Facts{Dnsmasq: step.DnsmasqFacts{Path: "/d", Major: 2, Minor: 90}}, plan.Dirs{Run: "/run", Dnsmasq: "/lib"})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Steps {
			if f, ok := s.Do.(step.WriteFile); ok && strings.HasSuffix(f.Path, ".conf") {
				return f.Data
			}
		}
		return ""
	}
	if got := conf(natBody); !strings.Contains(got, "port=0\n") || !strings.Contains(got, "dhcp-option=option6:dns-server,[fd00:5::1]\n") || strings.Contains(got, "10.1.0") {
		t.Errorf("beside libvirt's dnsmasq:\n%s", got)
	}
	if got := conf(bareBody); strings.Contains(got, "port=0\n") || strings.Contains(got, "dns-server") {
		t.Errorf("alone:\n%s", got)
	}
}

func TestOverlaidRefuses(t *testing.T) {
	t.Parallel()
	six := strings.Replace(natBody, "<ip ", "<ip family='ipv6' address='fd00:9::1' prefix='64'/><ip ", 1)
	for _, tt := range []struct{ name, body, elements, want string }{
		{"IPv6 of libvirt's", six, "<virbr:ipv6 advprefix='fd00:5::/64'/>", "which libvirt advertises"},
		{"an address of libvirt's", natBody, "<virbr:ip type='auto'/>", "is for networks without one"},
		{"leases of libvirt's", natBody, "<virbr:ipv6 advprefix='fd00:5::/64' hostid='ipv4'/>", "needs the leases"},
		{"bridge that is not named", "<forward mode='bridge'/>", "<virbr:bridge create='yes'/>", "needs a bridge name"},
	} {
		if _, _, err := overlaid(t, tt.body, tt.elements); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, _, err := overlaid(t, six, web); err != nil {
		t.Errorf("a forward into a network with IPv6 of libvirt's: %v", err)
	}
}

// TestOverlayOwn: where libvirt filters IPv6 though it knows no IPv6 subnet, ours
// passes.
func TestOverlayOwn(t *testing.T) {
	t.Parallel()
	def := parse(t, "<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:ipv6 advprefix='fd00:5::/64'/></virbr:network></metadata>"+natBody)
	made, err := plan.Overlaid(def)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Overlay(def, made, nil, step.Facts{Dnsmasq: step.DnsmasqFacts{Path: "/d", Major: 2, Minor: 90}}, plan.Dirs{Run: "/run", Dnsmasq: "/lib"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		if op, ok := s.Do.(step.AcceptInLibvirtChains); ok {
			if len(op.Own) != 1 || op.Own[0].String() != "fd00:5::/64" {
				t.Errorf("own subnets %v", op.Own)
			}
			return
		}
	}
	t.Error("nothing is accepted beside libvirt's rules")
}
