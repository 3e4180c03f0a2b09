package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/config"
)

// parse reads a command line and the configuration that it leads to.
func parse(t *testing.T, args ...string) (*options, *settings, error) {
	t.Helper()
	var got *options
	var cfg *settings
	root := newRoot(func(_ context.Context, o *options) (err error) {
		got = o
		cfg, err = o.settings(false)
		return err
	})
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return got, cfg, err
}

// files writes configuration files and returns their directory.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSettings(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"daemon.conf": "log_level = 4\nunix_sock_dir = \"/run/elsewhere\"\n",
		"own.conf":    "log_level = \"warn\"\ntimeout = 60\n",
		"empty.conf":  "",
	})
	empty := []string{"--config", dir + "/empty.conf", "--network-config", dir + "/empty.conf", "--virbrd-config", dir + "/empty.conf"}
	full := []string{"--config", dir + "/daemon.conf", "--network-config", dir + "/empty.conf", "--virbrd-config", dir + "/own.conf"}
	type result struct {
		Level     slog.Level
		Timeout   time.Duration
		SocketDir string
	}
	tests := []struct {
		name string
		args []string
		want result
	}{
		{"nothing given", empty, result{slog.LevelInfo, 0, "/run/libvirt"}},
		{"our file overrides libvirt's", full, result{slog.LevelWarn, time.Minute, "/run/elsewhere"}},
		{"flags override files", append([]string{"-v", "-t", "0", "--socket-dir", "/run/x"}, full...), result{slog.LevelDebug, 0, "/run/x"}},
		{"level by word", append([]string{"--log-level", "error", "--timeout", "5"}, empty...), result{slog.LevelError, 5 * time.Second, "/run/libvirt"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, cfg, err := parse(t, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, result{cfg.daemon.LogLevel, cfg.timeout, cfg.daemon.SocketDir}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestSettingsRefuse(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"daemon.conf":  "max_clients = \"5\"\n",
		"network.conf": "firewall_backend = \"pf\"\n",
		"own.conf":     "max_clients = 5\n",
	})
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"--config", dir + "/daemon.conf"}, "daemon.conf:1: max_clients: a number was wanted"},
		{[]string{"--network-config", dir + "/network.conf"}, "network.conf:1: firewall_backend: unrecognized"},
		{[]string{"--virbrd-config", dir + "/own.conf"}, "own.conf:1: max_clients: this key belongs into virtnetworkd.conf"},
		{[]string{"--config", dir + "/missing.conf"}, "missing.conf: no such file or directory"},
		{[]string{"--log-level", "loud"}, `--log-level: there is no log level "loud"`},
		{[]string{"--timeout", "soon"}, "invalid argument"},
		{[]string{"start"}, `unknown command "start"`},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			if _, _, err := parse(t, tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestDirectories(t *testing.T) {
	t.Parallel()
	o, _, err := parse(t, "--config-dir", "/a", "--state-dir", "/b", "--dnsmasq-dir", "/c", "--hooks-dir", "/d", "--run-dir", "/e", "-p", "/f")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{o.dirs.Config, o.dirs.State, o.dirs.Dnsmasq, o.dirs.Hooks, o.dirs.Own, o.pidFile}
	if diff := cmp.Diff([]string{"/a", "/b", "/c", "/d", "/e", "/f"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestLimits: as many connections as configured, where there are file descriptors
// for them and for the daemon's own work.
func TestLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ clients, queued, files, wantClients, wantQueued int }{
		{5000, 1000, 8192, 5000, 1000}, // LimitNOFILE= of virbrd.service
		{5000, 1000, 1024, 576, 192},
		{500, 1000, 1024, 500, 192},
		{5000, 10, 1024, 758, 10},
		{20, 10, 40, 20, 10},
		{25, 10, 40, 23, 7},
		{5000, 1000, 0, 2, 0},
	} {
		var log strings.Builder
		got := limits(&config.Daemon{MaxClients: tt.clients, Backlog: tt.queued}, tt.files, slog.New(slog.NewTextHandler(&log, nil)))
		if got.MaxClients != tt.wantClients || got.MaxQueuedClients != tt.wantQueued {
			t.Errorf("%+v: %d clients, %d that wait", tt, got.MaxClients, got.MaxQueuedClients)
		}
		if warned := strings.Contains(log.String(), "RLIMIT_NOFILE"); warned != (tt.wantClients < tt.clients) {
			t.Errorf("%+v: logged %q", tt, &log)
		}
	}
}
