package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

// exitOf returns the exit status of virbr.
func exitOf(err error) int {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// historyOf returns what virbr says of a network's definitions, in short.
func historyOf(t *testing.T, network string) string {
	t.Helper()
	out, err := tool(t, "history", network, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Number        int
		Running       bool
		UID           *int
		Program, Call string
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, r := range list {
		who := "nobody"
		if r.UID != nil {
			who = fmt.Sprintf("%d %s", *r.UID, r.Program)
		}
		if r.Running {
			who += " running"
		}
		text += fmt.Sprintln(r.Number, who, r.Call)
	}
	return text
}

// TestHistory: what stock clients do to a network's definition is known, with who did
// it, and can be taken back, also after a crash and when the network was undefined.
func TestHistory(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "virsh", "dnsmasq", "ip")
		d := startVirbrd(t)
		path := filepath.Join(t.TempDir(), "net.xml")
		write(t, path, replaced("net", "br-net", ""))
		d.virsh("net-define", path)
		write(t, path, d.virsh("net-dumpxml", "--inactive", "net"))
		d.virsh("net-define", path) // the same once more is no change
		d.virsh("net-start", "net")
		const host = "<host mac='52:54:00:77:00:01' ip='10.77.0.50'/>"
		d.virsh("net-update", "net", "add", "ip-dhcp-host", host, "--live", "--config")
		d.virsh("net-update", "net", "delete", "ip-dhcp-host", host, "--live")
		write(t, path, strings.Replace(d.virsh("net-dumpxml", "--inactive", "net"), "<uuid>", "<title>a title</title><uuid>", 1))
		d.virsh("net-define", path)
		mustVirbr(t, "forward", "add", "net", "8080:80", "10.77.0.50", "--config")
		want := `1 0 virsh virNetworkDefineXML
2 0 virsh virNetworkUpdate
3 0 virsh running virNetworkUpdate
4 0 virsh virNetworkDefineXML
5 0 virbr virbrForwardAdd
`
		if diff := cmp.Diff(want, historyOf(t, "net")); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		d.kill()
		file := "/etc/libvirt/qemu/networks/net.xml"
		edited := strings.Replace(read(t, file), "a title", "another title", 1)
		write(t, file, edited)
		d.start(bin("virbrd"))
		want += "6 nobody \n"
		if diff := cmp.Diff(want, historyOf(t, "net")); diff != "" {
			t.Errorf("history after an edit by hand (-want +got):\n%s", diff)
		}
		out, err := tool(t, "diff", "net@5", "net")
		if exitOf(err) != 2 || !strings.Contains(out, "\n-  <title>a title</title>\n+  <title>another title</title>\n") {
			t.Errorf("what was edited: %v\n%s", err, out)
		}
		if out, err := tool(t, "diff", "net@6", "net"); err != nil || out != "" {
			t.Errorf("nothing is different: %v\n%s", err, out)
		}
		if out, err := tool(t, "diff", "net", path); exitOf(err) != 2 || !strings.Contains(out, "\n-  <title>another title</title>\n") {
			t.Errorf("a file: %v\n%s", err, out)
		}
		if out, err := tool(t, "diff", "net"); exitOf(err) != 2 || !strings.Contains(out, "\n+  <title>another title</title>\n") {
			t.Errorf("what the next start changes: %v\n%s", err, out)
		}
		for _, wrong := range [][]string{{"diff", "net@99", "net"}, {"diff", "net@x", "net"}, {"diff"}, {"diff", "--nosuch"}, {"diff", "nosuch", "net"}} {
			if _, err := tool(t, wrong...); exitOf(err) != 1 {
				t.Errorf("%v: %v", wrong, err)
			}
		}

		mustVirbr(t, "rollback", "net")
		if text := d.virsh("net-dumpxml", "--inactive", "net"); !strings.Contains(text, "<title>a title</title>") {
			t.Errorf("after the rollback:\n%s", text)
		}
		mustVirbr(t, "rollback", "net", "1")
		want += "7 0 virbr virbrApply\n8 0 virbr virbrApply\n"
		if diff := cmp.Diff(want, historyOf(t, "net")); diff != "" {
			t.Errorf("history after rollbacks (-want +got):\n%s", diff)
		}
		first := d.virsh("net-dumpxml", "--inactive", "net")
		d.virsh("net-destroy", "net")
		d.virsh("net-undefine", "net")
		if out, err := tool(t, "history", "net"); err != nil || !strings.Contains(out, "virNetworkDefineXML") {
			t.Errorf("history of an undefined network: %v\n%s", err, out)
		}
		d.kill()
		d.start(bin("virbrd"))
		mustVirbr(t, "rollback", "net")
		if got := d.virsh("net-dumpxml", "--inactive", "net"); got != first {
			t.Errorf("undefined and defined again: want\n%s\ngot\n%s", first, got)
		}
		if st, err := os.Stat("/var/lib/virbr/history"); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("who may read the files: %v, %v", st, err)
		}
	})
}
