package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

const pagesDir = "../.."

// elsewhereRun are the commands of pages that a namespace cannot run, and what runs them.
var elsewhereRun = []struct{ command, why string }{
	{`^make |^npm |^tests/install-npm`, "builds or tests the whole project: .ci/run does"},
	{`apt-get `, "installs packages: tests/packages"},
	{`^systemctl |^journalctl |^install -|systemd/libvirtd/|^virbrd release`, "needs systemd, or hands networks to another daemon: tests/systems, TestHandover"},
	{`^sudo bin/virbrd|^\./virbrd`, "the daemon is there already"},
	{`^virsh -c qemu:///system |^virbrd hook --apply`, "needs libvirtd: TestHook, tests/packages"},
	{`qemu\+ssh://`, "by ssh: TestConnect"},
	{`^go run |^cd examples/terraform|^ansible-playbook `, "TestExampleProgram, TestExampleDocuments"},
	{`^ufw |^firewall-cmd |^iptables `, "needs these firewalls: TestBeside"},
	{`^nft list chain inet filter`, "the chain of another firewall"},
	{`VERSION|SHA256SUMS`, "of a release: tests/release"},
}

// endless are commands that go on until they are interrupted.
var endless = regexp.MustCompile(`virbr (events|top)\b`)

// fails are commands whose exit status says what they found.
var fails = map[*regexp.Regexp][]int{
	regexp.MustCompile(`virbr doctor`): {1},
	regexp.MustCompile(`virbr trace`):  {1},
	regexp.MustCompile(`virbr plan`):   {2},
}

// standing is the network that commands are about where a page defines none.
const standing = `<network><name>default</name>
  <metadata><virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:guard/></virbr:network></metadata>
  <forward mode='nat'/><bridge name='virbr0'/>
  <ip address='192.168.122.1' prefix='24'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>
</network>`

// fenced is a block of a page.
var fenced = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// page is a page of the documentation with its commands.
type page struct {
	name     string
	network  string // that its first document defines
	commands []string
	refused  map[string]bool // commands that the page shows an error of
}

// readPage finds the commands: lines of sh blocks, and those behind a prompt of console
// blocks. A here-document is part of its command.
func readPage(t *testing.T, path string) page {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := page{name: filepath.Base(path), network: standing, refused: map[string]bool{}}
	for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
		switch m[1] {
		case "xml":
			if p.network == standing && strings.HasPrefix(m[2], "<network>") && strings.Contains(m[2], "<name>default</name>") {
				p.network = m[2]
			}
		case "sh":
			p.commands = append(p.commands, commandsOf(strings.Split(m[2], "\n"))...)
		case "console":
			lines := strings.Split(m[2], "\n")
			for i, line := range lines {
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					p.commands = append(p.commands, command)
					p.refused[command] = strings.HasPrefix(lines[i+1], "error: ") || strings.HasPrefix(lines[i+1], "virbr: ")
				}
			}
		}
	}
	return p
}

func commandsOf(lines []string) []string {
	var list []string
	for i := 0; i < len(lines); i++ {
		command := strings.TrimSpace(lines[i])
		if command == "" || strings.HasPrefix(command, "#") {
			continue
		}
		if _, end, ok := strings.Cut(command, "<<"); ok {
			for i++; i < len(lines); i++ {
				command += "\n" + lines[i]
				if lines[i] == end {
					break
				}
			}
		}
		list = append(list, command)
	}
	return list
}

// here returns the commands of a page that are run, and marks why others are not.
func (p *page) here(used map[string]bool) []string {
	return slices.DeleteFunc(slices.Clone(p.commands), func(command string) bool {
		for _, e := range elsewhereRun {
			if regexp.MustCompile(e.command).MatchString(command) {
				used[e.command] = true
				return true
			}
		}
		return false
	})
}

