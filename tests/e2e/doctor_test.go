package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/tests/netnstest"
)

// machineWide are findings about limits of the whole machine, which tests share
// with others that may use them up.
var machineWide = []string{"inotify-limit", "files-limit", "pids-limit"}

// kernelLacks are findings about the kernel at hand: this one may have no
// act_csum. tests/kernel has one that does.
var kernelLacks = []string{"checksum"}

// diagnose runs the doctor and returns what it found, without what is about the
// machine at hand.
func diagnose(t *testing.T, args ...string) *doctor.Report {
	t.Helper()
	r, err := consult(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func consult(t *testing.T, args ...string) (*doctor.Report, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin("virbr"), append([]string{"doctor", "--json"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	r := &doctor.Report{}
	if jsonErr := json.Unmarshal(stdout.Bytes(), r); jsonErr != nil {
		return nil, fmt.Errorf("virbr doctor: %w, %w\n%s%s", err, jsonErr, stdout.String(), stderr.String())
	}
	if err := described("doctor", stdout.String()); err != nil {
		return nil, err
	}
	want := 0
	if !r.Well() {
		want = 1
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		return nil, fmt.Errorf("virbr doctor ended with %d, want %d:\n%s%s", got, want, stdout.String(), stderr.String())
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f doctor.Finding) bool {
		return slices.Contains(machineWide, f.ID) || slices.Contains(kernelLacks, f.ID)
	})
	if len(r.Unchecked) > 0 {
		return nil, fmt.Errorf("virbr doctor did not look at %q", r.Unchecked)
	}
	return r, nil
}

// speak runs the doctor as a person does.
func speak(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin("virbr"), append([]string{"doctor"}, args...)...)
	text, _ := cmd.CombinedOutput()
	return string(text), cmd.ProcessState.ExitCode()
}

// ids returns the words of all findings, each once.
func ids(r *doctor.Report) []string {
	set := map[string]bool{}
	for _, f := range r.Findings {
		set[f.ID] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// finding returns the findings of an ID.
func finding(r *doctor.Report, id string) []doctor.Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f doctor.Finding) bool { return f.ID != id })
}

// well wants a host in which nothing is in the way.
func well(t *testing.T, what string) {
	t.Helper()
	if r := diagnose(t); len(r.Findings) > 0 {
		t.Errorf("%s: the doctor finds\n%s", what, show(r.Findings))
	}
}

func show(all []doctor.Finding) string {
	text, _ := json.MarshalIndent(all, "", "  ")
	return string(text)
}

// mend runs the command of a finding as a person pastes it, as root in the
// directory of our programs.
func mend(t *testing.T, f doctor.Finding) {
	t.Helper()
	if f.Mend == "" {
		t.Fatalf("%s has no command", f.ID)
	}
	var out bytes.Buffer
	cmd := exec.Command("bash", "-c", f.Mend)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv(binEnv)+":"+os.Getenv("PATH"), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = patience / 60 // a daemon that it starts holds the pipe
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%s: %s: %v\n%s", f.ID, f.Mend, err, out.String())
	}
}

// fault is something that goes wrong on a host.
type fault struct {
	name   string
	inject func(t *testing.T)
	want   []string                 // the findings
	seen   string                   // is in their evidence or text
	alone  bool                     // virbrd, which would see to that by itself, does not run
	change func(mend string) string // what a person is told to put into the command
}

