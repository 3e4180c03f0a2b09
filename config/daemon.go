package config

import (
	"io/fs"
	"log/slog"
	"math"
	"time"
)

// Auth is how clients of a socket prove who they are.
type Auth uint8

// The methods that virbrd serves.
const (
	// AuthNone lets in whoever the socket's permissions let connect.
	AuthNone Auth = iota
	// AuthPolkit asks polkit about every client that is not root.
	AuthPolkit
)

// Socket is one of the daemon's two sockets.
type Socket struct {
	Perms  fs.FileMode // of a socket that virbrd binds itself
	Auth   Auth
	Chosen bool // Auth stands in the file, it is not a default
}

// Daemon is virtnetworkd.conf: sockets, limits and logging. Keys, meanings and
// defaults are libvirt's, but for the sockets' defaults, see [ReadDaemon].
type Daemon struct {
	Group     string // unix_sock_group: owner group of both sockets; "": root
	SocketDir string // unix_sock_dir; "": the daemon's default
	ReadWrite Socket
	ReadOnly  Socket

	// AccessDrivers checks each call: empty, or "polkit" alone.
	AccessDrivers []string
	AccessChosen  bool // the key stands in the file

	MaxClients   int // accepting stops at this number
	Backlog      int // max_queued_clients: listen(2)'s backlog
	MaxAnonymous int // clients that have not authenticated; 0: no limit
	MaxRequests  int // max_client_requests: calls under way of one client

	KeepaliveInterval time.Duration // negative or zero: never ping
	KeepaliveCount    int           // unanswered pings before a client is dropped

	LogLevel slog.Level

	// Warnings are remarks for the log: settings that are allowed and
	// probably not meant.
	Warnings []string
}

// Defaults of a socket: closed to all but root, or open with polkit asked about
// everybody but root.
var (
	rootSocket   = Socket{Perms: 0o700, Auth: AuthNone}
	polkitSocket = Socket{Perms: 0o777, Auth: AuthPolkit}
)

// defaultDaemon holds the defaults of libvirt 11.3.0.
func defaultDaemon() *Daemon {
	return &Daemon{
		ReadWrite:         rootSocket,
		ReadOnly:          rootSocket,
		MaxClients:        5000,
		Backlog:           1000,
		MaxAnonymous:      20,
		MaxRequests:       5,
		KeepaliveInterval: 5 * time.Second,
		KeepaliveCount:    5,
		LogLevel:          slog.LevelInfo,
	}
}

// ReadDaemon reads virtnetworkd.conf. With optional a missing file means
// defaults. polkit says whether the host has polkit with libvirt's actions; a
// socket's authentication then defaults to it, and to none elsewhere.
//
// A socket without authentication is open to root alone (0700) unless the file
// says otherwise. That is stricter than libvirt, whose sockets stay at 0777
// when only the authentication is switched off.
func ReadDaemon(path string, optional, polkit bool) (*Daemon, error) {
	k, err := open(path, optional)
	if err != nil {
		return nil, err
	}
	d := defaultDaemon()
	if polkit {
		d.ReadWrite, d.ReadOnly = polkitSocket, polkitSocket
	}
	k.text("unix_sock_group", &d.Group)
	k.path("unix_sock_dir", &d.SocketDir)
	d.socket(k, "rw", &d.ReadWrite)
	d.socket(k, "ro", &d.ReadOnly)
	d.access(k)
	k.number("max_clients", &d.MaxClients, 1, math.MaxInt32)
	k.number("max_queued_clients", &d.Backlog, 1, math.MaxInt32)
	k.number("max_anonymous_clients", &d.MaxAnonymous, 0, math.MaxInt32)
	k.number("max_client_requests", &d.MaxRequests, 1, math.MaxInt16)
	k.seconds("keepalive_interval", &d.KeepaliveInterval, -1, 24*60*60)
	k.number("keepalive_count", &d.KeepaliveCount, 0, math.MaxInt16)
	d.log(k)
	if err := k.err(); err != nil {
		return nil, err
	}
	return d, nil
}

// socket reads auth_unix_NAME and unix_sock_NAME_perms.
func (d *Daemon) socket(k *keys, name string, s *Socket) {
	var word string
	key := "auth_unix_" + name
	line, configured := k.text(key, &word)
	switch word {
	case "polkit":
		*s = polkitSocket
	case "none":
		*s = rootSocket
	case "sasl":
		k.refuse(line, key, `virbrd has no SASL; use "polkit" or "none"`)
	default:
		if configured {
			k.refuse(line, key, `%q is neither "polkit" nor "none"`, word)
		}
	}
	s.Chosen = configured
	set := k.perms("unix_sock_"+name+"_perms", &s.Perms)
	if set && name == "rw" && s.Auth == AuthNone && s.Perms&0o002 != 0 {
		d.Warnings = append(d.Warnings, "every local user may change networks: unix_sock_rw_perms is open to all and auth_unix_rw is none")
	}
	if !set && d.Group != "" && s.Auth == AuthNone {
		d.Warnings = append(d.Warnings, "unix_sock_group has no effect on a socket of mode 0700: set unix_sock_"+name+`_perms to "0770"`)
	}
}

// AdoptAccess takes access_drivers from libvirtd.conf, if that is there and
// virtnetworkd.conf does not have the key: a libvirtd with our module hands its
// clients' calls on to us, and who closed that one wants them checked.
func (d *Daemon) AdoptAccess(path string) error {
	if d.AccessChosen {
		return nil
	}
	k, err := open(path, true)
	if err != nil {
		return err
	}
	d.access(k)
	return k.err()
}

func (d *Daemon) access(k *keys) {
	line := k.strings("access_drivers", &d.AccessDrivers)
	d.AccessChosen = line != 0
	for _, name := range d.AccessDrivers {
		if name != "polkit" {
			k.refuse(line, "access_drivers", `there is no access driver %q; known is "polkit"`, name)
		}
	}
}

// log reads log_level: 1 debug, 2 info, 3 warning, 4 error. libvirt's default
// is warning; ours is info, which is one line a network started or stopped.
func (d *Daemon) log(k *keys) {
	n := 0
	k.number("log_level", &n, 0, 4)
	switch n {
	case 1:
		d.LogLevel = slog.LevelDebug
	case 3:
		d.LogLevel = slog.LevelWarn
	case 4:
		d.LogLevel = slog.LevelError
	}
}
