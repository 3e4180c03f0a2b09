package release

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

const version = "9.9.9"

// clone returns a copy of the repository whose last commit says what is new in version:
// the same commit in each copy.
func clone(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "virbr")
	run(t, ".", nil, "git", "clone", "-q", "--shared", "../..", dir)
	path := filepath.Join(dir, "CHANGELOG.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("## [Unreleased]"), []byte("## ["+version+"] - 2026-01-02"), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	who := []string{"GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z"}
	run(t, dir, who, "git", "commit", "-q", "-a", "-m", "release")
	return dir
}

// run runs a program, which must succeed, and returns what it prints.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	netnstest.NeedProgram(t, name)
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// needs says what a release takes beside Go.
func needs(t *testing.T) {
	t.Helper()
	for _, program := range []string{"git", "make", "cc", "jq", "dpkg-deb", "rpm"} {
		netnstest.NeedProgram(t, program)
	}
	if _, err := os.Stat("/usr/include/libvirt/libvirt.h"); err != nil {
		netnstest.Need(t, "needs libvirt's headers (Debian: libvirt-dev)")
	}
}

// TestRelease makes a release and looks into each of its files. In full it makes it once
// more, in another place, time zone and mood of the shell, and not a byte differs.
func TestRelease(t *testing.T) {
	needs(t)
	dir := clone(t)
	run(t, dir, nil, "make", "release", "VERSION="+version)
	dist := filepath.Join(dir, "dist", version)
	run(t, dist, nil, "sha256sum", "--check", "--strict", "SHA256SUMS")
	programs := installed(t, dist)
	if got := strings.TrimSpace(run(t, dist, nil, "rpm", "-qp", "--qf", "%{VERSION} %{BUILDHOST}", "virbr-"+version+"-1.x86_64.rpm")); got != version+" virbr" {
		t.Errorf("the rpm is %q", got)
	}
	listed(t, filepath.Join(dist, "virbr-"+version+".cdx.json"), programs)
	if os.Getenv("VIRBR_STRESS") != "full" {
		return
	}
	again := clone(t)
	run(t, again, []string{"TZ=Asia/Kathmandu", "LC_ALL=C.UTF-8"}, "sh", "-c", "umask 077; make release VERSION="+version)
	run(t, dist, nil, "diff", "-r", dist, filepath.Join(again, "dist", version))
}

// installed unpacks the packages, holds that each program says its version, and returns
// their paths.
func installed(t *testing.T, dist string) []string {
	t.Helper()
	root := t.TempDir()
	debs, err := filepath.Glob(filepath.Join(dist, "*.deb"))
	if err != nil || len(debs) != 3 {
		t.Fatalf("%v: packages %q, want three", err, debs)
	}
	for _, deb := range debs {
		run(t, dist, nil, "dpkg-deb", "-x", deb, root)
	}
	programs := []string{filepath.Join(root, "usr/sbin/virbrd"), filepath.Join(root, "usr/bin/virbr"), filepath.Join(root, "usr/sbin/virbr_leaseshelper")}
	for _, program := range programs {
		if got, want := run(t, root, nil, program, "--version"), filepath.Base(program)+" "+version+"\n"; got != want {
			t.Errorf("%s --version says %q", program, got)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "usr/share/cockpit/virbr/patternfly.css")); err != nil {
		t.Errorf("the page in Cockpit: %v", err)
	}
	modules, err := filepath.Glob(filepath.Join(root, "usr/lib/*/libvirt/connection-driver/libvirt_driver_network.so"))
	if err != nil || len(modules) != 1 {
		t.Fatalf("%v: libvirtd's modules are %q, want one", err, modules)
	}
	if text, err := os.ReadFile(modules[0]); err != nil || !bytes.Contains(text, []byte("by module "+version)) {
		t.Errorf("libvirtd's module does not say its version: %v", err)
	}
	notices, err := os.ReadFile(filepath.Join(root, "usr/share/doc/virbr/notices"))
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range modulesOf(t, programs) {
		if !bytes.Contains(notices, []byte("== "+module[0]+" ==\n\n")) {
			t.Errorf("the licence of %s is not with the package", module[0])
		}
	}
	return programs
}

// modulesOf returns paths and versions of the modules that are linked into programs.
func modulesOf(t *testing.T, programs []string) (modules [][2]string) {
	t.Helper()
	for line := range strings.Lines(run(t, ".", nil, "go", append([]string{"version", "-m"}, programs...)...)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" {
			modules = append(modules, [2]string{f[1], f[2]})
		}
	}
	if len(modules) < 10 {
		t.Fatalf("only %q are linked into %q", modules, programs)
	}
	return modules
}

// listed holds that the bill of materials has each module of the programs.
func listed(t *testing.T, path string, programs []string) {
	t.Helper()
	var bill struct {
		SpecVersion string
		Components  []struct{ Name, Version string }
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &bill)
	}
	if err != nil {
		t.Fatal(err)
	}
	has := map[[2]string]bool{}
	for _, c := range bill.Components {
		has[[2]string{c.Name, c.Version}] = true
	}
	for _, module := range modulesOf(t, programs) {
		if !has[module] {
			t.Errorf("%s %s is not in the bill of materials", module[0], module[1])
		}
	}
}

// TestRefused: what is no release is not made, and the reason is said.
func TestRefused(t *testing.T) {
	needs(t)
	for _, tt := range []struct{ name, prepare, version, want string }{
		{name: "no version", version: "", want: `"" is no version`},
		{name: "a word", version: "next", want: `"next" is no version`},
		{name: "nothing said", version: "9.9.8", want: `CHANGELOG.md has no section "## [9.9.8] - YYYY-MM-DD"`},
		{name: "not committed", prepare: "echo >>README.md", version: version, want: "not committed"},
		{name: "another commit's", prepare: "git tag v9.9.9 HEAD^", version: version, want: "tag v9.9.9 is another commit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := clone(t)
			run(t, dir, nil, "sh", "-c", tt.prepare)
			cmd := exec.CommandContext(t.Context(), "packaging/release", tt.version)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v:\n%s", err, out)
			}
			if _, err := os.Stat(filepath.Join(dir, "dist")); err == nil {
				t.Error("something was made")
			}
		})
	}
}