// try injects a fault, wants its findings, runs their commands and wants a
// healthy host.
func (f *fault) try(t *testing.T) {
	t.Helper()
	well(t, "before "+f.name)
	f.inject(t)
	r := diagnose(t)
	if diff := cmp.Diff(f.want, ids(r)); diff != "" {
		t.Fatalf("%s: findings (-want +got):\n%s\n%s", f.name, diff, show(r.Findings))
	}
	if text := show(r.Findings); f.seen != "" && !strings.Contains(text, f.seen) {
		t.Errorf("%s: %q is not in\n%s", f.name, f.seen, text)
	}
	for range 2 * len(r.Findings) { // one command may mend several
		if len(r.Findings) == 0 {
			break
		}
		first := r.Findings[0]
		asked := first
		if f.change != nil {
			asked.Mend = f.change(asked.Mend)
		}
		mend(t, asked)
		netnstest.Wait(t, fmt.Sprintf("the doctor does not find %s any more after %s", first.ID, asked.Mend), func() (err error) {
			if r, err = consult(t); err == nil && slices.ContainsFunc(r.Findings, func(o doctor.Finding) bool {
				return o.ID == first.ID && o.Network == first.Network && o.Text == first.Text
			}) {
				err = fmt.Errorf("%s", show(r.Findings))
			}
			return err
		})
	}
	well(t, "after "+f.name)
}

// healthy is a host with the way out that people have, and networks of the modes
// that they use.
func healthy(t *testing.T) *netnstest.Guest {
	t.Helper()
	out := newOutside(t)
	out.Route(t, netip.MustParsePrefix("10.82.0.0/24"), netip.MustParseAddr(uplink4))
	run(t, "ip", "route", "add", "default", "via", outside4)
	run(t, "ip", "-6", "route", "add", "default", "via", outside6)
	out.Run(t, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
	for _, key := range []string{"iptables", "ip6tables"} { // on where the kernel has br_netfilter built in
		const dir = "/proc/sys/net/bridge/bridge-nf-call-"
		if _, err := os.Stat(dir + key); err == nil {
			write(t, dir+key, "0")
		}
	}
	return out
}

// TestDoctorHealthy: no false alarms, under virbrd, without it, and under
// libvirtd.
func TestDoctorHealthy(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		healthy(t)
		well(t, "no networks")
		d := startVirbrd(t)
		for name, doc := range handed {
			d.up(name, doc)
		}
		well(t, "networks without guests")
		for name := range handed {
			netnstest.NewGuest(t, name, "vb-"+name).DHCP(t, "-x", "hostname:"+name)
		}
		before := netnstest.Snapshot(t)
		well(t, "networks with guests")
		same(t, before, netnstest.Snapshot(t), "the doctor was there")
		d.stop()
		well(t, "virbrd stopped")
		text, code := speak(t, "-v", "nat")
		for _, want := range []string{"network nat (nat, vb-nat, kept by virbrd)\n", "  bridge      ok  vb-nat is up; has 10.81.0.1/24", "no problems found"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
		if strings.Contains(text, "\x1b") || code != 0 {
			t.Errorf("status %d, %q", code, text)
		}
		if text, code := speak(t, "nowhere"); code != 2 || !strings.Contains(text, `there is no network "nowhere"`) {
			t.Errorf("status %d, %q", code, text)
		}
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=0")
		text, code = speak(t) // of nat and route
		for _, want := range []string{"problem forwarding4-off", "mend: sysctl -w net/ipv4/ip_forward=1", "2 problems"} {
			if !strings.Contains(text, want) || code != 1 {
				t.Errorf("status %d, %q is not in\n%s", code, want, text)
			}
		}
		for _, n := range diagnose(t, "nat").Networks {
			if n.Network != "nat" || n.Keeper != "virbrd" || !n.Active {
				t.Errorf("walked %+v", n)
			}
		}
	})
}

// TestDoctorHealthyLibvirt: the same for networks of Debian's libvirtd.
func TestDoctorHealthyLibvirt(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "libvirtd", "iptables", "ip6tables")
		healthy(t)
		if err := syscall.Mount("tmpfs", "/var/log", "tmpfs", 0, ""); err != nil { // a libvirtd that is a daemon logs there
			t.Fatal(err)
		}
		write(t, "/var/log/libvirt/libvirtd.log", "")
		d := startLibvirtd(t)
		for name, doc := range handed {
			d.up(name, doc)
		}
		well(t, "networks of libvirtd")
		(&fault{name: "libvirt's rules flushed", want: []string{"rules-missing"},
			inject: func(t *testing.T) { run(t, "nft", "flush", "ruleset") }}).try(t)
		for _, word := range strings.Fields(read(t, "/run/libvirt/network/driver.pid")) { // the doctor's, by now
			run(t, "kill", word)
			run(t, "tail", "--pid="+word, "-f", "/dev/null")
		}
		well(t, "libvirtd stopped")
	})
}

