package client_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/rpc/ssh"
	"github.com/virbr/virbr/tests/daemontest"
)

func TestParseURI(t *testing.T) {
	t.Parallel()
	target := func(change func(*ssh.Target)) *ssh.Target {
		s := &ssh.Target{Host: "host", Proxy: ssh.Auto, URI: "network:///system"}
		change(s)
		return s
	}
	for _, tt := range []struct {
		in   string
		want client.URI
	}{
		{"network:///system", client.URI{Mode: client.ModeAuto}},
		{"qemu:///system?mode=legacy", client.URI{Mode: client.ModeLegacy}},
		{"QEMU+unix:///system?socket=/run/x&no_sanity=1", client.URI{Mode: client.ModeAuto, Socket: "/run/x"}},
		{"qemu+ssh://host/system", client.URI{Mode: client.ModeAuto, SSH: target(func(*ssh.Target) {})}},
		{"network+ssh://me@host:22/system?keyfile=/k&command=/c&no_verify=1&no_tty=2", client.URI{Mode: client.ModeAuto, SSH: target(func(s *ssh.Target) {
			s.User, s.Port, s.Keyfile, s.Command, s.NoVerify, s.NoTTY = "me", "22", "/k", "/c", true, true
		})}},
		{"qemu+ssh://host/system?netcat=ncat", client.URI{Mode: client.ModeAuto, SSH: target(func(s *ssh.Target) { s.Netcat, s.Proxy = "ncat", ssh.Netcat })}},
		{"qemu+ssh://host/system?socket=/run/x", client.URI{Mode: client.ModeAuto, Socket: "/run/x", SSH: target(func(s *ssh.Target) { s.Proxy = ssh.Netcat })}},
		{"lxc+ssh://dom%5Cme@[fe80::1%25eth0]/system", client.URI{Mode: client.ModeAuto, SSH: target(func(s *ssh.Target) { s.Host, s.User = "fe80::1%eth0", `dom\me` })}},
	} {
		got, err := client.ParseURI(tt.in, "", "")
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if diff := cmp.Diff(&tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.in, diff)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	t.Parallel()
	for in, why := range map[string]string{
		"":                                             "neither a URI",
		"host":                                         "nor an alias",
		"qemu:///session":                              "write network:///system",
		"test:///default":                              "write network:///system",
		"qemu://host/system":                           "write network+ssh://host/system",
		"qemu+tls://me@host/system":                    "not by tls: write network+ssh://me@host/system",
		"qemu+ssh:///system":                           "a host is missing",
		"qemu+ssh://me:secret@host/system":             "a password does not belong here",
		"qemu+ssh://-v/system":                         "not the name or address",
		"qemu+ssh://$(id)/system":                      "not the name or address",
		"qemu+ssh://h%24x/system":                      "is not a URI",
		"qemu+ssh://-l@host/system":                    "not the name of a user",
		"qemu+ssh://a%60b@host/system":                 "not the name of a user",
		"qemu+ssh://host/system?netcat=-e":             "not a program",
		"qemu+ssh://host/system?socket=run/x":          "not an absolute path",
		"qemu+ssh://host/system?socket=/x%0Ay":         "control character",
		"qemu+ssh://host/system?keyfil=/x":             "no parameter",
		"qemu+ssh://host/system?proxy=socks":           "none of",
		"qemu+ssh://host/system?no_tty=yes":            "0 or 1",
		"qemu+ssh://host/system?mode=%zz":              "invalid URL escape",
		"x+ssh://host/system?proxy=native":             "write network+ssh://host/system",
		"qemu+ssh://h/system?proxy=native&netcat=nc":   "netcat path not valid with native proxy mode",
		"qemu+ssh://h/system?proxy=native&mode=direct": "finds the socket itself",
	} {
		if got, err := client.ParseURI(in, "", ""); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q is not refused because of %q, but: %v, %v", in, why, err, got)
		}
	}
}

// TestElsewhere: files of another host are neither read nor written.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	r := daemontest.New(t)
	r.Define(t, lab, true)
	src := &client.Source{Dir: t.TempDir(), Elsewhere: "host"}
	if err := os.WriteFile(src.Path("lab"), []byte("<this would be refused"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := dial(t, daemontest.Relay(t, r.Socket, daemontest.Libvirt90))
	n, err := c.Lookup(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	web := client.Change{Forward: forward(t, "web1", 8080, 80)}
	if how, err := c.Edit(t.Context(), n, client.AffectLive|client.AffectConfig, web, src); err == nil || !strings.Contains(err.Error(), `files of "host"`) {
		t.Errorf("outcome %d, %v", how, err)
	}
	if entries, err := os.ReadDir(src.Dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}
