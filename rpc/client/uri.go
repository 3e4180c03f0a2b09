package client

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/virbr/virbr/rpc/ssh"
)

// URI is which host's networks are meant, and by what way: what a connection URI of
// libvirt says. The zero URI is this host.
type URI struct {
	Socket string      // where the daemon listens; "": the first of Sockets that answers
	Mode   Mode        // which of these
	SSH    *ssh.Target // another host, by ssh; nil: this one
}

// Mode says which daemons are asked, with libvirt's words.
type Mode string

// The modes.
const (
	ModeAuto   Mode = "auto"   // virbrd or virtnetworkd, else libvirtd
	ModeDirect Mode = "direct" // virbrd or virtnetworkd
	ModeLegacy Mode = "legacy" // libvirtd
)

// drivers are those of libvirt that share the networks of a host, which are
// [proto]'s network:///system.
var drivers = []string{"network", "qemu", "lxc", "xen", "ch", "bhyve", "vz"}

// idle are parameters that libvirt knows, and that say nothing about this way.
var idle = []string{"name", "auth", "sshauth", "known_hosts", "known_hosts_verify", "tls_priority", "pkipath", "no_sanity", "debug"}

// ParseURI reads a connection URI of libvirt, https://libvirt.org/uri.html. The
// parameters mode and proxy that it does not have are those of defaults.
func ParseURI(text string, mode Mode, proxy ssh.Proxy) (*URI, error) {
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a URI such as qemu+ssh://root@host/system: %w", text, err.(*url.Error).Err)
	}
	driver, transport, _ := strings.Cut(strings.ToLower(parsed.Scheme), "+")
	switch {
	case driver == "":
		return nil, fmt.Errorf("%q is neither a URI such as qemu+ssh://root@host/system nor an alias in libvirt.conf", text)
	case !slices.Contains(drivers, driver), parsed.Path != "/system", parsed.Opaque != "":
		return nil, fmt.Errorf("URI %q: virbr knows the networks of a host, not those of a session or of other drivers: write %s", text, instead(parsed, transport))
	}
	u := &URI{Mode: cmp.Or(mode, ModeAuto), SSH: &ssh.Target{Proxy: cmp.Or(proxy, ssh.Auto)}}
	if err := u.parameters(parsed.RawQuery); err != nil {
		return nil, fmt.Errorf("URI %q: %w", text, err)
	}
	switch transport {
	case "", "unix":
		if parsed.Host != "" {
			return nil, fmt.Errorf("URI %q: virbr reaches other hosts by ssh: write %s", text, instead(parsed, "ssh"))
		}
		u.SSH = nil
	case "ssh":
		if err := u.bySSH(parsed); err != nil {
			return nil, fmt.Errorf("URI %q: %w", text, err)
		}
	default:
		return nil, fmt.Errorf("URI %q: virbr reaches other hosts by ssh, not by %s: write %s", text, transport, instead(parsed, "ssh"))
	}
	return u, nil
}

// instead is the URI that would do.
func instead(u *url.URL, transport string) string {
	better := url.URL{Scheme: "network", Host: u.Host, User: u.User, Path: "/system"}
	if u.Host != "" && transport == "" {
		transport = "ssh"
	}
	if transport != "" {
		better.Scheme += "+" + transport
	}
	return better.String()
}

// parameters takes those of the query.
func (u *URI) parameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	for key, all := range values {
		value, t := all[len(all)-1], u.SSH
		switch key {
		case "socket":
			u.Socket, err = value, absolute(key, value)
		case "mode":
			u.Mode, err = oneOf(key, Mode(value), ModeAuto, ModeDirect, ModeLegacy)
		case "proxy":
			t.Proxy, err = oneOf(key, ssh.Proxy(value), ssh.Auto, ssh.Native, ssh.Netcat)
		case "command":
			t.Command = value
		case "keyfile":
			t.Keyfile = value
		case "netcat":
			t.Netcat = value
		case "no_verify":
			t.NoVerify, err = number(key, value)
		case "no_tty":
			t.NoTTY, err = number(key, value)
		default:
			if !slices.Contains(idle, key) {
				err = fmt.Errorf("there is no parameter %q", key)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func absolute(key, value string) error {
	if !filepath.IsAbs(value) {
		return fmt.Errorf("%s %q is not an absolute path", key, value)
	}
	return nil
}

// number reads a number that is 0 or not, as libvirt has its switches.
func number(key, value string) (bool, error) {
	n, err := strconv.Atoi(value)
	if err != nil {
		return false, fmt.Errorf("%s %q is not a number: 0 or 1", key, value)
	}
	return n != 0, nil
}

func oneOf[T ~string](key string, value T, known ...T) (T, error) {
	if !slices.Contains(known, value) {
		return value, fmt.Errorf("%s %q is none of %q", key, value, known)
	}
	return value, nil
}

// bySSH works out how the other host's daemon is reached. Only netcat can be told
// which socket; virt-ssh-helper finds virtnetworkd's, else libvirtd's.
func (u *URI) bySSH(parsed *url.URL) error {
	t := u.SSH
	t.Host, t.Port, t.User, t.URI = parsed.Hostname(), parsed.Port(), parsed.User.Username(), uri
	if _, set := parsed.User.Password(); set {
		return fmt.Errorf("a password does not belong here, where others can see it: ssh asks for it")
	}
	chosen := u.Socket != "" || u.Mode != ModeAuto
	switch {
	case t.Proxy == ssh.Native && t.Netcat != "":
		return fmt.Errorf("netcat path not valid with native proxy mode")
	case t.Proxy == ssh.Native && chosen:
		return fmt.Errorf("virt-ssh-helper finds the socket itself: proxy=native goes with neither socket nor mode")
	case t.Proxy == ssh.Auto && (chosen || t.Netcat != ""):
		t.Proxy = ssh.Netcat
	}
	return u.target(false).Check()
}

// runDir is where daemons listen: libvirt's own clients say /var/run to others, since
// not every host has /run.
const runDir = "/var/run/libvirt"

// target is how another host is reached for one connection.
func (u *URI) target(readOnly bool) *ssh.Target {
	t := *u.SSH
	if u.Socket != "" {
		t.Sockets = []string{u.Socket}
		return &t
	}
	for _, name := range Sockets(u.Mode, readOnly) {
		t.Sockets = append(t.Sockets, filepath.Join(runDir, name))
	}
	return &t
}
