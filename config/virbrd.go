package config

import (
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
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
	// PrefixPool is where <ipv6 advprefix='auto'> gets a /64 from: IPv6
	// prefixes of 16 to 64 bits, and what routers delegate, which comes first.
	// Both empty: nowhere.
	PrefixPool []netip.Prefix
	Delegated  []Delegated
	// SubnetPool is where <ip type='auto'> gets a /24 from: IPv4 prefixes of 8
	// to 24 bits. Empty: not given.
	SubnetPool []netip.Prefix
	// KeepLimits: limits of the kernel are not raised (raise_limits = 0).
	KeepLimits bool
	// HookTimeout is how long a hook script may run; 0: for ever. Not given: 60
	// seconds.
	HookTimeout time.Duration
	// NoModule: a libvirtd that has our module uses its own network driver
	// nevertheless (libvirtd_module = "disabled"). The module reads the key itself.
	NoModule bool
	// ApplyLive: virNetworkDefineXML changes running networks, too (apply = "live").
	ApplyLive bool
	// Metrics is where metrics are served; the zero value: nowhere.
	Metrics Address
}

// Delegated is an uplink whose router delegates a prefix: "delegated:eth0", or
// "delegated:eth0/56" where one of a length is wished for.
type Delegated struct {
	Link string
	Bits int // 0: whatever there is
}

// Address is where something is served on this host alone: a unix socket's path
// or a loopback address and port. At most one of them is set.
type Address struct {
	Path string
	TCP  netip.AddrPort
}

// ReadVirbrd reads virbrd.conf. With optional a missing file means defaults.
// Unknown keys are errors: the file is ours alone.
func ReadVirbrd(path string, optional bool) (*Virbrd, error) {
	k, err := open(path, optional)
	if err != nil {
		return nil, err
	}
	v := &Virbrd{HookTimeout: time.Minute}
	var word string
	if line, ok := k.text("log_level", &word); ok {
		level, err := ParseLevel(word)
		if err != nil {
			k.refuse(line, "log_level", "%v", err)
		}
		v.LogLevel = &level
	}
	k.seconds("timeout", &v.Timeout, 0, 365*24*60*60)
	k.prefixes("prefix_pool", &v.PrefixPool, "delegated:LINK, or an IPv6 prefix of 16 to 64 bits for guests, such as 2001:db8:100::/56", func(p netip.Prefix) bool {
		a := p.Addr()
		return a.Is6() && !a.Is4In6() && (a.IsGlobalUnicast() || a.IsPrivate()) && p.Bits() >= 16 && p.Bits() <= 64
	}, v.delegated)
	k.prefixes("subnet_pool", &v.SubnetPool, "an IPv4 prefix of 8 to 24 bits for guests, such as 192.168.122.0/24", func(p netip.Prefix) bool {
		return p.Addr().Is4() && p.Addr().IsGlobalUnicast() && p.Bits() >= 8 && p.Bits() <= 24
	}, nil)
	raise := 1
	k.number("raise_limits", &raise, 0, 1)
	v.KeepLimits = raise == 0
	k.seconds("hook_timeout", &v.HookTimeout, 0, 24*60*60)
	k.address("metrics", &v.Metrics)
	v.NoModule = k.choice("libvirtd_module", "enabled", "disabled")
	v.ApplyLive = k.choice("apply", "start", "live")
	k.refuseUnknown(foreign())
	if err := k.err(); err != nil {
		return nil, err
	}
	return v, nil
}

// delegated takes a word that names an uplink.
func (v *Virbrd) delegated(word string) bool {
	link, ok := strings.CutPrefix(word, "delegated:")
	d := Delegated{Link: link}
	if name, bits, given := strings.Cut(link, "/"); given {
		n, err := strconv.Atoi(bits)
		d = Delegated{Link: name, Bits: n}
		ok = ok && err == nil && n >= 16 && n <= 64
	}
	// What the kernel takes for the name of a link.
	if !ok || d.Link == "" || d.Link == "." || d.Link == ".." || len(d.Link) > 15 || strings.ContainsFunc(d.Link, func(r rune) bool { return r <= ' ' || r == ':' || r == 0x7f }) {
		return false
	}
	v.Delegated = append(v.Delegated, d)
	return true
}

// choice reads one of two words, and reports whether it is the one that is not the
// default.
func (k *keys) choice(key, usual, other string) bool {
	var word string
	if line, ok := k.text(key, &word); ok && word != usual && word != other {
		k.refuse(line, key, "%q is neither %q nor %q", word, usual, other)
	}
	return word == other
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
