package packages

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

const packaging = "../../packaging"

// output runs a program and returns what it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	netnstest.NeedProgram(t, name)
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestScriptsAreShell holds the scripts against the strictest shells at hand.
func TestScriptsAreShell(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob(filepath.Join(packaging, "*scripts", "*"))
	more, err2 := filepath.Glob(filepath.Join(packaging, "libvirtd/scripts", "*"))
	if err := errors.Join(err, err2); err != nil || len(scripts) != 3 || len(more) != 4 {
		t.Fatalf("%v: %q, %q", err, scripts, more)
	}
	for _, path := range append(scripts, more...) {
		output(t, "dash", "-n", path)
		output(t, "busybox", "sh", "-n", path)
	}
}

// TestManualHasAllFlags: virbrd(8) is written by hand, and says no more and no
// less than virbrd itself.
func TestManualHasAllFlags(t *testing.T) {
	t.Parallel()
	var want []string
	for _, args := range [][]string{{"--help"}, {"release", "--help"}, {"hook", "--help"}, {"agent", "--help"}} {
		for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, |    )--([a-z-]+)`).FindAllStringSubmatch(output(t, dist("bin/virbrd"), args...), -1) {
			want = append(want, m[1])
		}
	}
	page := strings.ReplaceAll(read(t, filepath.Join(packaging, "man/virbrd.8")), `\-`, "-")
	var got []string
	for _, m := range regexp.MustCompile(`Fl -([a-z-]+)`).FindAllStringSubmatch(page, -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(slices.Compact(want), slices.Compact(got)); diff != "" {
		t.Errorf("(-virbrd --help +virbrd.8)\n%s", diff)
	}
}

// TestManualPages: they are sound, and virbr(1) has every command.
func TestManualPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pages := map[string]string{
		"virbr.1":     output(t, dist("bin/virbr"), "man", "January 1, 2026"),
		"virbrd.8":    strings.ReplaceAll(read(t, filepath.Join(packaging, "man/virbrd.8")), "@DATE@", "January 1, 2026"),
		"virbr-xml.5": strings.ReplaceAll(read(t, filepath.Join(packaging, "man/virbr-xml.5")), "@DATE@", "January 1, 2026"),
	}
	for name, text := range pages {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		output(t, "mandoc", "-T", "lint", "-W", "error,stop", path)
	}
	for _, m := range regexp.MustCompile(`(?m)^  (\w[\w-]*) +[A-Z]`).FindAllStringSubmatch(output(t, dist("bin/virbr"), "--help"), -1) {
		if name := m[1]; name != "help" && name != "completion" && name != "virbr" && !strings.Contains(pages["virbr.1"], `.Ss "virbr `+name) {
			t.Errorf("virbr(1) does not have %q", name)
		}
	}
}

// TestService: the units are sound, and as tight as the documentation says.
func TestService(t *testing.T) {
	t.Parallel()
	service := filepath.Join(packaging, "systemd/virbrd.service")
	out := output(t, "systemd-analyze", "security", "--offline=yes", "--no-pager", service)
	m := regexp.MustCompile(`Overall exposure level for virbrd.service: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no figure:\n%s", out)
	}
	version := strings.Fields(output(t, "systemd-analyze", "--version"))[1] // others weigh otherwise
	said := regexp.MustCompile("`systemd-analyze security virbrd.service` of systemd (\\d+) says ([0-9.]+) ").FindStringSubmatch(read(t, "../../docs/packages.md"))
	if said == nil || version == said[1] && m[1] != said[2] {
		t.Errorf("systemd %s says %s, docs/packages.md: %q", version, m[1], said)
	}
	// The program and the pages are not installed here; all else counts.
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", service,
		filepath.Join(packaging, "systemd/virbrd.socket"), filepath.Join(packaging, "systemd/virbrd-ro.socket"),
		filepath.Join(packaging, "systemd/virbr-agent.service"))
	verdict, _ := cmd.CombinedOutput() // 1 for the missing program
	for line := range strings.Lines(string(verdict)) {
		if strings.Contains(line, "virbr") && !strings.Contains(line, "/usr/sbin/virbrd is not executable") {
			t.Error(strings.TrimSpace(line))
		}
	}
}

// TestPolicies: polkit's actions are well-formed, and all that virbrd asks about.
func TestPolicies(t *testing.T) {
	t.Parallel()
	policies, err := filepath.Glob(filepath.Join(packaging, "polkit/*.policy"))
	if err != nil || len(policies) != 2 {
		t.Fatalf("%v, %v", policies, err)
	}
	declared := ""
	for _, p := range policies {
		output(t, "xmllint", "--noout", "--nonet", p)
		text := read(t, p)
		if !strings.Contains(text, "<!-- Installed by virbr") {
			t.Errorf("%s: the scripts would not know it again", p)
		}
		declared += text
	}
	asked := read(t, "../../rpc/auth_test.go")
	actions := regexp.MustCompile(`"((?:connect|network|network-port)\.[a-z-]+)[" ]`).FindAllStringSubmatch(asked, -1)
	if len(actions) < 15 {
		t.Fatalf("only %d actions in rpc's tests", len(actions))
	}
	for _, m := range actions {
		if !strings.Contains(declared, `"org.libvirt.api.`+m[1]+`"`) {
			t.Errorf("org.libvirt.api.%s is not declared", m[1])
		}
	}
	for _, id := range regexp.MustCompile(`org\.libvirt\.unix\.\w+`).FindAllString(read(t, "../../rpc/auth.go"), -1) {
		if !strings.Contains(declared, `"`+id+`"`) {
			t.Errorf("%s is not declared", id)
		}
	}
}

// TestProfile: AppArmor's own compiler takes the profile.
func TestProfile(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "apparmor_parser")
	output(t, "apparmor_parser", "--skip-kernel-load", "--skip-cache", "--preprocess", filepath.Join(packaging, "apparmor/usr.sbin.virbrd"))
	output(t, "apparmor_parser", "--skip-kernel-load", "--skip-cache", "--quiet", filepath.Join(packaging, "apparmor/usr.sbin.virbrd"))
}