// faults are what goes wrong on a host with virbrd's networks.
func faults() []fault {
	const bridge = "vb-nat"
	command := func(args ...string) func(t *testing.T) {
		return func(t *testing.T) { run(t, args[0], args[1:]...) }
	}
	shell := func(script string) func(t *testing.T) { return command("sh", "-ec", script) }
	return []fault{
		{name: "IPv4 forwarding off", alone: true, want: []string{"forwarding4-off"}, seen: "net/ipv4/ip_forward = 0",
			inject: command("sysctl", "-qw", "net.ipv4.ip_forward=0")},
		{name: "IPv4 forwarding of the bridge off", alone: true, want: []string{"forwarding4-link"}, seen: "drops what guests send",
			inject: command("sysctl", "-qw", "net.ipv4.conf."+bridge+".forwarding=0")},
		{name: "IPv4 forwarding of the uplink off", want: []string{"forwarding4-link"}, seen: "drops answers to guests",
			inject: command("sysctl", "-qw", "net.ipv4.conf.uplink.forwarding=0")},
		{name: "IPv6 forwarding off", alone: true, want: []string{"forwarding6-off"}, seen: "net/ipv6/conf/all/forwarding = 0",
			inject: command("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")},
		{name: "a drop of nftables", alone: true, want: []string{"forward-dropped"}, seen: "chain made with nftables",
			inject: shell(`nft add table inet mine; nft add chain inet mine every '{ type filter hook forward priority 10; policy drop; }'`)},
		{name: "a rule that drops", alone: true, want: []string{"forward-dropped"}, seen: "drop",
			inject: shell(`nft add table inet mine2; nft add chain inet mine2 every '{ type filter hook forward priority 10; }'; nft add rule inet mine2 every drop`)},
		{name: "iptables -P FORWARD DROP", alone: true, want: []string{"forward-dropped"}, seen: "FORWARD",
			inject: shell(`iptables -P FORWARD DROP`)},
		{name: "an input chain that drops", alone: true, want: []string{"input-dropped"}, seen: "udp to port 67",
			inject: shell(`nft add table inet guard; nft add chain inet guard in '{ type filter hook input priority 10; policy drop; }'
				nft add rule inet guard in ct state established,related accept; nft add rule inet guard in iifname '!= "vb-*"' accept
				nft add rule inet guard in meta l4proto icmpv6 accept`)},
		{name: "no IPv6 default route", want: []string{"no-route6"}, seen: "neighbour says that it is a router",
			inject: shell(`ping -6 -c 1 -W 5 ` + outside6 + `; ip -6 route del default`)},
		{name: "no IPv4 default route", want: []string{"no-route4"}, seen: "GATEWAY", inject: command("ip", "-4", "route", "del", "default"),
			change: func(mend string) string { return strings.Replace(mend, "GATEWAY", outside4, 1) }},
		{name: "br_netfilter", want: []string{"br-netfilter"}, seen: "bridge-nf-call-iptables = 1",
			inject: func(t *testing.T) {
				if _, err := os.Stat("/proc/sys/net/bridge"); err != nil {
					netnstest.Need(t, "needs br_netfilter: "+err.Error()+"; modprobe br_netfilter")
				}
				run(t, "sh", "-ec", `for t in mine mine2; do nft delete table inet $t; done # opened for the other way out only
					iptables -P FORWARD ACCEPT; ip6tables -P FORWARD ACCEPT`)
				run(t, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
				well(t, "as Docker has it")
				run(t, "iptables", "-I", "FORWARD", "-i", bridge, "-o", bridge, "-j", "DROP")
			}},
		{name: "the bridge switched off", alone: true, want: []string{"address-missing", "link-down"}, seen: "state DOWN",
			inject: command("ip", "link", "set", bridge, "down")},
		{name: "an address gone", alone: true, want: []string{"address-missing"}, seen: "lacks its address 10.82.0.1/24",
			inject: command("ip", "addr", "flush", "dev", "vb-route", "scope", "global")},
		{name: "a port switched off", want: []string{"port-down"}, seen: "vnet-nat",
			inject: command("ip", "link", "set", "vnet-nat", "down")},
		{name: "a part of a subnet elsewhere", want: []string{"subnet-clash"}, seen: "part of subnet 10.82.0.0/24",
			inject: shell(`ip route add 10.82.0.128/25 dev tun0`)},
		{name: "the subnet behind a VPN", want: []string{"subnet-clash"}, seen: "10.81.0.0/24",
			inject: shell(`ip route add 10.81.0.0/24 dev tun0 metric 50`)},
	}
}

// TestDoctorFaults injects one fault after the other, and mends each by the command
// that the doctor prints.
func TestDoctorFaults(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "iptables", "bash", "tail", "sysctl")
		out := healthy(t)
		out.Route(t, netip.MustParsePrefix("fd00:81::/64"), netip.MustParseAddr(uplink6))
		d := startVirbrd(t)
		for name, doc := range handed {
			d.up(name, doc)
		}
		netnstest.NewGuest(t, "nat", "vb-nat")
		run(t, "sh", "-ec", "ip link add tun0 type veth peer tun1; ip link set tun0 up; ip link set tun1 up")
		list := faults()
		for i := range list {
			if list[i].alone {
				d.stop()
			}
			list[i].try(t)
			if t.Failed() {
				return
			}
			if list[i].alone {
				endVirbrd(t)
				d = startVirbrd(t)
			}
		}
	})
}

