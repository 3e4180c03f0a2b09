package config

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// write puts text into a file of its own and returns the path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadDaemon(t *testing.T) {
	t.Parallel()
	with := func(change func(*Daemon)) *Daemon {
		d := defaultDaemon()
		change(d)
		return d
	}
	asked := with(func(d *Daemon) {
		d.ReadWrite, d.ReadOnly = Socket{0o777, AuthPolkit, false}, Socket{0o777, AuthPolkit, false}
	})
	tests := []struct {
		name, in string
		polkit   bool
		want     *Daemon
	}{
		{"nothing configured on a host with polkit", "", true, asked},
		{"polkit switched off", "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"", true,
			with(func(d *Daemon) { d.ReadWrite.Chosen, d.ReadOnly.Chosen = true, true })},
		{"nothing configured: root alone", "", false, defaultDaemon()},
		{"keys without a meaning here", "listen_tls = 0\ntls_port = \"16514\"\nprio_workers = 5\nadmin_max_clients = 5\nhost_uuid = \"x\"", false, defaultDaemon()},
		{"polkit opens the socket", `auth_unix_rw = "polkit"`, false, with(func(d *Daemon) { d.ReadWrite = Socket{0o777, AuthPolkit, true} })},
		{"polkit with permissions", "auth_unix_ro = \"polkit\"\nunix_sock_ro_perms = \"0750\"", false,
			with(func(d *Daemon) { d.ReadOnly = Socket{0o750, AuthPolkit, true} })},
		{"none stays closed", `auth_unix_rw = "none"`, false, with(func(d *Daemon) { d.ReadWrite.Chosen = true })},
		{"group", "unix_sock_group = \"libvirt\"\nunix_sock_rw_perms = \"0770\"\nunix_sock_ro_perms = \"0770\"", false, with(func(d *Daemon) {
			d.Group, d.ReadWrite.Perms, d.ReadOnly.Perms = "libvirt", 0o770, 0o770
		})},
		{"group without permissions", "unix_sock_group = \"libvirt\"\nunix_sock_ro_perms = \"0777\"", false, with(func(d *Daemon) {
			d.Group, d.ReadOnly.Perms = "libvirt", 0o777
			d.Warnings = []string{`unix_sock_group has no effect on a socket of mode 0700: set unix_sock_rw_perms to "0770"`}
		})},
		{"open to all", `unix_sock_rw_perms = "0777"`, false, with(func(d *Daemon) {
			d.ReadWrite.Perms = 0o777
			d.Warnings = []string{"every local user may change networks: unix_sock_rw_perms is open to all and auth_unix_rw is none"}
		})},
		{"limits", "max_clients = 7\nmax_queued_clients = 8\nmax_anonymous_clients = 0\nmax_client_requests = 9\nkeepalive_interval = -1\nkeepalive_count = 3", false,
			with(func(d *Daemon) {
				d.MaxClients, d.Backlog, d.MaxAnonymous, d.MaxRequests = 7, 8, 0, 9
				d.KeepaliveInterval, d.KeepaliveCount = -time.Second, 3
			})},
		{"the rest", "unix_sock_dir = \"/run/x\"\naccess_drivers = [ \"polkit\" ]\nlog_level = 1", false, with(func(d *Daemon) {
			d.SocketDir, d.AccessDrivers, d.AccessChosen, d.LogLevel = "/run/x", []string{"polkit"}, true, slog.LevelDebug
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadDaemon(write(t, tt.in), false, tt.polkit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	daemon := func(path string) error { _, err := ReadDaemon(path, false, false); return err }
	network := func(path string) error { _, err := ReadNetwork(path, false); return err }
	virbrd := func(path string) error { _, err := ReadVirbrd(path, false); return err }
	tests := []struct {
		name string
		read func(string) error
		in   string
		want string // with t.conf for the file's path
	}{
		{"every error at once", daemon, "max_clients = \"5\"\nkeepalive_count = -1\n",
			"t.conf:1: max_clients: a number was wanted, this is a string in quotes\nt.conf:2: keepalive_count: -1 is not within 0 and 32767"},
		{"authentication", daemon, `auth_unix_rw = "kerberos"`, `t.conf:1: auth_unix_rw: "kerberos" is neither "polkit" nor "none"`},
		{"empty authentication", daemon, `auth_unix_ro = ""`, `t.conf:1: auth_unix_ro: "" is neither "polkit" nor "none"`},
		{"sasl", daemon, `auth_unix_rw = "sasl"`, `t.conf:1: auth_unix_rw: virbrd has no SASL; use "polkit" or "none"`},
		{"permissions in decimal", daemon, `unix_sock_rw_perms = 0770`, `t.conf:1: unix_sock_rw_perms: a string in quotes was wanted, this is a number`},
		{"permissions not octal", daemon, `unix_sock_rw_perms = "0999"`, `t.conf:1: unix_sock_rw_perms: "0999" is not a set of permissions such as "0770"`},
		{"permissions with set-uid", daemon, `unix_sock_ro_perms = "4777"`, `t.conf:1: unix_sock_ro_perms: "4777" is not a set of permissions such as "0770"`},
		{"relative directory", daemon, `unix_sock_dir = "run"`, `t.conf:1: unix_sock_dir: "run" is not an absolute path`},
		{"access driver", daemon, `access_drivers = [ "selinux" ]`, `t.conf:1: access_drivers: there is no access driver "selinux"; known is "polkit"`},
		{"no list", daemon, `access_drivers = "polkit"`, `t.conf:1: access_drivers: a list of strings was wanted, this is a string in quotes`},
		{"no clients", daemon, "max_clients = 0", "t.conf:1: max_clients: 0 is not within 1 and 2147483647"},
		{"backend", network, `firewall_backend = "pf"`, `t.conf:1: firewall_backend: unrecognized firewall_backend = 'pf'; known are "nftables" and "none"`},
		{"typing error", virbrd, "\nlog_levl = \"debug\"", "t.conf:2: log_levl: unknown key; did you mean log_level?"},
		{"unknown", virbrd, "colour = \"blue\"", "t.conf:1: colour: unknown key; known are log_level, timeout, prefix_pool, subnet_pool, raise_limits, hook_timeout, metrics, libvirtd_module, apply"},
		{"neither yes nor no", virbrd, "raise_limits = 2", "t.conf:1: raise_limits: 2 is not within 0 and 1"},
		{"module", virbrd, `libvirtd_module = "off"`, `t.conf:1: libvirtd_module: "off" is neither "enabled" nor "disabled"`},
		{"metrics for others", virbrd, `metrics = "0.0.0.0:9477"`, "t.conf:1: metrics: 0.0.0.0 is not a loopback address: metrics are not served to other hosts; have a proxy in front that knows who asks"},
		{"metrics for a neighbour", virbrd, `metrics = "[fe80::1%lo]:9477"`, "t.conf:1: metrics: fe80::1%lo is not a loopback address: metrics are not served to other hosts; have a proxy in front that knows who asks"},
		{"metrics by name", virbrd, `metrics = "localhost:9477"`, `t.conf:1: metrics: "localhost:9477" is neither "unix:/path" nor an address and port such as "127.0.0.1:9477"`},
		{"metrics on any port", virbrd, `metrics = "127.0.0.1:0"`, `t.conf:1: metrics: "127.0.0.1:0" is neither "unix:/path" nor an address and port such as "127.0.0.1:9477"`},
		{"metrics anywhere", virbrd, `metrics = "unix:metrics.sock"`, `t.conf:1: metrics: "metrics.sock" is not the absolute path of a socket, of 107 bytes at most`},
		{"libvirt's key", virbrd, "max_clients = 5", "t.conf:1: max_clients: this key belongs into virtnetworkd.conf"},
		{"level", virbrd, `log_level = "loud"`, `t.conf:1: log_level: there is no log level "loud"; known are debug, info, warn and error`},
		{"an uplink of no name", virbrd, `prefix_pool = [ "delegated:" ]`, `t.conf:1: prefix_pool: "delegated:" is not delegated:LINK, or an IPv6 prefix of 16 to 64 bits for guests, such as 2001:db8:100::/56`},
		{"an uplink that is a path", virbrd, `prefix_pool = [ "delegated:a/b" ]`, `t.conf:1: prefix_pool: "delegated:a/b" is not delegated:LINK, or an IPv6 prefix of 16 to 64 bits for guests, such as 2001:db8:100::/56`},
		{"timeout", virbrd, "timeout = -5", "t.conf:1: timeout: -5 is not within 0 and 31536000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, tt.in)
			err := tt.read(path)
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tt.want, strings.ReplaceAll(err.Error(), path, "t.conf")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestReadNetwork(t *testing.T) {
	t.Parallel()
	iptables := []string{`firewall_backend = "iptables": virbr makes its rules with nftables, in table inet virbr`}
	tests := []struct {
		in   string
		want Network
	}{
		{"", Network{}},
		{`firewall_backend = "nftables"`, Network{}},
		{`firewall_backend = "none"`, Network{Backend: BackendNone}},
		{`firewall_backend = "iptables"`, Network{Warnings: iptables}},
		{"later_key = 1", Network{}},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			got, err := ReadNetwork(write(t, tt.in), false)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestReadVirbrd(t *testing.T) {
	t.Parallel()
	got, err := ReadVirbrd(write(t, "log_level = \"warn\"\ntimeout = 120\n"), false)
	if err != nil {
		t.Fatal(err)
	}
	warn := slog.LevelWarn
	if diff := cmp.Diff(&Virbrd{LogLevel: &warn, Timeout: 2 * time.Minute, HookTimeout: time.Minute}, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for text, want := range map[string]Address{
		"": {}, "unix:/run/m.sock": {Path: "/run/m.sock"},
		"127.0.0.1:9477": {TCP: netip.MustParseAddrPort("127.0.0.1:9477")},
		"[::1]:80":       {TCP: netip.MustParseAddrPort("[::1]:80")},
	} {
		got, err := ReadVirbrd(write(t, "raise_limits = 0\nhook_timeout = 0\napply = \"live\"\nmetrics = \""+text+"\"\n"), false)
		if err != nil || got.Metrics != want || !got.KeepLimits || !got.ApplyLive || got.HookTimeout != 0 {
			t.Errorf("metrics = %q: %+v, %v", text, got, err)
		}
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none.conf")
	if d, err := ReadDaemon(path, true, false); err != nil || d.MaxClients != 5000 {
		t.Errorf("optional: %+v, %v", d, err)
	}
	if _, err := ReadDaemon(path, false, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("required: %v, want fs.ErrNotExist", err)
	}
	if _, err := ReadDaemon(t.TempDir(), true, false); err == nil {
		t.Error("a directory was accepted")
	}
}

// TestPackagedFile: every key of the file that packages install is known, and
// its default is what the file says.
func TestPackagedFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../packaging/virbrd.conf")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadVirbrd(write(t, regexp.MustCompile(`(?m)^#([a-z_]+ =)`).ReplaceAllString(string(text), "$1")), false)
	if err != nil {
		t.Fatal(err)
	}
	info := slog.LevelInfo
	want := &Virbrd{LogLevel: &info, HookTimeout: time.Minute, Metrics: Address{Path: "/run/virbr/metrics.sock"}, PrefixPool: []netip.Prefix{netip.MustParsePrefix("2001:db8:100::/56")},
		Delegated: []Delegated{{Link: "eth0"}}}
	for _, p := range []string{"192.168.122.0/24", "192.168.123.0/24", "192.168.124.0/22", "192.168.128.0/17", "10.122.0.0/16"} {
		want.SubnetPool = append(want.SubnetPool, netip.MustParsePrefix(p))
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestAdoptAccess: access_drivers of libvirtd.conf hold, unless virtnetworkd.conf
// says otherwise in words.
func TestAdoptAccess(t *testing.T) {
	t.Parallel()
	theirs := write(t, "max_clients = 7\naccess_drivers = [ \"polkit\" ]\n")
	for text, want := range map[string]int{"": 1, "access_drivers = []": 0, "access_drivers = [ \"polkit\" ]": 1} {
		d, err := ReadDaemon(write(t, text), false, false)
		if err == nil {
			err = d.AdoptAccess(theirs)
		}
		if err != nil || len(d.AccessDrivers) != want || d.MaxClients == 7 {
			t.Errorf("%q: %v, %+v", text, err, d)
		}
	}
	d := &Daemon{}
	if err := d.AdoptAccess(filepath.Join(t.TempDir(), "libvirtd.conf")); err != nil || len(d.AccessDrivers) != 0 {
		t.Errorf("no such file: %v, %q", err, d.AccessDrivers)
	}
	if err := d.AdoptAccess(write(t, `access_drivers = [ "selinux" ]`)); err == nil {
		t.Error("a driver that is not known is taken for none")
	}
}

func TestReadClient(t *testing.T) {
	t.Parallel()
	got, err := ReadClient(write(t, "uri_aliases = [ \"a-1=qemu+ssh://root@a/system?x=y\", \"a-1=second\" ]\nuri_default = \"qemu:///system\"\nremote_mode = \"direct\"\nremote_proxy = \"netcat\"\nother = 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Client{Aliases: map[string]string{"a-1": "qemu+ssh://root@a/system?x=y"}, Default: "qemu:///system", Mode: "direct", Proxy: "netcat"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := ReadClient(write(t, "uri_aliases = [\n  \"no sign\",\n  \"a.b=qemu:///system\" ]\nuri_default = 1\n")); err == nil ||
		!strings.Contains(err.Error(), "expected 'alias=uri://host/path'") || !strings.Contains(err.Error(), "aliases may only contain") || !strings.Contains(err.Error(), "a string in quotes was wanted") {
		t.Errorf("%v", err)
	}
	if got, err := ReadClient(filepath.Join(t.TempDir(), "none")); err != nil || len(got.Aliases) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}
