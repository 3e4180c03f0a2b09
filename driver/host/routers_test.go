package host_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// router is somebody on a link of the host who says that he is a router: radvd.
func (l *beside) router(link, prefix string) {
	l.t.Helper()
	name := "r-" + link
	l.sh(`ip netns add $1; ip link add $2 type veth peer name eth0 netns $1
		ip -n $1 link set lo up; ip netns exec $1 sysctl -qw net.ipv6.conf.all.forwarding=1; ip -n $1 link set eth0 up`, name, link)
	l.t.Cleanup(func() { _, _ = l.try("ip netns del $1", name) })
	conf := filepath.Join(l.t.TempDir(), "radvd.conf")
	text := fmt.Sprintf("interface eth0 { AdvSendAdvert on; MinRtrAdvInterval 200; MaxRtrAdvInterval 600; prefix %s { }; };\n", prefix)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", name, "radvd", "-n", "-C", conf, "-p", conf+".pid", "-m", "stderr")
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	netnstest.Wait(l.t, "radvd serves", func() error { _, err := os.Stat(conf + ".pid"); return err })
}

// hears wants the host to have a default route by a link from its router.
func (l *beside) hears(link string) {
	l.t.Helper()
	netnstest.Wait(l.t, "the host hears the router on "+link, func() error {
		if out := l.sh("ip -6 route show default dev $1 proto ra", link); out == "" {
			return fmt.Errorf("no route; %s", l.sh("sysctl net.ipv6.conf.$1.accept_ra", link))
		}
		return nil
	})
}

// watchAll follows the host for as long as the test runs.
func (l *beside) watchAll() {
	ctx, cancel := context.WithCancel(l.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.host.Watch(ctx, func(step.Change) {}) }()
	l.t.Cleanup(func() { cancel(); <-ended })
	netnstest.Wait(l.t, "the host listens", listening)
}

// A host that becomes a router goes on hearing routers: on the link that it has its
// routes by, and on links that come later. Where somebody else handles advertisements,
// and on networks of this host, nothing changes.
func TestRoutersAreHeard(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "radvd", "ip")
		state := t.TempDir()
		l := newBare(t, host.Config{State: state})
		l.sh("sysctl -qw net.ipv6.conf.default.router_solicitation_delay=0")
		l.router("early", "2001:db8:1::/64")
		l.sh("ip link set early up")
		l.hears("early")
		l.sh("ip link add br0 type bridge; ip link set br0 up; ip link add managed type veth peer name peer0; ip link set peer0 up; sysctl -qw net.ipv6.conf.managed.accept_ra=0")
		run(t, l.host, step.HearRouters{Bridge: "virbr0"}, step.SetSysctl{Key: "net/ipv6/conf/all/forwarding", Value: "1"})
		l.watchAll()
		l.hears("early")

		l.router("late", "2001:db8:2::/64")
		l.sh("ip link set late up")
		l.hears("late")
		l.sh("ip link set managed up")
		l.router("again", "2001:db8:3::/64")
		l.sh("ip link set again up")
		l.hears("again") // the others were looked at before it
		for link, want := range map[string]string{"early": "2", "late": "2", "managed": "0", "br0": "1"} {
			if got := strings.TrimSpace(l.sh("sysctl -n net.ipv6.conf.$1.accept_ra", link)); got != want {
				t.Errorf("accept_ra of %s is %s, want %s", link, got, want)
			}
		}

		// Another process knows that it was us who made the host a router.
		h, err := host.New(host.Config{State: state})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		l.router("after", "2001:db8:4::/64")
		l.sh("sysctl -qw net.ipv6.conf.after.accept_ra=1; ip link set after up")
		run(t, h, step.HearRouters{Bridge: "virbr0"})
		l.hears("after")
		run(t, h, step.UnhearRouters{Bridge: "virbr0"})
	})
}

// Who was a router before has decided what it hears, but keeps the routes that it has.
func TestRoutersOfARouter(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l := newBare(t, host.Config{State: t.TempDir()})
		l.sh("sysctl -qw net.ipv6.conf.all.forwarding=1; ip link add lan type veth peer name peer0; ip link set peer0 up; ip link set lan up")
		run(t, l.host, step.HearRouters{Bridge: "virbr0"})
		if got := strings.TrimSpace(l.sh("sysctl -n net.ipv6.conf.lan.accept_ra")); got != "1" {
			t.Errorf("accept_ra is %s, want 1", got)
		}
	})
}
