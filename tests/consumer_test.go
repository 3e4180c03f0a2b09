package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

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

// TestCorpusSchema: every definition that is accepted, and its canonical form,
// fits the schema; xmllint, jing and our own validator agree.
func TestCorpusSchema(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "xmllint")
	netnstest.NeedProgram(t, "jing")
	own := schemas.New()
	files := map[string][]string{}
	for name, g := range corpus(t) {
		if g.section("error") != nil {
			continue
		}
		for _, f := range g.archive.Files {
			if !strings.HasSuffix(f.Name, ".xml") || f.Name == "update.xml" {
				continue
			}
			rng, validate := "network.rng", own.ValidateNetwork
			if g.section("port.xml") != nil {
				rng, validate = "networkport.rng", own.ValidatePort
			}
			if err := validate(f.Data); err != nil {
				t.Errorf("%s: %s: our validator: %v", name, f.Name, err)
			}
			path := filepath.Join(g.dir, name+"-"+f.Name)
			if err := os.WriteFile(path, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			files[rng] = append(files[rng], path)
		}
	}
	for rng, paths := range files {
		rng = filepath.Join("..", "schemas", rng)
		validator(t, append([]string{"xmllint", "--noout", "--relaxng", rng}, paths...))
		validator(t, append([]string{"jing", rng}, paths...))
	}
}

func validator(t *testing.T, args []string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", args[0], err, regexp.MustCompile(`(?m)^.* validates\n`).ReplaceAll(out, nil))
	}
}
