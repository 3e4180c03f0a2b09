package driver_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// kernel is a rig whose host is the real one, inside a namespace.
type kernel struct {
	*rig
	sys *breaking
	own *host.Host
}

// breaking is the real host, with a step that fails.
type breaking struct {
	driver.System
	before func(line string) error
}

func (b *breaking) Run(ctx context.Context, op step.Op) error {
	if b.before != nil {
		if err := b.before(op.String()); err != nil {
			return err
		}
	}
	return b.System.Run(ctx, op)
}

func onKernel(t *testing.T) *kernel {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	r := newRig(t)
	h, err := host.New(host.Config{Log: log, LeaseHelper: "/bin/true", Leases: r.dirs.Dnsmasq})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	k := &kernel{r, &breaking{System: h}, h}
	if err := os.Chmod(k.dir, 0o755); err != nil { // dnsmasq drops root's rights
		t.Fatal(err)
	}
	k.boot()
	return k
}

func (k *kernel) boot() {
	k.t.Helper()
	cfg := k.config()
	cfg.System, cfg.Watcher = k.sys, k.own
	cfg.Log = slog.New(slog.NewTextHandler(k.t.Output(), nil))
	k.d = driver.New(cfg)
	if err := k.d.Load(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	k.d.StartAll(k.t.Context())
}

func (k *kernel) pid(name string) string {
	k.t.Helper()
	return strings.TrimSpace(k.read(filepath.Join(k.dirs.State, name+".pid")))
}

// snapshot is taken after some network ran once: forwarding stays enabled, and
// dnsmasq's first socket makes the kernel choose keys.
func (k *kernel) snapshot() map[string]string {
	k.t.Helper()
	warm := k.define(unlimited("warm", 99))
	k.start(warm)
	k.destroy(warm)
	if err := k.d.Undefine(k.t.Context(), warm); err != nil {
		k.t.Fatal(err)
	}
	return netnstest.Snapshot(k.t)
}

// same holds the host to what it was. The kernel tells of some changes a moment
// later, such as of a carrier that is gone.
func same(t *testing.T, before map[string]string, what string) {
	t.Helper()
	netnstest.Wait(t, what+": the host is as it was", func() error {
		if diff := cmp.Diff(before, netnstest.Snapshot(t)); diff != "" {
			return fmt.Errorf("(-before +after):\n%s", diff)
		}
		return nil
	})
}

// unlimited is natNet without limits of bandwidth, for kernels without HTB.
func unlimited(name string, n int) string {
	doc := natNet(name, n)
	from, to := strings.Index(doc, "  <bandwidth>"), strings.Index(doc, "  <ip ")
	return doc[:from] + doc[to:]
}

func TestKernelStartRestartStop(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		k := onKernel(t)
		before := k.snapshot()
		ref := k.define(unlimited("default", 7))
		k.start(ref)
		netnstest.Wait(t, "the kernel has seen that the bridge has no carrier", func() error {
			l, err := netlink.LinkByName("virbr7")
			if err == nil && l.Attrs().OperState != netlink.OperDown {
				err = errors.New(l.Attrs().OperState.String())
			}
			return err
		})
		running, pid := netnstest.Snapshot(t), k.pid("default")

		if err := k.d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		k.boot()
		same(t, running, "after a restart")
		if got := k.pid("default"); got != pid || !k.active(ref) {
			t.Errorf("after the restart: active %v, dnsmasq %s, was %s", k.active(ref), got, pid)
		}

		k.destroy(ref)
		same(t, before, "after the stop")
	})
}

// Whatever step of a start fails on the real host, everything is as it was.
func TestKernelFailedStart(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		k := onKernel(t)
		ref := k.define(unlimited("default", 7))
		var steps []string
		k.sys.before = func(line string) error { steps = append(steps, line); return nil }
		k.start(ref)
		k.sys.before = nil
		k.destroy(ref)
		before := k.snapshot()
		for i, step := range steps {
			if strings.HasPrefix(step, "checksums") || strings.HasPrefix(step, "routing") || strings.HasPrefix(step, "firewall of others") {
				continue // tolerated
			}
			seen := 0
			k.sys.before = func(string) error {
				if seen++; seen == i+1 {
					return syscall.EIO
				}
				return nil
			}
			if err := k.d.Start(t.Context(), ref); !errors.Is(err, syscall.EIO) {
				t.Errorf("%q failed, but start gave %v", step, err)
			}
			same(t, before, step+" failed")
		}
	})
}

func TestKernelForeignBridge(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		k := onKernel(t)
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "virbr7"}}); err != nil {
			t.Fatal(err)
		}
		before := netnstest.Snapshot(t)
		err := k.d.Start(t.Context(), k.define(unlimited("default", 7)))
		wantKind(t, err, driver.KindSystem, "error creating bridge interface virbr7")
		same(t, before, "in the end")
	})
}

// A bridge that vanished and a dnsmasq that died are found at the next start of
// the daemon.
func TestKernelFindsTheDead(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		k := onKernel(t)
		gone, dead := k.define(unlimited("gone", 7)), k.define(unlimited("dead", 8))
		before := k.snapshot()
		k.start(gone)
		k.start(dead)
		if err := k.d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		link, err := netlink.LinkByName("virbr7")
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkDel(link); err != nil {
			t.Fatal(err)
		}
		var pid int
		if _, err := fmt.Sscan(k.pid("dead"), &pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		netnstest.Wait(t, "dnsmasq is dead", func() error {
			if k.sys.DnsmasqAlive(filepath.Join(k.dirs.State, "dead.pid")) {
				return errors.New("alive")
			}
			return nil
		})
		k.boot()
		if k.active(gone) || !k.active(dead) {
			t.Errorf("active: gone %v, dead %v", k.active(gone), k.active(dead))
		}
		if got := k.pid("dead"); got == fmt.Sprint(pid) || !k.sys.DnsmasqAlive(filepath.Join(k.dirs.State, "dead.pid")) {
			t.Errorf("dnsmasq was not started anew: pid %s, was %d", got, pid)
		}
		k.destroy(dead)
		same(t, before, "in the end")
	})
}
