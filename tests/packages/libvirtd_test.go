package packages

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/debiantest"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/wording"
)

// Places of Debian's libvirtd.
const (
	modules  = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver"
	module   = modules + "/libvirt_driver_network.so"
	original = module + ".distrib"
)

// qemuConf has the QEMU driver do without what a container may lack.
const qemuConf = `user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
stdio_handler = "file"
`

// needModule skips a test where libvirtd's module could not be built, or there is no
// Debian 13.
func needModule(t *testing.T) {
	t.Helper()
	debiantest.Need(t, debiantest.Debian13)
	if _, err := os.Stat(dist("bin/libvirt_driver_network.so")); err != nil {
		netnstest.Need(t, "needs libvirtd's module, which was not built: install gcc and libvirt-dev")
	}
}

// newLibvirtRoot is a Debian 13 whose libvirtd root alone may ask.
func newLibvirtRoot(t *testing.T) root {
	t.Helper()
	r := newRoot(t, debiantest.Debian13)
	for name, text := range map[string]string{
		"/etc/libvirt/libvirtd.conf": "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nunix_sock_rw_perms = \"0700\"\n",
		"/etc/libvirt/qemu.conf":     qemuConf,
	} {
		r.write(t, name, text)
	}
	return r
}

// write makes a file in the root.
func (r root) write(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(r.Path(name)), 0o755), os.WriteFile(r.Path(name), []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// service is a daemon that runs in a root without systemd.
type service struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
}

// serve starts a daemon, and waits until virsh gets an answer by a URI.
func (r root) serve(t *testing.T, script, uri string) *service {
	t.Helper()
	s := &service{t: t, cmd: r.Command(t, script), done: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.cmd.Wait(); close(s.done) }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.done
		if t.Failed() {
			t.Logf("%s says:\n%s", script, &s.log)
		}
	})
	netnstest.Wait(t, script+" answers virsh", func() error {
		select {
		case <-s.done:
			t.Fatalf("%s ended at once:\n%s", script, &s.log)
		default:
		}
		out, err := r.Command(t, "virsh -c '"+uri+"' uri").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return s
}

func (s *service) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.done
}

const (
	qemu   = "qemu:///system"
	direct = "network:///system?mode=direct"
)

// TestWording13: Debian 13's libvirtd with our module says what it says with its own
// network driver.
func TestWording13(t *testing.T) {
	t.Parallel()
	needModule(t)
	sessions, err := wording.Sessions()
	if err != nil {
		t.Fatal(err)
	}
	place := func(path string, ours bool) string { return dist(fmt.Sprintf("%s-%v", filepath.Base(path), ours)) }
	t.Run("ask", func(t *testing.T) { // in namespaces, so what is said comes by way of files
		for _, path := range sessions {
			for _, ours := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s ours=%v", filepath.Base(path), ours), func(t *testing.T) {
					t.Parallel()
					netnstest.Run(t, func(t *testing.T) {
						out := place(path, ours)
						if err := errors.Join(os.WriteFile(out+".new", []byte(answers(t, path, ours)), 0o600), os.Rename(out+".new", out)); err != nil {
							t.Fatal(err)
						}
					})
				})
			}
		}
	})
	for _, path := range sessions {
		theirs, err := os.ReadFile(place(path, false))
		ours, err2 := os.ReadFile(place(path, true))
		if errors.Join(err, err2) != nil {
			continue // this process is one for namespaces, or the session has failed above
		}
		if diff := cmp.Diff(strings.Split(string(theirs), "\n"), strings.Split(string(ours), "\n")); diff != "" {
			t.Errorf("%s: libvirtd (-) and libvirtd with our module (+) answer differently:\n%s", filepath.Base(path), diff)
		}
	}
}

