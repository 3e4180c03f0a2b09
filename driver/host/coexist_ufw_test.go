package host_test

import (
	"strings"
	"testing"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// withUFW gives the test a ufw of its own, with files as they are installed.
func withUFW(t *testing.T) *beside {
	t.Helper()
	netnstest.NeedProgram(t, "ufw", "iptables-nft")
	netnstest.Private(t, "/etc/ufw", "/etc/default")
	return newBeside(t, host.Config{})
}

// Beside the real ufw, as Debian installs it and a person enables it.
func TestBesideUFW(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l := withUFW(t)
		l.works("without a firewall")
		l.sh("ufw --force enable; ufw allow ssh; ufw reload")
		l.passes(closedFirewall{
			blocked: []string{forward4, forward6, names, leases}, rewrite: "ufw reload",
			list: "iptables -S ufw-after-forward", want: `-A ufw-after-forward -i virbr0 -o up0 -m comment --comment "virbr: virbr0" -j ACCEPT`,
			by: "iptables",
		})
	})
}

// A host that sends nothing but what ufw allows.
func TestBesideUFWOutgoing(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l := withUFW(t)
		l.sh("ufw default deny outgoing; ufw --force enable; ufw reload")
		l.passes(closedFirewall{
			blocked: []string{forward4, forward6, names, leases}, rewrite: "ufw reload",
			list: "iptables -S ufw-after-output", want: "-A ufw-after-output -o virbr0 -p udp -m udp --sport 67",
			by: "iptables",
		})
	})
}

// What ufw's user denies stays denied, wherever guests may go besides.
func TestUFWDenies(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l := withUFW(t)
		l.sh("ufw --force enable")
		run(t, l.host, guestAccepts())
		l.works("with accepts")
		l.watch()
		l.sh("ufw route deny in on virbr0 to 192.0.2.0/24; ufw deny in on virbr0 to any port 53")
		l.mendUntil(l.accepted("iptables -S ufw-after-forward", "virbr: virbr0"))
		l.blocked(forward4, names)
		for _, what := range []string{forward6, leases} {
			if err := l.check(what, answerPatience); err != nil {
				t.Errorf("%s, which nobody denied: %v", what, err)
			}
		}
	})
}

// ufw is enabled and disabled while guests run, and nobody is in its way.
func TestUFWComesAndGoes(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l := withUFW(t)
		run(t, l.host, guestAccepts())
		l.watch()
		l.sh("ufw --force enable")
		told := l.mendUntil(l.accepted("iptables -S ufw-after-forward; ip6tables -S ufw6-after-input", "virbr: virbr0"))
		if len(told) == 0 || told[0].ours {
			t.Errorf("told %+v, want that nothing of ours was hurt", told)
		}
		l.mendUntil(func() error { return l.check(forward4, answerPatience) })
		l.works("with ufw")
		l.sh("ufw disable")
		l.works("after ufw")
		l.sh("ufw --force enable")
		l.mendUntil(l.accepted("iptables -S ufw-after-forward", "virbr: virbr0"))
		run(t, l.host, guestAccepts())
		l.works("with ufw again")
		run(t, l.host, step.UnacceptInForeignTables{Bridge: labBridge})
		if out := l.rules(); strings.Contains(out, "virbr: ") {
			t.Errorf("what was accepted is still there:\n%s", out)
		}
	})
}
