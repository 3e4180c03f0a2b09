package e2e

import (
	"bytes"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

// follower is a "virbr events" that runs.
type follower struct {
	t    *testing.T
	text *binaries.Log
}

// followEvents starts virbr events, and returns when it hears what happens to a
// network: that is defined again and again until then.
func followEvents(t *testing.T, d *daemon, network string, args ...string) *follower {
	t.Helper()
	f := &follower{t, &binaries.Log{}}
	cmd := exec.Command(bin("virbr"), append([]string{"events"}, args...)...)
	cmd.Stdout, cmd.Stderr = f.text, f.text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("virbr events:\n%s", f.text)
		}
	})
	file := t.TempDir() + "/" + network
	write(t, file, d.virsh("net-dumpxml", "--inactive", network))
	netnstest.Wait(t, "virbr events hears", func() error {
		d.virsh("net-define", file)
		if f.text.String() == "" {
			return errors.New("it has printed nothing")
		}
		return nil
	})
	return f
}

// prints waits for a line.
func (f *follower) prints(what, pattern string) string {
	f.t.Helper()
	line := regexp.MustCompile("(?m)" + pattern)
	netnstest.Wait(f.t, what+" is printed", func() error {
		if !line.MatchString(f.text.String()) {
			return errors.New(f.text.String())
		}
		return nil
	})
	return line.FindString(f.text.String())
}

// TestVirbrEvents: a person who watches sees who flushed the rules, that dnsmasq
// died, that a forward's guest came and that others' rules cut guests off; the
// clients of libvirt's protocol see nothing strange.
func TestVirbrEvents(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "iptables-nft", "tail")
		d := startVirbrd(t)
		d.up("default", strings.Replace(hookedXML, "<forward", `<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>
			<virbr:portForward proto='tcp' guest='web1'><virbr:range start='8080' to='80'/></virbr:portForward></virbr:network></metadata><forward`, 1))
		d.up("other", "<network><name>other</name><forward mode='nat'/><bridge name='virbr7'/><ip address='10.7.0.1' prefix='24'/></network>")
		var stock bytes.Buffer
		virsh := exec.Command("virsh", "-c", d.uri, "net-event", "--loop", "--event", "lifecycle")
		virsh.Stdout, virsh.Stderr = &stock, &stock
		if err := virsh.Start(); err != nil {
			t.Fatal(err)
		}
		all := followEvents(t, d, "other")
		one := followEvents(t, d, "default", "default", "--json")

		const when = `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} `
		run(t, "nft", "flush", "ruleset")
		for _, network := range []string{"default", "other"} {
			all.prints("a flush", when+network+`: firewall rules were removed by nft \(pid \d+\); restored after \S+, with those of 2 networks$`)
		}
		one.prints("a flush", `^\{"time":"[^"]+Z","network":"default","event":"healed","by":"nft \(pid \d+\)","networks":2,"seconds":[0-9.e-]+,"text":".*"\}$`)
		run(t, "sh", "-ec", "kill $(cat /run/libvirt/network/default.pid)")
		all.prints("a dead dnsmasq", when+`default: dnsmasq died; it is started again at once$`)
		all.prints("a new dnsmasq", when+`default: dnsmasq serves again$`)
		one.prints("a dead dnsmasq", `"event":"dnsmasq-died","deaths":1,"wait":0,`)
		if err := described("events", one.text.String()); err != nil {
			t.Error(err)
		}
		netnstest.NewGuest(t, "web1", "virbr0").DHCP(t, "-x", "hostname:web1")
		all.prints("a guest", when+`default: guest web1 has come: 1 forward or address targets 192\.168\.122\.\d+$`)
		run(t, "iptables-nft", "-P", "FORWARD", "DROP")
		all.prints("a closed firewall", when+`default: another firewall, changed by iptables\S* \(pid \d+\), stopped guests; their traffic passes again after \S+, with those of 2 networks$`)
		run(t, "iptables-nft", "-F", "FORWARD")
		netnstest.Wait(t, "accepts that were flushed are told, too", func() error {
			if strings.Count(all.text.String(), "default: another firewall") < 2 {
				return errors.New(all.text.String())
			}
			return nil
		})
		d.virsh("net-destroy", "other")
		all.prints("a stop", when+`other: stopped$`)
		if text := one.text.String(); strings.Contains(text, `"network":"other"`) {
			t.Errorf("told of another network:\n%s", text)
		}
		d.stop()
		all.prints("the daemon's end", `^virbr: .*the daemon at "/run/libvirt/virtnetworkd-sock(-ro)?" has ended`)
		_ = virsh.Process.Kill()
		_ = virsh.Wait()
		before, _, _ := strings.Cut(stock.String(), "events received")
		before, _, _ = strings.Cut(before, "error: ") // that the daemon has ended
		for line := range strings.Lines(before) {
			if line != "\n" && !strings.HasPrefix(line, "event 'lifecycle' for network") {
				t.Errorf("virsh prints %q", line)
			}
		}
	})
}

// TestVirbrEventsForeign: libvirt's own daemon has no such events.
func TestVirbrEventsForeign(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		startLibvirtd(t)
		out, err := exec.CommandContext(t.Context(), bin("virbr"), "events").CombinedOutput()
		if err == nil || !strings.HasPrefix(string(out), "virbr: events come from virbrd only") {
			t.Errorf("%v: %s", err, out)
		}
	})
}
