package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/wording"
)

// filesEnv asks a process in namespaces which daemon is to start the corpus.
const filesEnv = "VIRBR_E2E_FILES"

// TestFiles starts the networks of the corpus with virbrd and with Debian's
// libvirtd, and wants the same files from both: dnsmasq's configuration, its
// hosts files, and the definition on disk.
func TestFiles(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "virsh", "libvirtd", "dnsmasq")
	theirs, ours := corpusFiles(t, "libvirtd"), corpusFiles(t, "virbrd")
	compared := 0
	for name, want := range theirs {
		if _, known := different[name]; known {
			continue
		}
		if strings.HasPrefix(want["start"], "error") != strings.HasPrefix(ours[name]["start"], "error") {
			t.Errorf("%s: start says %q with libvirtd, %q with virbrd", name, want["start"], ours[name]["start"])
			continue
		}
		if strings.HasPrefix(want["start"], "error") {
			continue
		}
		compared++
		if diff := cmp.Diff(want, ours[name]); diff != "" {
			t.Errorf("%s: libvirtd (-) and virbrd (+) write different files:\n%s", name, diff)
		}
	}
	t.Logf("%d networks compared", compared)
	if compared < 10 {
		t.Errorf("only %d networks could be compared", compared)
	}
}

// different are networks that the two treat differently, and why.
var different = map[string]string{
	"fw-nat-single.txtar":    "a range of one port starts here; libvirt refuses to start what it let one define",
	"conf-no-dns-ipv6.txtar": "libvirt starts no dnsmasq, and advertises nothing",
	"conf-dhcp6.txtar":       "a host outside of the ranges counts as a lease here",
	"fw-forwards.txtar":      "a host outside of the ranges counts as a lease here",
	"conf-open.txtar":        "libvirt heeds the zone of an open network since 10.8.0, and there is no firewalld",
	"xml-addresses.txtar":    "an IPv4 address written as an IPv6 one is no subnet here",
}

// corpusFiles runs TestFilesSide for one daemon.
func corpusFiles(t *testing.T, which string) map[string]map[string]string {
	t.Helper()
	out := filepath.Join(t.TempDir(), which)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFilesSide$", "-test.count=1")
	cmd.Env = append(os.Environ(), filesEnv+"="+which+" "+out)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("starting the corpus with %s: %v\n%s", which, err, msg)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]map[string]string{}
	if err := json.Unmarshal(data, &files); err != nil {
		t.Fatal(err)
	}
	return files
}

// TestFilesSide is one side of TestFiles.
func TestFilesSide(t *testing.T) {
	which, out, ok := strings.Cut(os.Getenv(filesEnv), " ")
	if !ok {
		return // nothing was asked
	}
	netnstest.Run(t, func(t *testing.T) {
		d := startVirbrd
		if which == "libvirtd" {
			d = func(t *testing.T, _ ...string) *daemon { return startLibvirtd(t) }
		}
		data, err := json.Marshal(startCorpus(t, d(t)))
		if err != nil {
			t.Fatal(err)
		}
		write(t, out, string(data))
	})
}

// newer matches documents that libvirt 9.0 does not know, or writes in another
// way than today's libvirt.
var newer = regexp.MustCompile(`advprefix|type='auto'|create='yes'|register=|<title>|<description>|driver model|mode='open'/>\s*<bridge[^>]*/>\s*</network>`)

// startCorpus gives every network of the corpus a life and returns what it
// wrote, by case and file.
func startCorpus(t *testing.T, d *daemon) map[string]map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../corpus/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	all := map[string]map[string]string{}
	for _, path := range paths {
		archive := txtar.Parse([]byte(read(t, path) + "\n"))
		if slices.ContainsFunc(archive.Files, func(f txtar.File) bool { return f.Name == "error" }) {
			continue // what virbr refuses on purpose
		}
		for _, f := range archive.Files {
			if f.Name == "in.xml" && strings.Contains(string(f.Data), "<network") && !newer.Match(f.Data) {
				if files := lifeOf(t, d, string(f.Data)); files != nil {
					all[filepath.Base(path)] = files
				}
			}
		}
	}
	return all
}

// lifeOf defines, starts, stops and undefines one network; nil: it was refused.
func lifeOf(t *testing.T, d *daemon, doc string) map[string]string {
	t.Helper()
	file := t.TempDir() + "/in.xml"
	write(t, file, doc)
	before := d.virsh("net-list", "--all", "--name")
	if _, err := d.try("net-define", file); err != nil {
		return nil
	}
	name := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(d.virsh("net-list", "--all", "--name")), strings.TrimSpace(before)))
	defer d.virsh("net-undefine", name)
	files := map[string]string{"config": definition(t, "/etc/libvirt/qemu/networks/"+name+".xml"), "start": "started"}
	if _, err := d.try("net-start", name); err != nil {
		files["start"] = "error: " + err.Error()
		return files
	}
	defer d.virsh("net-destroy", name)
	files["live"] = wording.Generated(d.virsh("net-dumpxml", name))
	for _, suffix := range []string{".conf", ".hostsfile", ".addnhosts"} {
		if data, err := os.ReadFile("/var/lib/libvirt/dnsmasq/" + name + suffix); err == nil {
			files[suffix] = plain(string(data))
		}
	}
	return files
}

// definition reads a definition without the comment in front, with generated
// values made equal.
func definition(t *testing.T, path string) string {
	t.Helper()
	text := read(t, path)
	if _, rest, ok := strings.Cut(text, "-->\n"); ok {
		text = rest
	}
	return wording.Generated(text)
}

// plain leaves out comments of a configuration.
func plain(conf string) string {
	var b strings.Builder
	for line := range strings.Lines(conf) {
		if !strings.HasPrefix(line, "##") {
			b.WriteString(line)
		}
	}
	return b.String()
}