// answers runs a session in a root of its own.
func answers(t *testing.T, path string, ours bool) string {
	t.Helper()
	r := newLibvirtRoot(t)
	if ours {
		r.Sh(t, "mv "+module+" "+original+"; cp /dist/bin/libvirt_driver_network.so "+module)
		defer r.serve(t, "exec /dist/bin/virbrd", direct).stop()
	}
	defer r.serve(t, "exec libvirtd", qemu).stop()
	if err := os.Mkdir(r.Path("/session"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := wording.Session(path, r.Path("/session"), "/session", func(script string) ([]byte, error) {
		return r.Command(t, "URI='network:///system?mode=legacy'\n"+script).CombinedOutput()
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const labXML = `<network><name>lab</name><forward mode='nat'/><bridge name='virbr0'/>
<ip address='192.168.122.1' prefix='24'><dhcp><range start='192.168.122.2' end='192.168.122.99'/></dhcp></ip></network>`

// TestLibvirtd is a life of package virbr-libvirtd on Debian 13: it is installed and
// upgraded, libvirt is upgraded, it is removed; networks change over both ways
// while a guest pings through them.
func TestLibvirtd(t *testing.T) {
	t.Parallel()
	needModule(t)
	netnstest.Run(t, func(t *testing.T) {
		r := newLibvirtRoot(t)
		r.Sh(t, "dpkg --force-unsafe-io -i /dist/virbr_1.0_*.deb")
		kept := func() []string { // what daemons make aside
			return slices.DeleteFunc(r.files(t), func(name string) bool {
				return slices.ContainsFunc([]string{"/run/", "/etc/libvirt/", "/var/lib/libvirt/", "/usr/share/doc/libvirt-"}, func(dir string) bool { return strings.HasPrefix(name, dir) })
			})
		}
		files, sums := kept(), r.Sh(t, "sha256sum "+modules+"/*")
		libvirtd := r.serve(t, "exec libvirtd", qemu)
		r.write(t, "/lab.xml", labXML)
		r.Sh(t, "virsh -c "+qemu+" net-define /lab.xml; virsh -c "+qemu+" net-start lab")
		g := netnstest.NewGuest(t, "g", "virbr0")
		g.DHCP(t)
		p := startPings(t, g)
		listed := func() {
			t.Helper()
			if out := r.Sh(t, "virsh -c "+qemu+" net-list --name"); strings.TrimSpace(out) != "lab" {
				t.Errorf("networks of libvirtd: %q", out)
			}
		}

		if out := r.Sh(t, "dpkg --force-unsafe-io -i /dist/virbr-libvirtd_1.0_*.deb"); !strings.Contains(out, "served by virbrd once") {
			t.Errorf("without systemd nothing is said of what to do:\n%s", out)
		}
		libvirtd.stop()
		virbrd := r.serve(t, "exec virbrd", direct)
		libvirtd = r.serve(t, "exec libvirtd", qemu)
		listed()
		if !strings.Contains(libvirtd.log.String(), "virbr: virbrd serves the networks of this libvirtd") {
			t.Errorf("libvirtd does not have our module:\n%s", &libvirtd.log)
		}
		r.Sh(t, `
			virbr check /etc/libvirt/qemu/networks/lab.xml
			grep -x 'include if exists <virbr/libvirtd>' /etc/apparmor.d/local/usr.sbin.libvirtd
			[ "$(readlink /etc/systemd/system/virbrd.service.d/libvirtd.conf)" = /dev/null ]
			dpkg --force-unsafe-io -i /dist/virbr_1.1_*.deb /dist/virbr-libvirtd_1.1_*.deb
			cmp `+module+` /dist/bin/libvirt_driver_network.so
			[ "$(sha256sum <`+original+`)" = "$(echo '`+sums+`' | sed -n 's|  `+module+`$|  -|p')" ]
		`)

		// A newer libvirt brings another driver.
		r.Sh(t, `
			dpkg-deb -R /debs/libvirt-daemon-driver-network_*.deb /newer
			sed -i 's/^Version: .*/&.1/' /newer/DEBIAN/control
			echo newer >>/newer`+module+`
			dpkg-deb -b /newer /newer.deb
			dpkg --force-unsafe-io --force-depends -i /newer.deb
			cmp `+module+` /dist/bin/libvirt_driver_network.so
			[ "$(tail -c 6 `+original+`)" = newer ]
		`)
		libvirtd.stop()
		libvirtd = r.serve(t, "exec libvirtd", qemu)
		listed()

		libvirtd.stop()
		virbrd.stop()
		r.Sh(t, `
			dpkg -r virbr-libvirtd
			dpkg -P virbr-libvirtd
			[ "$(tail -c 6 `+module+`)" = newer ]
			[ -z "$(dpkg-divert --list '*virbr*' '`+modules+`/*')" ]
			dpkg --force-unsafe-io --force-downgrade -i /debs/libvirt-daemon-driver-network_*.deb
			rm -r /newer /newer.deb
		`)
		libvirtd = r.serve(t, "exec libvirtd", qemu)
		r.Sh(t, "virsh -c "+qemu+" net-list; virbrd release")
		listed()
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		r.Sh(t, "virsh -c "+qemu+" net-destroy lab; virsh -c "+qemu+" net-undefine lab; rm /lab.xml")
		libvirtd.stop()
		if diff := cmp.Diff(files, kept()); diff != "" {
			t.Errorf("files before and after (-before +after):\n%s", diff)
		}
		if now := r.Sh(t, "sha256sum "+modules+"/*"); now != sums {
			t.Errorf("modules are\n%s\nand were\n%s", now, sums)
		}
	})
}

// pings are a guest's to its gateway, twenty a second, until they are stopped.
type pings struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// stop ends them, and returns an error if some were not answered.
func (p *pings) stop() error {
	_ = p.cmd.Process.Signal(os.Interrupt)
	err := p.cmd.Wait()
	if err != nil || !strings.Contains(p.out.String(), " 0% packet loss") {
		return errors.Join(err, fmt.Errorf("pings were lost:\n%s", tail(p.out.String())))
	}
	return nil
}

// tail returns the last lines of a text.
func tail(s string) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-6):], "\n")
}

func startPings(t *testing.T, g *netnstest.Guest) *pings {
	t.Helper()
	netnstest.NeedProgram(t, "ping")
	p := &pings{cmd: exec.CommandContext(t.Context(), "ping", "-n", "-i", "0.05", "-W", "5", "192.168.122.1")}
	p.cmd.Stdout = &p.out
	if err := g.Start(p.cmd); err != nil {
		t.Fatal(err)
	}
	return p
}
