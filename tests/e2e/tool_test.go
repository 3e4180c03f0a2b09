package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/virbr/virbr/schemas"
	"github.com/virbr/virbr/tests/netnstest"
)

// tool runs virbr; the error holds what it says.
func tool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin("virbr"), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if slices.Contains(args, "--json") {
		if err := described(args[0], stdout.String()); err != nil {
			t.Errorf("virbr %s: %v\n%s", strings.Join(args, " "), err, &stdout)
		}
	}
	if err != nil {
		err = fmt.Errorf("virbr %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), err
}

// described holds what a command prints with --json against its schema, which in a test
// is complete.
func described(command, out string) error {
	name := map[string]string{"map": "status", "apply": "plan", "forward": "forwards", "address": "addresses", "uplink": "uplinks", "lease": "leases"}[command]
	text := schemas.Form(cmp.Or(name, command))
	text = strings.ReplaceAll(text, `"type": "object"`, `"type": "object", "additionalProperties": false`)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("the schema of %s: %w", command, err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("x.json", doc); err != nil {
		return err
	}
	schema, err := c.Compile("x.json")
	if err != nil {
		return err
	}
	for lines := json.NewDecoder(strings.NewReader(out)); ; {
		var value any
		if err := lines.Decode(&value); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := schema.Validate(value); err != nil {
			return err
		}
	}
}

// TestToolWithLibvirt: virbr finds Debian's libvirtd by itself, sees that it keeps
// no metadata of networks, and writes the file that the hook reads. It asks
// nothing that libvirtd would log as an error.
func TestToolWithLibvirt(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startLibvirtd(t)
		d.up("default", hookedXML)
		for _, step := range []struct{ line, want string }{
			{"forward add default 8080:80 192.168.122.10", "libvirt keeps no metadata of networks, so it stands in /etc/virbr/networks/default.xml"},
			{"forward list", "not in force"}, // nobody installed the hook
			{"forward add default 8080 192.168.122.11", "! has port 8080 already"},
			{"forward add nosuch 8080 web1", "! no network with matching name 'nosuch'"},
			{"address add default 203.0.113.7 web1", "203.0.113.7 is the address of web1"},
			{"address list default", "not in force"},
			{"forward remove default 8080/tcp", "removed from network default"},
			{"forward list --json", "[]"},
			{"autostart default", "is started with the host"},
			{"stop default", "network default stopped"},
			{"stop default", "! network 'default' is not active"},
			{"start default", "network default started"},
			{"forward add default 8081 web1 --print", "<virbr:portForward proto=\"tcp\" guest=\"web1\">"},
			{"prefix set default ula", "! the daemon does not plan or apply definitions, virbrd does"},
			{"events --recent", "! the daemon at"},
		} {
			out, err := tool(t, strings.Fields(step.line)...)
			if want, refused := strings.CutPrefix(step.want, "! "); refused {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q", step.line, err, want)
				}
				continue
			}
			if err != nil || !strings.Contains(out, step.want) {
				t.Errorf("%s: %v, %q, want %q", step.line, err, out, step.want)
			}
		}
		text, err := os.ReadFile("/etc/virbr/networks/default.xml")
		want := "<virbr:network xmlns:virbr='urn:virbr:network:1'>\n  <virbr:address public='203.0.113.7' guest='web1'/>\n</virbr:network>\n"
		if err != nil || string(text) != want {
			t.Errorf("%v, %q, want %q", err, text, want)
		}
		for _, noise := range []string{"Cannot find program", "unknown procedure", "End of file"} {
			if strings.Contains(d.log.String(), noise) {
				t.Errorf("libvirtd complains about virbr: %s", noise)
			}
		}
	})
}

// TestToolWithVirbrd: what virbr changes is in the running network, in the file on
// disk and in what stock virsh shows.
func TestToolWithVirbrd(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		d.up("default", hookedXML)
		if out, err := tool(t, "forward", "add", "default", "8080:80", "192.168.122.10"); err != nil || !strings.Contains(out, "is forward 1 of network default: active to 192.168.122.10") {
			t.Fatalf("%v, %q", err, out)
		}
		const line = `<virbr:portForward proto="tcp" guest="192.168.122.10">`
		for _, doc := range []string{d.virsh("net-dumpxml", "default"), d.virsh("net-dumpxml", "default", "--inactive"), read(t, "/etc/libvirt/qemu/networks/default.xml")} {
			if !strings.Contains(doc, line) {
				t.Errorf("no forward in\n%s", doc)
			}
		}
		if out, err := tool(t, "forward", "remove", "default", "1"); err != nil {
			t.Errorf("%v, %q", err, out)
		}
		if doc := d.virsh("net-dumpxml", "default"); strings.Contains(doc, "virbr:") {
			t.Errorf("something is left of the forward:\n%s", doc)
		}
	})
}
