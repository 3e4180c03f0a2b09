package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

const examples = "../../examples/"

// forwarded waits until port 8080 of the host reaches a guest, web1, that has come to a
// network.
func forwarded(t *testing.T, network string, bridge string) {
	t.Helper()
	netnstest.NewGuest(t, "web1", bridge).DHCP(t, "-x", "hostname:web1")
	netnstest.Wait(t, "the forward of the example is in force", func() error {
		out, err := tool(t, "forward", "list", network, "--json")
		if err != nil {
			return err
		}
		var list []struct{ State, Guest string }
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return err
		}
		if len(list) != 1 || list[0].Guest != "web1" || list[0].State != "active" {
			return fmt.Errorf("forwards of %s:\n%s", network, out)
		}
		return nil
	})
}

// TestExampleProgram builds examples/forward and runs it against a network that runs.
func TestExampleProgram(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		d.up("default", `<network><name>default</name><forward mode='nat'/><bridge name='virbr0'/>
			<ip address='192.168.122.1' prefix='24'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>`)
		program := filepath.Join(t.TempDir(), "forward")
		run(t, "go", "build", "-tags", "libvirt_dlopen", "-o", program, examples+"forward")
		run(t, program, d.uri, "default", "8080", "80", "web1")
		forwarded(t, "default", "virbr0")
		if out, err := exec.CommandContext(t.Context(), program, d.uri, "default", "8081", "80", "a;b").CombinedOutput(); err == nil {
			t.Errorf("a guest that is none is taken: %s", out)
		}
	})
}

// TestExampleDocuments has virsh define the documents that Terraform and Ansible send:
// the first as its provider does, by way of xsltproc.
func TestExampleDocuments(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]func(t *testing.T) string{
		"terraform": func(t *testing.T) string {
			netnstest.NeedProgram(t, "xsltproc")
			path := t.TempDir() + "/in.xml"
			write(t, path, `<network>
  <name>web</name>
  <forward mode="nat"></forward>
  <bridge name="virbr-web" stp="on"></bridge>
  <domain></domain>
  <ip address="192.168.150.1" family="ipv4" prefix="24">
    <dhcp><range start="192.168.150.2" end="192.168.150.254"></range></dhcp>
  </ip>
</network>`)
			return run(t, "xsltproc", "--nomkdir", "--nowrite", examples+"terraform/forwards.xsl", path)
		},
		"ansible": func(t *testing.T) string {
			text, err := os.ReadFile(examples + "ansible/network.xml")
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				programs(t)
				d := startVirbrd(t)
				d.up("web", document(t))
				forwarded(t, "web", "virbr-web")
			})
		})
	}
}