// endVirbrd ends the virbrd that the doctor's command started, if it did.
func endVirbrd(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile("/run/virbr/virbrd.pid")
	if err != nil {
		return
	}
	pid := strings.TrimSpace(string(data))
	run(t, "kill", pid)
	run(t, "tail", "--pid="+pid, "-f", "/dev/null")
}

// services are faults of what serves guests, and of who keeps networks.
func services() []fault {
	shell := func(script string) func(t *testing.T) {
		return func(t *testing.T) { run(t, "sh", "-ec", script) }
	}
	const end = "kill $(cat /run/libvirt/network/nat.pid); tail --pid=$(cat /run/libvirt/network/nat.pid) -f /dev/null; "
	return []fault{
		{name: "dnsmasq killed", alone: true, want: []string{"dnsmasq-dead"}, seen: "no process serves network nat", inject: shell(end)},
		{name: "port 53 taken", alone: true, want: []string{"dnsmasq-dead", "port-taken"}, seen: "udp 10.81.0.1:53 is held by python3",
			inject: func(t *testing.T) {
				shell(end)(t)
				cmd := exec.Command("python3", "-c", "import socket, signal; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('10.81.0.1', 53)); signal.pause()")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				go func() { _ = cmd.Wait() }()
				netnstest.Wait(t, "the other server listens", func() error {
					if text := run(t, "ss", "-Hulnp", "src", "10.81.0.1:53"); !strings.Contains(text, "python3") {
						return errors.New(text)
					}
					return nil
				})
			}},
		{name: "all rules flushed", alone: true, want: []string{"rules-missing"}, seen: "there is no table inet virbr", inject: shell("nft flush ruleset")},
		{name: "one chain flushed", alone: true, want: []string{"rules-missing"}, seen: "chain leave_vb-nat does not have the rules",
			inject: shell("nft flush chain inet virbr leave_vb-nat")},
		{name: "the way to a chain deleted", alone: true, want: []string{"rules-missing"}, seen: "map leave does not lead to chain leave_vb-isolated",
			inject: shell(`nft delete element inet virbr leave '{ "vb-isolated" }'`)},
		{name: "a bridge gone", want: []string{"bridge-missing"}, seen: "no bridge vb-isolated", inject: shell("ip link del vb-isolated")},
		{name: "limits of bandwidth gone", want: []string{"bandwidth-off"}, seen: "no htb queue on vb-limited", inject: shell("tc qdisc del dev vb-limited root")},
		{name: "resolv.conf asks dnsmasq", want: []string{"resolv-loop"}, seen: "nameserver 10.81.0.1",
			inject: shell("echo nameserver 10.81.0.1 > /etc/resolv.conf; echo nameserver 203.0.113.53 >> /etc/resolv.conf")},
		{name: "resolv.conf leads nowhere", want: []string{"resolv-missing"}, seen: "/run/nowhere, which does not exist",
			inject: shell("ln -sf /run/nowhere /etc/resolv.conf")},
		{name: "resolv.conf is empty", want: []string{"resolv-missing"}, inject: shell(": > /etc/resolv.conf")},
		{name: "resolv.conf asks nobody", want: []string{"resolv-silent"}, seen: "127.0.0.9",
			inject: shell("echo nameserver 203.0.113.53 > /etc/resolv.conf; echo nameserver 127.0.0.9 >> /etc/resolv.conf")},
		{name: "ufw enabled", alone: true, want: []string{"forward-dropped", "input-dropped"}, seen: "chain of ufw", inject: shell("ufw --force enable")},
		{name: "autostart failed", want: []string{"not-started"}, seen: "autostart: yes",
			inject: func(t *testing.T) {
				d := &daemon{t: t, uri: "network:///system?mode=direct"}
				d.virsh("net-destroy", "limited")
				d.virsh("net-autostart", "limited")
			}},
		{name: "the bridge's name taken", want: []string{"start-fails"}, seen: "error creating bridge interface vb-limited: File exists",
			inject: func(t *testing.T) {
				d := &daemon{t: t, uri: "network:///system?mode=direct"}
				d.virsh("net-destroy", "limited")
				run(t, "ip", "link", "add", "vb-limited", "type", "bridge")
			}},
	}
}

