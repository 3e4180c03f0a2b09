package cockpit

import (
	"fmt"
	"html"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/debiantest"
	"github.com/virbr/virbr/tests/netnstest"
)

// source is the page; modules is what tests/install-npm installs there.
const (
	source  = "../../cockpit"
	modules = source + "/node_modules"
)

// address is where cockpit-ws listens, in the test's namespace.
const address = "127.0.0.1:9090"

// A host is a Debian with Cockpit, virbrd, networks and guests.
type host struct {
	debiantest.Root
	t      *testing.T
	daemon *exec.Cmd
	log    *binaries.Log
}

// networks are those of the host, by name: one with guests and forwards, one that is
// routed, and one that does not run.
var networks = map[string]string{
	"default": `<network><name>default</name>
  <metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>
    <virbr:portForward proto='tcp' guest='web1'><virbr:range start='8080' to='80'/></virbr:portForward>
    <virbr:portForward proto='tcp' guest='mail'><virbr:range start='2525' to='25'/></virbr:portForward>
  </virbr:network></metadata>
  <forward mode='nat'/><bridge name='virbr0'/>
  <ip address='192.168.122.1' prefix='24'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>
</network>`,
	"lab": `<network><name>lab</name><forward mode='route'/><bridge name='virbr1'/>
  <ip address='192.168.50.1' prefix='24'><dhcp><range start='192.168.50.10' end='192.168.50.19'/></dhcp></ip>
</network>`,
	"spare": `<network><name>spare</name><bridge name='virbr2'/><ip address='192.168.60.1' prefix='24'/></network>`,
}

// hostile is the name of a guest that no page may take for anything else.
const hostile = `<img src=x onerror="document.title='taken'">`

// card is that guest's, as libvirt's QEMU driver would tell of it.
const card = `<networkport><uuid>d4a4c0c7-6a0a-4c58-b4f0-9f2a3c1f0e55</uuid>
  <owner><name>%s</name><uuid>6a8f1c9e-0d3c-4f25-9b0e-2f6d4b8a7c11</uuid></owner><mac address='52:54:00:00:00:66'/></networkport>`

// need skips a test that lacks something, outside of its namespaces.
func need(t *testing.T) {
	t.Helper()
	debiantest.Need(t, debiantest.Cockpit)
	netnstest.NeedProgram(t, "chromium")
	needModules(t)
}

// needModules skips a test that lacks what tests/install-npm installs.
func needModules(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(modules); err != nil {
		netnstest.Need(t, fmt.Sprintf("needs the packages of cockpit/package-lock.json: %v; run tests/install-npm", err))
	}
}

// newHost starts all of it, with a guest on default that calls itself by a hostile name.
func newHost(t *testing.T) *host {
	t.Helper()
	netnstest.NewOutside(t, "outside", "uplink", netip.MustParsePrefix("203.0.113.1/24"), netip.MustParsePrefix("203.0.113.254/24"))
	if out, err := exec.CommandContext(t.Context(), "ip", "route", "add", "default", "via", "203.0.113.254").CombinedOutput(); err != nil {
		t.Fatalf("adding a default route: %v: %s", err, out)
	}
	h := &host{Root: debiantest.New(t, debiantest.Cockpit), t: t}
	for program, place := range map[string]string{"virbrd": "/usr/sbin", "virbr": "/usr/bin", "virbr_leaseshelper": "/usr/sbin"} {
		h.install(bin(program), filepath.Join(place, program), 0o755)
	}
	h.Bind(t, source, "/usr/share/cockpit/virbr")
	h.start()
	for name, doc := range networks {
		h.install(h.document(doc), "/tmp/"+name+".xml", 0o644)
		h.Sh(t, "virsh -c network:///system net-define /tmp/"+name+".xml")
	}
	h.Sh(t, "virbr start default; virbr start lab")
	for guest, bridge := range map[string]string{"web1": "virbr0", "build": "virbr0", "db": "virbr1"} {
		netnstest.NewGuest(t, guest, bridge).DHCP(t, "-x", "hostname:"+guest)
	}
	h.install(h.document(fmt.Sprintf(card, html.EscapeString(hostile))), "/tmp/port.xml", 0o644)
	h.Sh(t, "virsh -c network:///system net-port-create default /tmp/port.xml")
	h.serve(address, "")
	return h
}

func (h *host) document(text string) string {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "document")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

func (h *host) install(from, to string, mode os.FileMode) {
	h.t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(h.Path(to), data, mode)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// run starts a program in the root that ends with the test.
func (h *host) run(script string) (*exec.Cmd, *binaries.Log) {
	h.t.Helper()
	cmd, log := h.Command(h.t, script), &binaries.Log{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUTS // the page shows no name of the machine that tests it
	if err := cmd.Start(); err != nil {
		h.t.Fatalf("starting %q: %v", script, err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if h.t.Failed() {
			h.t.Logf("%s:\n%s", script, log)
		}
	})
	return cmd, log
}

// start starts virbrd, and waits until it answers.
func (h *host) start() {
	h.t.Helper()
	h.daemon, h.log = h.run("exec virbrd")
	netnstest.Wait(h.t, "virbrd answers", func() error {
		if out, err := h.Command(h.t, "virbr forward list").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// stop ends virbrd as systemd would; networks go on.
func (h *host) stop() {
	h.t.Helper()
	if err := h.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		h.t.Fatal(err)
	}
	_ = h.daemon.Wait()
}

// serve starts Cockpit's web server, whose sessions are root's, or a user's, without a login.
func (h *host) serve(address, user string) {
	h.t.Helper()
	listen, port, _ := strings.Cut(address, ":")
	as := ""
	if user != "" {
		as = "env HOME=/tmp setpriv --reuid=" + user + " --regid=nogroup --clear-groups "
	}
	h.run("hostname stage; exec " + as + "/usr/lib/cockpit/cockpit-ws --no-tls --address=" + listen + " --port=" + port + " --local-session=/usr/bin/cockpit-bridge")
	netnstest.Wait(h.t, "cockpit-ws listens", func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

// says runs a script in the root, which is to print a text.
func (h *host) says(script, want string) error {
	out, err := h.Command(h.t, script).CombinedOutput()
	if err == nil && !strings.Contains(string(out), want) {
		err = fmt.Errorf("%s does not say %q:\n%s", script, want, out)
	}
	return err
}
