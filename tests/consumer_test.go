package tests

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/schemas"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestCorpusDnsmasq: dnsmasq itself takes every configuration, and every line
// of the hosts files.
func TestCorpusDnsmasq(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	n := 0
	for name, g := range corpus(t) {
		f := g.section("dnsmasq.conf")
		if f == nil {
			continue
		}
		n++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := append([]byte{}, f.Data...)
			if hosts := g.section("hosts"); hosts != nil {
				// --test does not read hosts files; the same line is an option, too.
				conf = append(conf, line.ReplaceAll(hosts.Data, []byte("dhcp-host=$0"))...)
			}
			path := filepath.Join(t.TempDir(), "dnsmasq.conf")
			if err := os.WriteFile(path, conf, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), "dnsmasq", "--test", "-C", path).CombinedOutput(); err != nil {
				t.Errorf("dnsmasq --test: %v\n%s", err, out)
			}
		})
	}
	if n == 0 {
		t.Error("no case has a dnsmasq.conf")
	}
}

// line matches a line that is not empty.
var line = regexp.MustCompile(`(?m)^.+$`)

// TestCorpusRulesets: nft itself takes every ruleset.
func TestCorpusRulesets(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	cases := corpus(t)
	netnstest.Run(t, func(t *testing.T) {
		n := 0
		for name, g := range cases {
			f := g.section("ruleset.nft")
			if f == nil || len(f.Data) == 0 {
				continue
			}
			n++
			t.Run(name, func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), "nft", "-c", "-f", "-")
				cmd.Stdin = bytes.NewReader(f.Data)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("nft -c: %v\n%s", err, out)
				}
			})
		}
		if n == 0 {
			t.Error("no case has a ruleset.nft")
		}
	})
}

// looserLine is the line of a comment that names the sections that do not fit
// the schema: libvirt's parser, and so ours, takes more than that describes.
var looserLine = regexp.MustCompile(`(?m)^outside the schema: (.*)$`)

// TestCorpusSchema: what is accepted, and its canonical form, fits the schema
// unless the case says that it does not; xmllint, jing and our own validator
// agree on each document.
func TestCorpusSchema(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "xmllint", "jing")
	own := schemas.New()
	for rng, validate := range map[string]func([]byte) error{"network.rng": own.ValidateNetwork, "networkport.rng": own.ValidatePort} {
		t.Run(rng, func(t *testing.T) {
			t.Parallel()
			docs := documents(t, rng == "networkport.rng")
			paths := slices.Sorted(maps.Keys(docs))
			rng := filepath.Join("..", "schemas", rng)
			xmllint := complaints(t, `(?m)^(.*) fails to validate$`, append([]string{"xmllint", "--noout", "--relaxng", rng}, paths...))
			jing := complaints(t, `(?m)^(/[^:\n]*):\d+:\d+: (?:fatal|error)`, append([]string{"jing", rng}, paths...))
			for _, path := range paths {
				doc := docs[path]
				err := validate(doc.data)
				got := map[string]bool{"virbr": err == nil, "xmllint": !xmllint[path], "jing": !jing[path]}
				want := map[string]bool{"virbr": doc.fits, "xmllint": doc.fits, "jing": doc.fits}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: who accepts it (-want +got)\n%s%v", doc.name, diff, err)
				}
			}
		})
	}
}

// schemaDoc is one document of the corpus.
type schemaDoc struct {
	name string
	data []byte
	fits bool // the case does not say that the schema refuses it
}

// documents writes the accepted networks, or ports, to files.
func documents(t *testing.T, ports bool) map[string]schemaDoc {
	t.Helper()
	docs := map[string]schemaDoc{}
	for name, g := range corpus(t) {
		if g.section("error") != nil || (g.section("port.xml") != nil) != ports {
			continue
		}
		var outside []string
		if m := looserLine.FindSubmatch(g.archive.Comment); m != nil {
			outside = strings.Fields(string(m[1]))
		}
		for _, f := range g.archive.Files {
			if !strings.HasSuffix(f.Name, ".xml") || f.Name == "update.xml" {
				continue
			}
			path := filepath.Join(g.dir, name+"-"+f.Name)
			if err := os.WriteFile(path, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			docs[path] = schemaDoc{name + "/" + f.Name, f.Data, !slices.Contains(outside, f.Name)}
		}
	}
	return docs
}

// complaints runs a validator over many files and returns those that it
// complains about, by its output.
func complaints(t *testing.T, pattern string, args []string) map[string]bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	refused := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(out, -1) {
		refused[string(m[1])] = true
	}
	if (err != nil) != (len(refused) > 0) {
		t.Fatalf("%s: %v\n%s", args[0], err, out)
	}
	return refused
}
