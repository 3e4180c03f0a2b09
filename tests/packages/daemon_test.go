package packages

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/debiantest"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestInstalled: the package is installed, its daemon starts the default network,
// virsh sees it and makes another; then the package goes, and nothing is left.
func TestInstalled(t *testing.T) {
	t.Parallel()
	debiantest.Need(t, debiantest.Debian12)
	netnstest.Run(t, func(t *testing.T) {
		r := newRoot(t, debiantest.Debian12)
		files, net := r.files(t), netnstest.Snapshot(t)
		r.manage(t, managers[0], "install 1.0")

		var log bytes.Buffer
		daemon := r.Command(t, "exec virbrd")
		daemon.Stdout, daemon.Stderr = &log, &log
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- daemon.Wait() }() // prerm waits until it is gone
		netnstest.Wait(t, "virsh sees the default network", func() error {
			out, err := r.Command(t, "virsh -c network:///system net-list --name").CombinedOutput()
			if err == nil && strings.TrimSpace(string(out)) != "default" {
				err = errors.New(string(out))
			}
			return err
		})
		r.Sh(t, `
			virsh -c network:///system net-info default | grep -q 'Autostart: *yes'
			ip -br address show virbr0 | grep -q '192.168.122.1/24 fd.*:1::1/64'
			virsh -c network:///system net-create /dev/stdin <<-EOF
				<network><name>lab</name><bridge name='lab0'/>
				<ip address='10.9.0.1' prefix='24'><dhcp><range start='10.9.0.2' end='10.9.0.9'/></dhcp></ip></network>
			EOF
			[ "$(grep -l dnsmasq /proc/[0-9]*/comm 2>/dev/null | wc -l)" -ge 2 ]
		`)

		out := r.manage(t, managers[0], "erase")
		for _, want := range []string{`stopped network "default"`, `stopped network "lab"`} {
			if !strings.Contains(out, want) {
				t.Errorf("removing does not say %q:\n%s", want, out)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("virbrd: %v\n%s", err, &log)
		}
		r.manage(t, managers[0], "purge")
		if diff := cmp.Diff(files, r.files(t)); diff != "" {
			t.Errorf("files (-before +after)\n%s", diff)
		}
		after := netnstest.Snapshot(t)
		for _, state := range []map[string]string{net, after} {
			delete(state, "sysctls") // forwarding stays on, as with libvirt
		}
		if diff := cmp.Diff(net, after); diff != "" {
			t.Errorf("network (-before +after)\n%s", diff)
		}
		if list := r.processes(t); len(list) > 0 {
			t.Errorf("processes: %q", list)
		}
	})
}

// processes lists the programs that run in the root.
func (r root) processes(t *testing.T) []string {
	t.Helper()
	all, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, p := range all {
		exe, err := os.Readlink("/proc/" + p.Name() + "/exe")
		if err == nil && strings.HasPrefix(exe, r.Path("/")+"/") {
			list = append(list, exe)
		}
	}
	return list
}
