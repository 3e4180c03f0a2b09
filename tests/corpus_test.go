package tests

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/virbr/virbr/cli"
	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

var update = flag.Bool("update", false, "rewrite the sections of the corpus that exist")

// views are the sections that a definition can have, with the test's name and
// the command that prints them.
var views = []struct {
	section, name string
	command       []string
}{
	{"out.xml", "xml2xml", []string{"render", "xml"}},
	{"inactive.xml", "xml2inactive", []string{"render", "xml", "--inactive"}},
	{"dnsmasq.conf", "xml2conf", []string{"render", "conf"}},
	{"hosts", "xml2hosts", []string{"render", "hosts"}},
	{"addnhosts", "xml2addnhosts", []string{"render", "addnhosts"}},
	{"ruleset.nft", "xml2nft", []string{"render", "nft"}},
	{"plan", "plan", []string{"render", "plan"}},
}

// inputs are the sections that are not expectations.
var inputs = []string{"in.xml", "net.xml", "update.xml", "port.xml"}

// golden is one case.
type golden struct {
	path    string
	archive *txtar.Archive
	dir     string // where its inputs are, as files
}

// section returns a section's file in the archive, nil if there is none.
func (g *golden) section(name string) *txtar.File {
	for i := range g.archive.Files {
		if g.archive.Files[i].Name == name {
			return &g.archive.Files[i]
		}
	}
	return nil
}

func (g *golden) input(name string) string { return filepath.Join(g.dir, name) }

