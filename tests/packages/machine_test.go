package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/qemutest"
)

const machineXML = `<domain type='qemu'><name>real</name><memory unit='MiB'>256</memory>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>/machine/kernel</kernel><initrd>/machine/initrd</initrd><cmdline>console=ttyS0 quiet panic=-1</cmdline></os>
<features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<interface type='network'><mac address='52:54:00:aa:bb:cc'/><source network='lab'/><model type='virtio'/></interface>
<serial type='file'><source path='/machine/console'/></serial><memballoon model='none'/></devices></domain>`

// TestMachine13: Debian 13's libvirtd, with both packages installed, runs a machine on
// a network of virbrd's; and what its library has and Debian 12's has not, metadata and
// their events, is handed on as well.
func TestMachine13(t *testing.T) {
	t.Parallel()
	needModule(t)
	netnstest.Run(t, func(t *testing.T) {
		r := newLibvirtRoot(t)
		r.Sh(t, "dpkg --force-unsafe-io -i /dist/virbr_1.0_*.deb /dist/virbr-libvirtd_1.0_*.deb; mkdir /machine /machine/bin /dev/net; mknod /dev/net/tun c 10 200; ln -s $(command -v qemu-system-x86_64) $(command -v tc) /machine/bin/")
		virbrd := r.serve(t, "exec virbrd", direct)
		// Each emulator of PATH is asked for its abilities first, which takes seconds.
		libvirtd := r.serve(t, "PATH=/machine/bin; exec /usr/sbin/libvirtd", qemu)
		r.write(t, "/lab.xml", labXML)
		r.write(t, "/machine.xml", machineXML)
		kernel := qemutest.Build(t, qemutest.Guest{
			Modules: []string{"virtio_pci", "virtio_net", "af_packet"},
			Init:    "ip link set eth0 up\nudhcpc -i eth0 -f -n -q -t 20 -T 1 -x hostname:machine -s /bin/true\necho leased\nsleep 600\n",
		}, r.Path("/machine/initrd"))
		image, err := os.ReadFile(kernel)
		if err != nil {
			t.Fatal(err)
		}
		r.write(t, "/machine/kernel", string(image))
		virsh := func(command string) string {
			t.Helper()
			return r.Sh(t, "virsh -c "+qemu+" "+command)
		}
		virsh("net-define /lab.xml")
		virsh("net-start lab")
		virsh("define /machine.xml")
		virsh("start real")

		events := r.Command(t, "exec virsh -c "+qemu+" net-event --event metadata-change")
		events.Stdout = &strings.Builder{}
		if err := events.Start(); err != nil {
			t.Fatal(err)
		}
		heard := make(chan error, 1)
		go func() { heard <- events.Wait() }() // ends with the first event
		netnstest.Wait(t, "an event of metadata is heard", func() error {
			virsh("net-desc lab --live --title 'a title'")
			select {
			case err := <-heard:
				if text := fmt.Sprint(events.Stdout); err != nil || !strings.Contains(text, "event 'metadata-change' for network lab: type title") {
					t.Errorf("virsh net-event: %v, %q", err, text)
				}
				return nil
			default:
				return fmt.Errorf("not yet")
			}
		})
		if got := virsh("net-desc lab --live --title"); strings.TrimSpace(got) != "a title" {
			t.Errorf("the title is %q", got)
		}

		netnstest.Wait(t, "the machine has a lease", func() error {
			text, err := os.ReadFile(filepath.Join(r.Path("/"), "machine/console"))
			if err == nil && !strings.Contains(string(text), "leased") {
				err = fmt.Errorf("its console: %q", text)
			}
			return err
		})
		for command, want := range map[string]string{
			"net-dhcp-leases lab":           "machine",
			"domifaddr real --source lease": "192.168.122.",
			"net-dumpxml lab":               "<network connections='1'>",
		} {
			if got := virsh(command); !strings.Contains(got, want) {
				t.Errorf("virsh %s without %q:\n%s", command, want, got)
			}
		}
		ports := virsh("net-port-list lab --uuid")
		libvirtd.stop()
		virbrd.stop()
		r.serve(t, "exec virbrd", direct)
		r.serve(t, "PATH=/machine/bin; exec /usr/sbin/libvirtd", qemu)
		if got := virsh("net-port-list lab --uuid"); got != ports || len(strings.Fields(got)) != 1 {
			t.Errorf("ports after restarts: %q, before: %q", got, ports)
		}
		virsh("destroy real")
		netnstest.Wait(t, "the port is released", func() error {
			if got := virsh("net-port-list lab --uuid"); strings.TrimSpace(got) != "" {
				return fmt.Errorf("there is %q", got)
			}
			return nil
		})
	})
}