const limited = `<network><name>limited</name><bridge name='vb-limited'/><bandwidth><inbound average='1000'/></bandwidth>
  <ip address='10.84.0.1' netmask='255.255.255.0'/></network>`

// TestDoctorServices is TestDoctorFaults for dnsmasq, names and rules.
func TestDoctorServices(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "bash", "tail", "ss", "tc", "python3", "ufw")
		healthy(t)
		netnstest.Private(t, "/etc")
		d := startVirbrd(t)
		for name, doc := range handed {
			d.up(name, doc)
		}
		d.up("limited", limited)
		list := services()
		for i := range list {
			if list[i].alone {
				d.stop()
			}
			list[i].try(t)
			if t.Failed() {
				return
			}
			if list[i].alone {
				endVirbrd(t)
				d = startVirbrd(t)
			}
		}
	})
}

// TestDoctorInotify: the limit of inotify is that of a user namespace of the test's
// own, so the machine's is not touched.
func TestDoctorInotify(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "unshare", "sysctl", "jq")
		dir := t.TempDir()
		text := run(t, "unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-euc", `
			sysctl -qw user.max_inotify_instances=0
			virbr=$1; cd "$2"
			"$virbr" doctor --json > before && exit 9
			jq -r '.findings[] | select(.id == "inotify-limit" and .severity == "problem") | .evidence[], .mend' before
			sh -c "$(jq -r '.findings[] | select(.id == "inotify-limit") | .mend' before | head -n 1)"
			"$virbr" doctor --json > after || true
			jq -r '[.findings[] | select(.id == "inotify-limit" and .severity == "problem")] | length' after`,
			"sh", bin("virbr"), dir)
		for _, want := range []string{"user/max_inotify_instances = 0", "sysctl -w user/max_inotify_instances=1024", "\n0\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
	})
}