// TestCommands runs every command of README and docs, in the order of its page, on a host
// with virbrd, a guest and an outside, or knows what else runs it.
func TestCommands(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(pagesDir, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	used, ran := map[string]bool{}, 0
	for _, path := range append(paths, filepath.Join(pagesDir, "README.md")) {
		p := readPage(t, path)
		commands := p.here(used)
		ran += len(commands)
		if len(commands) == 0 {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				programs(t)
				netnstest.NeedProgram(t, "jq", "curl", "nc")
				dir, env := newStage(t, &p)
				guest := false
				for _, command := range commands {
					if strings.Contains(command, "web1") && !guest {
						guest = true
						netnstest.NewGuest(t, "web1", "virbr0").DHCP(t, "-x", "hostname:web1")
						netnstest.Wait(t, "the lease is known", func() error {
							out, err := tool(t, "lease", "list", "default")
							if err == nil && !strings.Contains(out, "web1") {
								err = errors.New(out)
							}
							return err
						})
					}
					err := runDocumented(t, dir, env, command)
					if p.refused[command] {
						if err == nil {
							t.Errorf("%s: %s\nworks, and the page shows an error", p.name, command)
						}
						continue
					}
					if err != nil {
						t.Errorf("%s: %s\n%v", p.name, command, err)
					}
				}
			})
		})
	}
	if ran < 60 {
		t.Errorf("%d commands are run", ran)
	}
	for _, e := range elsewhereRun {
		if !used[e.command] {
			t.Errorf("no command is %q: take it out", e.command)
		}
	}
}

// newStage makes what the commands of a page are about, and returns their directory and
// environment.
func newStage(t *testing.T, p *page) (dir string, env []string) {
	t.Helper()
	netnstest.NewOutside(t, "outside", "eth0", netip.MustParsePrefix(uplink4+"/24"), netip.MustParsePrefix(outside4+"/24"))
	run(t, "ip", "route", "add", "default", "via", outside4, "dev", "eth0")
	write(t, "/etc/libvirt/libvirt.conf", `uri_aliases = [ "host1=network:///system", "host2=qemu:///system" ]`)
	write(t, "/etc/virbr/virbrd.conf", `metrics = "unix:/run/virbr/metrics.sock"`)
	ssh := exec.Command("nc", "-lk", "22") // whose port a page tries to forward
	if err := ssh.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ssh.Process.Kill(); _ = ssh.Wait() })
	d := startVirbrd(t)
	dir = t.TempDir()
	if p.name != "README.md" { // which begins with an empty host
		d.up("default", p.network)
		d.up("office", "<network><name>office</name><forward mode='nat'/><bridge name='virbr7'/><ip address='192.168.50.1' prefix='24'/></network>")
	}
	if p.name == "forwarding.md" { // the document has what the first command adds
		if _, err := tool(t, "forward", "remove", "default", "1"); err != nil {
			t.Fatal(err)
		}
	}
	tools := filepath.Join(dir, "tools")
	write(t, tools+"/sudo", "#!/bin/sh\nexec \"$@\"\n")
	write(t, tools+"/editor", "#!/bin/sh\nsed -i 's,<title>.*</title>,,; s,<name>,<title>edited by '$$'</title>&,' \"$1\"\n")
	for _, name := range []string{"sudo", "editor"} {
		if err := os.Chmod(filepath.Join(tools, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	repo, err := filepath.Abs(pagesDir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/net.xml", standing)
	for name, target := range map[string]string{"bin": os.Getenv(binEnv), "packaging": repo + "/packaging"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, append(os.Environ(), "PATH="+tools+":"+os.Getenv(binEnv)+":"+os.Getenv("PATH"), "EDITOR="+tools+"/editor", "LC_ALL=C", "LIBVIRT_DEFAULT_URI="+d.uri)
}

// netMetadata is a command that virsh has since libvirt 9.7.
var netMetadata = regexp.MustCompile(`^virsh net-metadata .*--set '(.*)'$`)

// runDocumented runs one command as a shell does.
func runDocumented(t *testing.T, dir string, env []string, command string) error {
	if strings.HasPrefix(command, "virsh net-metadata") && exec.Command("virsh", "help", "net-metadata").Run() != nil {
		if m := netMetadata.FindStringSubmatch(command); m != nil {
			e, err := xml.ParseExtensions([]byte(m[1]))
			if err == nil && e.IsZero() {
				err = fmt.Errorf("it sets nothing")
			}
			return err
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if endless.MatchString(command) {
		command = "timeout -s INT 2 " + strings.TrimPrefix(command, "sudo ")
		if strings.HasPrefix(command, "timeout -s INT 2 LIBVIRT") {
			command = "timeout -s INT 2 env" + strings.TrimPrefix(command, "timeout -s INT 2")
		}
	}
	if strings.Contains(command, "apply --confirm") { // of something else than before
		command = "$EDITOR default.xml && " + command
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, time.Second
	out, err := cmd.CombinedOutput()
	status := cmd.ProcessState.ExitCode()
	if err == nil || endless.MatchString(command) && status == 124 { // timeout's
		return nil
	}
	for which, also := range fails {
		if which.MatchString(command) && slices.Contains(also, status) {
			return nil
		}
	}
	return fmt.Errorf("%w\n%s", err, out)
}