// corpus reads all cases.
func corpus(t *testing.T) map[string]*golden {
	t.Helper()
	paths, err := filepath.Glob("corpus/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatal("the corpus is empty")
	}
	all := map[string]*golden{}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		g := &golden{path: path, archive: archive, dir: t.TempDir()}
		for _, name := range inputs {
			if f := g.section(name); f != nil {
				if err := os.WriteFile(g.input(name), f.Data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		all[strings.TrimSuffix(filepath.Base(path), ".txtar")] = g
	}
	return all
}

func TestCorpus(t *testing.T) {
	if !*update {
		t.Parallel()
	}
	for name, g := range corpus(t) {
		t.Run(name, func(t *testing.T) {
			if !*update {
				t.Parallel()
			}
			g.check(t)
			if *update && !t.Failed() {
				if err := os.WriteFile(g.path, txtar.Format(g.archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// check holds every section against what the command prints.
func (g *golden) check(t *testing.T) {
	t.Helper()
	if len(bytes.TrimSpace(g.archive.Comment)) == 0 {
		t.Errorf("%s has no comment that says why it is there", g.path)
	}
	known := 0
	if g.section("error") != nil {
		t.Run("error", g.checkError)
		known++
	}
	for _, v := range views {
		f := g.section(v.section)
		if f == nil {
			continue
		}
		known++
		t.Run(v.name, func(t *testing.T) {
			out, complaint := run(g.command(t, v.command)...)
			if complaint != "" {
				t.Fatal(complaint)
			}
			g.compare(t, f, out)
			if strings.HasSuffix(v.section, ".xml") {
				g.again(t, v.command, out)
			}
		})
	}
	for _, f := range g.archive.Files {
		for _, name := range inputs {
			if f.Name == name {
				known++
			}
		}
	}
	if known != len(g.archive.Files) {
		t.Errorf("%s has sections that no test reads", g.path)
	}
}

// checkError holds the error that clients get against the case, and that the
// command refuses the same and prints nothing.
func (g *golden) checkError(t *testing.T) {
	err := g.refusal(t)
	if err == nil {
		t.Fatal("accepted")
	}
	g.compare(t, g.section("error"), err.Error()+"\n")
	for _, what := range []string{"xml", "conf", "nft", "plan"} {
		out, complaint := run(g.command(t, []string{"render", what})...)
		if complaint == "" {
			continue // refused by those that would write the value only
		}
		if out != "" {
			t.Errorf("render %s refused, but printed %d bytes", what, len(out))
		}
		return
	}
	t.Error("virbr render refuses nothing")
}

// refusal is why a case's input is refused, by whoever refuses it first.
func (g *golden) refusal(t *testing.T) error {
	t.Helper()
	if f := g.section("port.xml"); f != nil {
		_, err := xml.ParsePort(f.Data)
		return err
	}
	if f := g.section("net.xml"); f != nil {
		def, err := xml.ParseNetwork(f.Data)
		if err != nil {
			t.Fatalf("net.xml: %v", err)
		}
		command, section, parent := g.edit(t)
		return def.Update(command, section, parent, g.section("update.xml").Data)
	}
	def, err := xml.ParseNetwork(g.section("in.xml").Data)
	if err != nil {
		return err
	}
	if err := def.Validate(); err != nil {
		return err
	}
	if _, err := dnsmasq.Compile(def, dnsmasq.Dirs{Dnsmasq: "/var/lib/libvirt/dnsmasq"}); err != nil {
		return err
	}
	_, err = firewall.Compile(def, nil, firewall.Where{})
	return err
}

func (g *golden) compare(t *testing.T, f *txtar.File, got string) {
	t.Helper()
	if *update {
		f.Data = []byte(got)
		return
	}
	if diff := cmp.Diff(string(f.Data), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", f.Name, diff)
	}
}

// again renders canonical XML once more: it must stay as it is.
func (g *golden) again(t *testing.T, command []string, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "again.xml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if g.section("port.xml") != nil {
		command = []string{"render", "port"}
	}
	out, complaint := run(append(append([]string{}, command...), path)...)
	if complaint != "" {
		t.Fatalf("the canonical form is refused: %s", complaint)
	}
	if diff := cmp.Diff(text, out); diff != "" {
		t.Errorf("the canonical form is not stable (-first +second)\n%s", diff)
	}
}

// updateLine is the line of a comment that says what a case of net-update does.
var updateLine = regexp.MustCompile(`(?m)^update: (\S+) (\S+)(?: (-?\d+))?$`)

// edit is what a case of net-update does.
func (g *golden) edit(t *testing.T) (command xml.UpdateCommand, section xml.UpdateSection, parent int) {
	t.Helper()
	m := updateLine.FindStringSubmatch(string(g.archive.Comment))
	if m == nil {
		t.Fatalf("%s: the comment has no line \"update: COMMAND SECTION\"", g.path)
	}
	command, ok := xml.ParseUpdateCommand(m[1])
	section, known := xml.ParseUpdateSection(m[2])
	if !ok || !known {
		t.Fatalf("%s: there is no update %s %s", g.path, m[1], m[2])
	}
	parent = -1
	if m[3] != "" {
		parent, _ = strconv.Atoi(m[3]) // digits
	}
	return command, section, parent
}

// command puts a case's inputs behind the command.
func (g *golden) command(t *testing.T, command []string) []string {
	t.Helper()
	args := append([]string{}, command...)
	switch {
	case g.section("port.xml") != nil:
		return []string{"render", "port", g.input("port.xml")}
	case g.section("net.xml") != nil:
		command, section, parent := g.edit(t)
		args[1] = "update"
		return append(args, "--parent-index", strconv.Itoa(parent), g.input("net.xml"), command.String(), section.String(), g.input("update.xml"))
	}
	return append(args, g.input("in.xml"))
}

// run executes virbr, in this process, and returns what it prints and its
// complaint.
func run(args ...string) (out, complaint string) {
	var stdout, stderr bytes.Buffer
	code := cli.Run(context.Background(), "test", args, cli.IO{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	complaint = strings.TrimSuffix(stderr.String(), "\n")
	if code != 0 && complaint == "" {
		complaint = "virbr: exit status without a message"
	}
	return stdout.String(), complaint
}
