package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/libvirttest"
	"github.com/virbr/virbr/tests/netnstest"
)

const socketLibvirtd = "/run/libvirt/libvirt-sock"

// fails wants a virsh command to fail, and its error to hold a text.
func (d *daemon) fails(want string, args ...string) {
	d.t.Helper()
	if _, err := d.try(args...); err == nil || !strings.Contains(err.Error(), want) {
		d.t.Errorf("virsh %s: %v; want %q", strings.Join(args, " "), err, want)
	}
}

// TestModuleVirbrdGone: a libvirtd that has our module says what is the matter where
// virbrd does not run, is killed in a call, or hangs; it goes on with all else, and with
// networks once virbrd is back.
func TestModuleVirbrdGone(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		const unreachable = "virbrd, which serves the networks of this host, cannot be reached: "
		d := startLibvirtdWith(t, bin("libvirt_driver_network.so"))
		d.fails(unreachable+"Failed to connect socket to '/run/libvirt/virtnetworkd-sock'", "net-list")
		if got := moduleFindings(t); !slices.Equal(got, []string{"module-alone problem"}) {
			t.Errorf("the doctor finds %q", got)
		}
		virbrd := startVirbrd(t)
		d.up("default", natXML)

		virbrd.kill()
		d.fails(unreachable, "net-list")
		virbrd.start(bin("virbrd"))
		d.virsh("net-info", "default") // the first call that comes succeeds
		virbrd.stop()
		// A hook that does not end holds a call.
		write(t, "/etc/libvirt/hooks/network", "#!/bin/sh\n[ $2 != start ] || { mkdir /run/hook; sleep 600; }\n")
		if err := os.Chmod("/etc/libvirt/hooks/network", 0o755); err != nil {
			t.Fatal(err)
		}
		virbrd.start(bin("virbrd"))
		d.virsh("net-info", "default")

		d.virsh("net-destroy", "default")
		held := hold(t, d)
		virbrd.kill()
		if err := <-held; err == nil || !strings.Contains(err.Error(), "End of file while reading data") {
			t.Errorf("the call in which virbrd was killed: %v", err)
		}
		virbrd.start(bin("virbrd"))
		held = hold(t, d)
		if err := virbrd.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 3 { // they end, however long virbrd is stopped
			all.Go(func() { d.fails("virbrd, which serves the networks of this host, does not answer", "net-list") })
		}
		d.virsh("list", "--all") // no networks are needed for this
		if err := <-held; err == nil || !strings.Contains(err.Error(), "keepalive") {
			t.Errorf("the call in which virbrd was stopped: %v", err)
		}
		all.Wait()
		if err := virbrd.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		d.virsh("net-list")
	})
}

// hold makes a call that the hook holds up, and returns once it does.
func hold(t *testing.T, d *daemon) <-chan error {
	t.Helper()
	_ = os.Remove("/run/hook")
	held := make(chan error, 1)
	go func() {
		_, err := d.try("net-start", "default")
		held <- err
	}()
	netnstest.Wait(t, "the hook runs", func() error {
		_, err := os.Stat("/run/hook")
		return err
	})
	return held
}

