package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

// startDocker starts Debian's dockerd in the test's own places, and returns what stops it.
func startDocker(t *testing.T) (stop func()) {
	t.Helper()
	run(t, "mount", "-t", "tmpfs", "tmpfs", "/etc/docker") // where it keeps a key
	log := &binaries.Log{}
	cmd := exec.Command("dockerd", "--data-root", "/run/docker-data", "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid",
		"--host", "unix:///run/docker.sock", "--storage-driver", "vfs")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
	}
	t.Cleanup(stop)
	netnstest.Wait(t, "dockerd answers", func() error {
		select {
		case <-done:
			t.Fatalf("dockerd ended:\n%s", log)
		default:
		}
		if out, err := exec.CommandContext(t.Context(), "docker", "--host", "unix:///run/docker.sock", "info").CombinedOutput(); err != nil {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	return stop
}

// TestDocker: guests have their network, and are reached by their forwards, beside the real
// Docker, which has the kernel drop what is forwarded: when it was there first, when it
// ends, and when it comes again after its rules were flushed. Nothing of virbr's stays
// with it.
func TestDocker(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "dockerd", "docker", "curl", "busybox")
		out := newOutside(t)
		run(t, "ip", "route", "add", "default", "via", outside4)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=0") // else Docker takes it that somebody wants everything forwarded
		stop := startDocker(t)
		if rules := run(t, "iptables-nft", "-S", "FORWARD"); !strings.Contains(rules, "-P FORWARD DROP") {
			t.Fatalf("Docker drops nothing, so there is nothing to test:\n%s", rules)
		}
		d := startVirbrd(t)
		d.up("one", forwardNetwork("one", "br-one", "91"))
		mustVirbr(t, "forward", "add", "one", "8001:80", "web1")
		web, v4, v6 := addressedBy(t, "web1", "br-one", outside6)
		website(t, web, "80")
		reached := func(when string) {
			t.Helper()
			netnstest.Wait(t, when+": the forward is active", func() error {
				if text := mustVirbr(t, "forward", "list", "one"); !strings.Contains(text, v4.String()) || !strings.Contains(text, v6.String()) {
					return errors.New(text)
				}
				return nil
			})
			for _, url := range []string{"http://" + uplink4 + ":8001/", "http://[" + uplink6 + "]:8001/"} {
				wantPage(t, when, out, url, "web1")
			}
			netnstest.Wait(t, when+": the guest reaches external hosts", func() error { return pings(web, t, outside4) })
		}
		reached("beside Docker")
		stop()
		reached("without Docker, whose rules stay")
		run(t, "iptables-nft", "-F")
		stop = startDocker(t)
		reached("with Docker that came again")
		if out, err := tool(t, "doctor", "one"); err != nil {
			t.Errorf("doctor: %v\n%s", err, out)
		}
		d.virsh("net-destroy", "one")
		if rules := run(t, "iptables-nft", "-S"); strings.Contains(rules, "br-one") {
			t.Errorf("a stopped network stays in Docker's rules:\n%s", rules)
		}
		stop()
	})
}
