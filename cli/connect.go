package cli

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/virbr/virbr/config"
	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/rpc/ssh"
)

// addConnect adds the flag that names the host whose networks are meant.
func addConnect(flags *pflag.FlagSet, into *string) {
	flags.StringVarP(into, "connect", "c", "", "libvirt's `URI` of another host, such as qemu+ssh://root@host/system, or an alias in libvirt.conf")
}

// uri says whose networks are meant: those of the host that the command line names, else
// LIBVIRT_DEFAULT_URI, else libvirt.conf, as for every client of libvirt.
func (f *daemonFlags) uri() (*client.URI, error) {
	if f.found != nil {
		return f.found, nil
	}
	if f.socket != "" {
		if f.connect != "" {
			return nil, usageError{errors.New("--socket and --connect are two ways to say where the daemon is")}
		}
		f.found = &client.URI{Socket: f.socket}
		return f.found, nil
	}
	file, err := config.ReadClient(f.io.ClientFile)
	if err != nil {
		return nil, err
	}
	text, from := f.connect, "--connect"
	if text == "" {
		text, from = f.io.DefaultURI, "LIBVIRT_DEFAULT_URI"
	}
	if text == "" {
		text, from = file.Default, "uri_default in "+f.io.ClientFile
	}
	if text == "" {
		f.found = &client.URI{Mode: client.Mode(file.Mode)}
		return f.found, nil
	}
	found, err := client.ParseURI(cmp.Or(file.Aliases[text], text), client.Mode(file.Mode), ssh.Proxy(file.Proxy))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	if found.SSH != nil {
		f.source.Elsewhere = found.SSH.Host
		found.SSH.NoTTY = found.SSH.NoTTY || f.io.completes
	}
	f.found = found
	return found, nil
}

// local reports whether the daemon is that of this host, in its usual place.
func (f *daemonFlags) local() bool {
	uri, err := f.uri()
	return err == nil && uri.SSH == nil && uri.Socket == ""
}

// here refuses commands that look at the host itself where another one is meant.
func (f *daemonFlags) here(command, does string) error {
	uri, err := f.uri()
	switch {
	case err != nil:
		return errLook{err}
	case uri.SSH != nil:
		return usageError{fmt.Errorf("virbr %s %s the host that it runs on; use it there: ssh -t %s sudo virbr %s", command, does, uri.SSH, command)}
	case uri.Socket != "":
		return usageError{fmt.Errorf("virbr %s %s this host, whose daemon is in its usual place: it takes no socket", command, does)}
	}
	return nil
}
