package config

import (
	"log/slog"
	"time"
)

// Virbrd is virbrd.conf: what libvirt's files have no key for. Command-line
// flags override it.
type Virbrd struct {
	// LogLevel replaces virtnetworkd.conf's; nil: not given.
	LogLevel *slog.Level
	// Timeout ends an idle daemon without clients and active networks;
	// 0: never.
	Timeout time.Duration
}

// ReadVirbrd reads virbrd.conf. With optional a missing file means defaults.
// Unknown keys are errors: the file is ours alone.
func ReadVirbrd(path string, optional bool) (*Virbrd, error) {
	k, err := open(path, optional)
	if err != nil {
		return nil, err
	}
	v := &Virbrd{}
	var word string
	if line, ok := k.text("log_level", &word); ok {
		level, err := ParseLevel(word)
		if err != nil {
			k.refuse(line, "log_level", "%v", err)
		}
		v.LogLevel = &level
	}
	k.seconds("timeout", &v.Timeout, 0, 365*24*60*60)
	k.refuseUnknown(foreign())
	if err := k.err(); err != nil {
		return nil, err
	}
	return v, nil
}

// foreign names the file of each key that people may look for in ours.
func foreign() map[string]string {
	files := map[string]string{"firewall_backend": "network.conf"}
	for _, key := range []string{
		"unix_sock_group", "unix_sock_dir", "unix_sock_rw_perms", "unix_sock_ro_perms", "auth_unix_rw", "auth_unix_ro",
		"access_drivers", "max_clients", "max_queued_clients", "max_anonymous_clients", "max_client_requests",
		"keepalive_interval", "keepalive_count",
	} {
		files[key] = "virtnetworkd.conf"
	}
	return files
}
