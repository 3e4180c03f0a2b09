package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

const portUUID = "11111111-0000-4000-8000-000000000001"

// TestPorts is a port's life as stock virsh sees it, with a floor that the
// kernel's queues show, over a restart of the daemon.
func TestPorts(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "virsh", "dnsmasq", "tc")
	netnstest.Run(t, func(t *testing.T) {
		d := startVirbrd(t)
		d.up("shaped", `<network><name>shaped</name><bridge name='virbr62'/>
			<bandwidth><inbound average='1000' peak='2000'/></bandwidth><ip address='10.62.0.1' prefix='24'/></network>`)
		doc := filepath.Join(t.TempDir(), "port.xml")
		write(t, doc, `<networkport><uuid>`+portUUID+`</uuid>
			<owner><name>vm1</name><uuid>22222222-0000-4000-8000-000000000001</uuid></owner>
			<mac address='52:54:00:aa:bb:01'/><bandwidth><inbound average='500' floor='300'/></bandwidth></networkport>`)
		d.virsh("net-port-create", "shaped", doc, "--validate")
		want := `<networkport>
  <uuid>` + portUUID + `</uuid>
  <owner>
    <name>vm1</name>
    <uuid>22222222-0000-4000-8000-000000000001</uuid>
  </owner>
  <mac address='52:54:00:aa:bb:01'/>
  <bandwidth classID='3'>
    <inbound average='500' floor='300'/>
  </bandwidth>
  <plug type='network' bridge='virbr62'/>
</networkport>`
		dump := func(when string) {
			t.Helper()
			got := strings.TrimSpace(d.virsh("net-port-dumpxml", "shaped", portUUID))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: port (-want +got):\n%s", when, diff)
			}
			if list := d.virsh("net-port-list", "shaped"); strings.Count(list, "-0000-") != 1 || !strings.Contains(list, portUUID) {
				t.Errorf("%s: ports:\n%s", when, list)
			}
			if live := d.virsh("net-dumpxml", "shaped"); !strings.HasPrefix(live, "<network connections='1'>") {
				t.Errorf("%s: network:\n%s", when, live)
			}
		}
		dump("created")
		wantClass(t, "virbr62", "1:3", "rate 2400Kbit ceil 16Mbit")
		wantClass(t, "virbr62", "1:2", "rate 13600Kbit ceil 16Mbit")
		before := classes(t, "virbr62")
		d.stop()
		d = startVirbrd(t)
		dump("after a restart")
		if diff := cmp.Diff(before, classes(t, "virbr62")); diff != "" {
			t.Errorf("a restart changed the queues (-before +after):\n%s", diff)
		}
		d.virsh("net-port-delete", "shaped", portUUID)
		wantClass(t, "virbr62", "1:2", "rate 16Mbit ceil 16Mbit")
		if got := classes(t, "virbr62"); strings.Contains(got, " 1:3 ") {
			t.Errorf("the class of a deleted port is still there:\n%s", got)
		}
		d.virsh("net-destroy", "shaped")
	})
}

func classes(t *testing.T, bridge string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "tc", "class", "show", "dev", bridge).CombinedOutput()
	if err != nil {
		t.Fatalf("tc: %v\n%s", err, out)
	}
	return string(out)
}

// wantClass wants a class whose line has the given text.
func wantClass(t *testing.T, bridge, class, text string) {
	t.Helper()
	all := classes(t, bridge)
	for line := range strings.Lines(all) {
		if strings.HasPrefix(line, "class htb "+class+" ") {
			if !strings.Contains(line, text) {
				t.Errorf("class %s: want %q in %q", class, text, line)
			}
			return
		}
	}
	t.Errorf("no class %s in:\n%s", class, all)
}
