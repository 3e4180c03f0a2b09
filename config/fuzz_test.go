package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzRead: every file of settings is refused with a place in it, or gives
// settings that keep within their bounds.
func FuzzRead(f *testing.F) {
	f.Add([]byte("log_level = \"warn\"\ntimeout = 5\nprefix_pool = [ \"2001:db8:100::/56\" ]\nsubnet_pool = [ \"192.168.0.0/16\" ]\nraise_limits = 0\nhook_timeout = 5\nmetrics = \"127.0.0.1:9477\"\n"))
	f.Add([]byte("unix_sock_group = \"libvirt\"\nunix_sock_rw_perms = \"0770\"\nauth_unix_rw = \"polkit\"\nmax_clients = 5000\nlog_filters = \"1:network\"\nkeepalive_interval = -1\n"))
	f.Add([]byte("firewall_backend = \"nftables\"\n"))
	path := filepath.Join(f.TempDir(), "conf")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := ReadVirbrd(path, false)
		placed(t, err)
		if err == nil && (v.Timeout < 0 || v.Metrics.Path != "" && v.Metrics.TCP.IsValid() || v.Metrics.TCP.IsValid() && !v.Metrics.TCP.Addr().IsLoopback()) {
			t.Fatalf("%+v", v)
		}
		d, err := ReadDaemon(path, false, true)
		placed(t, err)
		if err == nil && (d.MaxClients < 1 || d.MaxAnonymous < 0 || d.MaxRequests < 1 || d.ReadWrite.Perms&^0o777 != 0 || d.ReadOnly.Perms&^0o777 != 0) {
			t.Fatalf("%+v", d)
		}
		_, err = ReadNetwork(path, false)
		placed(t, err)
	})
}

// placed wants an error to name the file.
func placed(t *testing.T, err error) {
	t.Helper()
	if err != nil && !strings.Contains(err.Error(), "conf") {
		t.Fatalf("an error without a place: %v", err)
	}
}
