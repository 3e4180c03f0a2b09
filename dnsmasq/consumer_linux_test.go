package dnsmasq_test

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// TestGoldensMeetDnsmasq: the real dnsmasq accepts every configuration of the
// corpus, as compiled now.
func TestGoldensMeetDnsmasq(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	cases, err := filepath.Glob("../tests/corpus/conf-*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			def, err := xml.ParseNetwork(archive.Files[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			if !dnsmasq.Wanted(def) {
				return // its golden has a plan only
			}
			files, err := dnsmasq.Compile(def, places)
			if err != nil {
				t.Fatal(err)
			}
			checkSyntax(t, files.Conf)
		})
	}
}

func checkSyntax(t *testing.T, conf string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "dnsmasq", "--test", "--conf-file="+path).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s\n%s", err, out, conf)
	}
}

// TestQuotedPaths: a real dnsmasq writes and reads the files that were meant,
// however their names look to its parser.
func TestQuotedPaths(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), `odd, "dir" \n #1`)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		dirs := dnsmasq.Dirs{Run: dir, Dnsmasq: dir}
		def := parse(t, "<ip address='10.0.0.1' prefix='24'><dhcp><host mac='52:54:00:00:00:01' ip='10.0.0.2'/></dhcp></ip>")
		def.Name = `my #1 "net", \ & more`
		def.DNS.Hosts = []xml.DNSHost{{IP: netip.MustParseAddr("10.0.0.9"), Hostnames: []string{"nine"}}}
		def.DnsmasqOptions = []string{"user=root", "group=root", "log-facility=/run/dnsmasq.log"}
		files, err := dnsmasq.Compile(def, dirs)
		if err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string]string{
			dirs.Conf(def.Name): files.Conf, dirs.Hosts(def.Name): files.Hosts, dirs.AddnHosts(def.Name): files.AddnHosts,
		} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "dnsmasq", "--conf-file="+dirs.Conf(def.Name), "--leasefile-ro")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, files.Conf)
		}
		stop(t, dirs.PidFile(def.Name))
		netnstest.Wait(t, "dnsmasq reads its hosts files", func() error { return logged("/run/dnsmasq.log", dirs.Hosts(def.Name), dirs.AddnHosts(def.Name)) })
	})
}

// stop ends the dnsmasq of a pid file, which must be there, with the test.
func stop(t *testing.T, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGTERM) })
}

func logged(log string, paths ...string) error {
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if !strings.Contains(string(text), "read "+path) {
			return &os.PathError{Op: "not read by dnsmasq", Path: path, Err: os.ErrNotExist}
		}
	}
	return nil
}
