package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Client is libvirt.conf: what libvirt's clients connect to. virbr is one of them.
type Client struct {
	Aliases map[string]string // uri_aliases: short names of connection URIs
	Default string            // uri_default: where none is named; "": this host
	Mode    string            // remote_mode
	Proxy   string            // remote_proxy
}

// alias is what the name of a URI may be.
var alias = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// ClientFile returns the file of whoever runs this: as libvirt has it, root's is that of
// the host, and everybody else has one of their own.
func ClientFile() string {
	if os.Geteuid() == 0 {
		return "/etc/libvirt/libvirt.conf"
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "" // nobody's home
	}
	return filepath.Join(dir, "libvirt", "libvirt.conf")
}

// ReadClient reads libvirt.conf. One that is missing says nothing. Keys that are not
// about connections are ignored.
func ReadClient(path string) (*Client, error) {
	c := &Client{Aliases: map[string]string{}}
	if path == "" {
		return c, nil
	}
	k, err := open(path, true)
	if err != nil {
		return nil, err
	}
	k.text("uri_default", &c.Default)
	k.text("remote_mode", &c.Mode)
	k.text("remote_proxy", &c.Proxy)
	list, _ := k.lookup("uri_aliases", KindList)
	for _, entry := range list.List {
		name, uri, ok := strings.Cut(entry, "=")
		switch {
		case !ok:
			k.refuse(list.Line, "uri_aliases", "malformed %q, expected 'alias=uri://host/path'", entry)
		case !alias.MatchString(name):
			k.refuse(list.Line, "uri_aliases", "malformed %q, aliases may only contain 'a-Z, 0-9, _, -'", entry)
		case c.Aliases[name] == "": // the first counts
			c.Aliases[name] = uri
		}
	}
	return c, k.err()
}