// TestModuleFallback: where our module must not serve, libvirt's own driver is loaded
// in its place, the log says why, virbrd ends, and networks that ran go on. With
// another word in the configuration virbrd is back.
func TestModuleFallback(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d, virbrd := startModule(t)
		d.up("default", natXML)
		g := netnstest.NewGuest(t, "g", "virbr0")
		g.DHCP(t)
		works := func(why string, finding ...string) {
			t.Helper()
			if got := moduleFindings(t); !slices.Equal(got, finding) {
				t.Errorf("the doctor finds %q, want %q", got, finding)
			}
			if out := d.virsh("net-list", "--name"); strings.TrimSpace(out) != "default" {
				t.Errorf("networks with %s: %q", why, out)
			}
			if log := d.log.String(); !strings.Contains(log, why) {
				t.Errorf("without %q:\n%s", why, log)
			}
			if err := pings(g, t, "192.168.122.1"); err != nil {
				t.Errorf("with %s: %v", why, err)
			}
		}
		works("virbr: virbrd serves the networks of this libvirtd, by module ")

		d.stop()
		write(t, "/etc/virbr/virbrd.conf", "# ours\n  libvirtd_module='disabled' # for now\nlibvirtd_module = \"enabled\"\n")
		d.start("libvirtd")
		<-virbrd.done
		works(`virbr: libvirt's own network driver is loaded instead of virbr's module: /etc/virbr/virbrd.conf says libvirtd_module = "disabled"`, "module-refused hint")
		d.virsh("net-update", "default", "add", "dns-host", "<host ip='192.168.122.9'><hostname>nine</hostname></host>", "--live")

		d.stop()
		write(t, "/etc/virbr/virbrd.conf", "libvirtd_module = \"enabled\"\n")
		virbrd.start(bin("virbrd"))
		d.start("libvirtd")
		works("virbr: virbrd serves the networks of this libvirtd, by module ")
		if doc := d.virsh("net-dumpxml", "default"); !strings.Contains(doc, "<hostname>nine</hostname>") {
			t.Errorf("what libvirt's own driver was told is lost:\n%s", doc)
		}

		d.stop()
		strange := filepath.Join(t.TempDir(), "strange")
		if err := binaries.Module(strange, "-DLIBVIRT_NEWEST=8999999UL"); err != nil {
			t.Fatal(err)
		}
		if err := libvirttest.Module(strange + "/libvirt_driver_network.so"); err != nil {
			t.Fatal(err)
		}
		d.start("libvirtd")
		<-virbrd.done
		works("libvirt's own network driver is loaded instead of virbr's module: libvirt 9.0.0 is not known to it; ", "module-refused warning")
	})
}

// moduleFindings are what the doctor finds about libvirtd and our module.
func moduleFindings(t *testing.T) []string {
	t.Helper()
	r, err := consult(t)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range r.Findings {
		if f.Step == "libvirt" {
			list = append(list, f.ID+" "+string(f.Severity))
		}
	}
	return list
}

// TestModuleClients: many clients at a time, and very many calls: all are answered,
// and libvirtd keeps neither memory nor threads nor files of them.
func TestModuleClients(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		// libvirtd starts workers when it has much to do, and keeps them.
		write(t, "/etc/libvirt/libvirtd.conf", "auth_unix_rw = \"none\"\nunix_sock_rw_perms = \"0700\"\nmin_workers = 20\nmax_workers = 20\n")
		d, _ := startModule(t)
		d.up("default", natXML)
		const clients = 32
		open := make([]*client, clients)
		for i := range open {
			open[i] = dial(t, socketLibvirtd, 0)
		}
		calls := func(rounds int) {
			t.Helper()
			var all sync.WaitGroup
			for _, c := range open {
				all.Go(func() {
					net := c.lookup("default")
					for range rounds {
						c.must(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: net}, nil)
						c.must(proto.ConnectListAllNetworks, &proto.ListArgs{Need: 1}, nil)
						c.refused(proto.NetworkCreate, &net, 55, 19, "Requested operation is not valid: network is already active")
						c.must(proto.NetworkGetDHCPLeases, &proto.LeasesArgs{Network: net, Need: 1}, nil)
						id := c.listen(proto.EventIDLifecycle, &net)
						c.must(proto.ConnectNetworkEventDeregister, &proto.Int{Value: id}, nil)
					}
				})
			}
			all.Wait()
		}
		calls(30) // workers and connections are there, and the heap has the size it needs
		before := use(t, d)
		calls(60)
		netnstest.Wait(t, "libvirtd has no more than before 10,000 calls", func() error { // closing takes a moment
			if after := use(t, d); after.memory > before.memory+512 || after.threads > before.threads || after.files > before.files {
				return fmt.Errorf("it has %+v, and had %+v", after, before)
			}
			return nil
		})
	})
}

// held is what a process has.
type held struct{ memory, threads, files int } // memory: kB

func use(t *testing.T, d *daemon) held {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	number := func(key string) int {
		_, rest, _ := strings.Cut(read(t, proc+"status"), "\n"+key+":")
		line, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(strings.Fields(line)[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	return held{number("RssAnon"), number("Threads"), len(files)}
}
