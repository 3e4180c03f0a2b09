package dnsmasq_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// texts are values of TXT records, and what a client gets: strings of one record,
// one after the other. libvirt hands values to dnsmasq as they are; the last ones it
// cannot start with, or loses the rest of.
var texts = []struct{ value, want string }{
	{"v=spf1 a mx ~all", "v=spf1 a mx ~all"},
	{"a,b", "ab"},
	{`"a, b"`, "a, b"},
	{`v=DMARC1; p=none, rua="x"`, "v=DMARC1; p=none rua=x"},
	{`"a\"b"`, `a"b`},
	{`a"b"c`, "abc"},
	{`c:\dir`, `c:\dir`},
	{`"a #b"`, "a #b"},
	{`a#b`, "a#b"},
	{`'a'/b`, "'a'/b"},
	{`5" disk`, `5" disk`},
	{`"a""b"`, `a"b"`},
	{`"`, `"`},
	{`a #b`, "a #b"},
	{`a "x"#y`, "a x#y"},
	{`"a`, `"a`},
	{`a,"b #c", #d`, "ab #c #d"},
	{strings.Repeat("x", 300), strings.Repeat("x", 300)},
}

// names are names that libvirt and dnsmasq take: in a hosts file a name answers
// to itself, in any place it is one field.
var names = []string{"plain", "a_b.example", ".lan.example", "a,b", `a"b`, "a/b", "a#b", "a;b", "$(a)", "a=b", "tail.", "#"}

// TestOddValues: a real dnsmasq starts with odd values and serves what they say.
func TestOddValues(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		def := parse(t, "<ip address='10.0.0.1' prefix='24'/>")
		def.Domain = xml.Domain{Name: ".corp/internal net", LocalOnly: xml.Yes}
		for i, text := range texts {
			def.DNS.TXT = append(def.DNS.TXT, xml.TXT{Name: fmt.Sprintf("t%d.example", i), Value: text.value})
		}
		addr := netip.MustParseAddr("10.0.0.9")
		for _, domain := range []string{".corp", "corp/internal", "*corp", "", "lab net", "_x"} {
			def.DNS.Forwarders = append(def.DNS.Forwarders, xml.Forwarder{Domain: domain, Addr: addr})
		}
		def.DNS.Hosts = []xml.DNSHost{{IP: addr, Hostnames: append([]string{"*.apps.example", "two words"}, names[:len(names)-1]...)}}
		for i, name := range names {
			if !strings.ContainsAny(name, `,"`) && name != "#" {
				def.DNS.SRV = append(def.DNS.SRV, xml.SRV{Service: fmt.Sprintf("s%d", i), Protocol: "tcp", Domain: name, Target: name, Port: 7})
			}
		}
		serve(t, def)
		r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", "127.0.0.1:5300")
		}}
		netnstest.Wait(t, "dnsmasq answers", func() error { _, err := r.LookupTXT(t.Context(), "t0.example."); return err })
		for i, text := range texts {
			got, err := r.LookupTXT(t.Context(), fmt.Sprintf("t%d.example.", i))
			if err != nil || strings.Join(got, "|") != text.want {
				t.Errorf("TXT value %q is served as %q (%v), want %q", text.value, got, err, text.want)
			}
		}
		for _, name := range []string{"plain.", "a_b.example.", "two.", "words."} {
			got, err := r.LookupNetIP(t.Context(), "ip4", name)
			if err != nil || !slices.Equal(got, []netip.Addr{addr}) {
				t.Errorf("%s is %v (%v)", name, got, err)
			}
		}
		var missing *net.DNSError
		if got, err := r.LookupNetIP(t.Context(), "ip4", "x.apps.example."); !errors.As(err, &missing) {
			t.Errorf("*.apps answers for x.apps: %v (%v)", got, err)
		}
	})
}

// serve runs dnsmasq with a network's files on the loopback device.
func serve(t *testing.T, def *xml.Network) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := t.TempDir()
	dirs := dnsmasq.Dirs{Run: dir, Dnsmasq: dir}
	files, err := dnsmasq.Compile(def, dirs)
	if err != nil {
		t.Fatal(err)
	}
	conf := strings.NewReplacer("except-interface=lo\n", "", "interface="+def.Bridge.Name+"\n", "interface=lo\n").Replace(files.Conf) +
		"port=5300\nuser=root\ngroup=root\nno-hosts\nno-resolv\n"
	for path, text := range map[string]string{
		dirs.Conf(def.Name): conf, dirs.Hosts(def.Name): files.Hosts, dirs.AddnHosts(def.Name): files.AddnHosts,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "dnsmasq", "--conf-file="+filepath.Join(dir, filepath.Base(dirs.Conf(def.Name))), "--leasefile-ro")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, conf)
	}
	stop(t, dirs.PidFile(def.Name))
}

// TestNamesOfStaticHosts: a name that dnsmasq would take for something else, or
// would drop the whole line for, does not cost a guest its address.
func TestNamesOfStaticHosts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ attributes, want string }{
		{"mac='52:54:00:00:00:01' name='web_1' ip='10.0.0.2'", "52:54:00:00:00:01,10.0.0.2,web_1\n"},
		{"mac='52:54:00:00:00:01 ' name='a.b_c' ip='10.0.0.2'", "52:54:00:00:00:01,10.0.0.2,a.b_c\n"},
		{"mac='52:54:00:00:00:01' name='ignore' ip='10.0.0.2'", "52:54:00:00:00:01,10.0.0.2\n"},
		{"mac='52:54:00:00:00:01' name='infinite' ip='10.0.0.2'", "52:54:00:00:00:01,10.0.0.2\n"},
		{"mac='52:54:00:00:00:01' name='12' ip='10.0.0.2'", "52:54:00:00:00:01,10.0.0.2\n"},
		{"mac='52:54:00:00:00:01' name='2h' ip='10.0.0.2'", "52:54:00:00:00:01,10.0.0.2\n"},
		{"mac='52:54:00:00:00:01' name='10.0.0.3' ip='10.0.0.2'", "52:54:00:00:00:01,10.0.0.2\n"},
		{"mac='52:54:00:00:00:01' name='dr\u00fccker' ip='10.0.0.2'", "52:54:00:00:00:01,10.0.0.2\n"},
		{"mac='52:54:00:00:00:01' name='a b' ip='10.0.0.2'", "52:54:00:00:00:01,10.0.0.2\n"},
		{"name='a' ip='10.0.0.2'", "a,10.0.0.2\n"},
		{"name='12' ip='10.0.0.2'", ""},
	} {
		def := parse(t, "<ip address='10.0.0.1' prefix='24'><dhcp><host "+tt.attributes+"/></dhcp></ip>")
		files, err := dnsmasq.Compile(def, places)
		if err != nil || files.Hosts != tt.want {
			t.Errorf("%s: %v\n%swant\n%s", tt.attributes, err, files.Hosts, tt.want)
		}
	}
}
