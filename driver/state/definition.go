package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/xml"
)

// Definitions returns the names of the persistent networks.
func (d Dirs) Definitions() ([]string, error) { return disk.Stems(d.Config, ".xml") }

// Running returns the names of the networks that have a status file.
func (d Dirs) Running() ([]string, error) { return disk.Stems(d.State, ".xml") }

// IsRunning reports whether a network has a status file.
func (d Dirs) IsRunning(name string) bool { return exists(d.StatusFile(name)) }

// IsDefined reports whether a network has a persistent definition.
func (d Dirs) IsDefined(name string) bool { return exists(d.DefinitionFile(name)) }

// Definition reads a persistent definition, leniently.
func (d Dirs) Definition(name string) (*xml.Network, error) {
	return parsed(d.DefinitionFile(name), xml.LoadNetwork)
}

// Status reads the live state of a network.
func (d Dirs) Status(name string) (*xml.Status, error) {
	return parsed(d.StatusFile(name), xml.ParseStatus)
}

func parsed[T any](path string, parse func([]byte) (*T, error)) (*T, error) {
	data, err := Read(path)
	if err != nil {
		return nil, err
	}
	found, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

// SaveDefinition writes a persistent definition.
func (d Dirs) SaveDefinition(def *xml.Network) error { return d.DefinitionOf(def).Write() }

// DefinitionOf returns the file of a persistent definition.
func (d Dirs) DefinitionOf(def *xml.Network) File {
	return File{d.DefinitionFile(def.Name), DefinitionText(def), "cannot write config file '%s'"}
}

// DefinitionText is what a persistent definition's file holds.
func DefinitionText(def *xml.Network) string { return header(def) + def.Format(xml.Inactive) }

// RemoveDefinition removes a persistent definition.
func (d Dirs) RemoveDefinition(name string) error {
	path := d.DefinitionFile(name)
	return fileError(remove(path), "cannot remove config file '%s'", path)
}

// SaveStatus writes the live state of a network: from then on it runs, for this
// daemon and the next one.
func (d Dirs) SaveStatus(s *xml.Status) error { return d.StatusOf(s).Write() }

// StatusOf returns the file of the live state of a network.
func (d Dirs) StatusOf(s *xml.Status) File {
	return File{d.StatusFile(s.Network.Name), StatusText(s), "cannot write status file '%s'"}
}

// StatusText is what a running network's status file holds.
func StatusText(s *xml.Status) string { return header(s.Network) + s.Format() }

// RemoveStatus removes the live state of a network, which is stopped then.
func (d Dirs) RemoveStatus(name string) error {
	path := d.StatusFile(name)
	return fileError(remove(path), "cannot remove status file '%s'", path)
}

// header is the comment at the top of a network's files, with an empty line
// after it. As libvirt's, it names the network in a way that can be pasted into
// a shell, or its UUID, and never ends the comment early.
func header(def *xml.Network) string {
	name := def.Name
	if !pastable(name) {
		name = def.UUID.String()
	}
	return comment("change the network", "net-edit "+name)
}

// comment is the text at the top of a file of ours.
func comment(purpose, command string) string {
	return `<!--
The network driver keeps this file and will overwrite what is changed here.
To ` + purpose + `, use:
  virsh ` + command + `
or another program that talks to the driver.
-->

`
}

func pastable(name string) bool {
	return name != "" && name[0] != '-' && !strings.Contains(name, "--") &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:@/") == ""
}

// Autostart reports whether a persistent network starts with the daemon: whether
// the link leads to the definition, whatever way the link is written.
func (d Dirs) Autostart(name string) bool {
	link, err := os.Stat(d.autostartLink(name))
	if err != nil {
		return false
	}
	config, err := os.Stat(d.DefinitionFile(name))
	return err == nil && os.SameFile(link, config)
}

// LinkAutostart has a network start with the daemon. A link that is there already
// does not lead to the definition, or the network would have autostart: it is
// replaced.
func (d Dirs) LinkAutostart(name string) error {
	config, link := d.DefinitionFile(name), d.autostartLink(name)
	if err := disk.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return fileError(err, "cannot create autostart directory '%s'", filepath.Dir(link))
	}
	target, err := filepath.Abs(config)
	if err != nil {
		return fileError(err, "Failed to create symlink '%s' to '%s'", link, config)
	}
	err = disk.Symlink(target, link)
	if st, lerr := os.Lstat(link); errors.Is(err, fs.ErrExist) && lerr == nil && st.Mode()&fs.ModeSymlink != 0 {
		if err = remove(link); err == nil {
			err = disk.Symlink(target, link)
		}
	}
	return fileError(err, "Failed to create symlink '%s' to '%s'", link, target)
}

// UnlinkAutostart has a network start with the daemon no more.
func (d Dirs) UnlinkAutostart(name string) error {
	link := d.autostartLink(name)
	return fileError(remove(link), "Failed to delete symlink '%s'", link)
}

// SweepAutostart removes the links to definitions that are gone: who undefined
// them died before he came to that. It goes on after errors.
func (d Dirs) SweepAutostart() error {
	names, err := disk.Stems(filepath.Dir(d.autostartLink("any")), ".xml")
	errs := []error{err}
	for _, name := range names {
		config, err := filepath.Abs(d.DefinitionFile(name))
		target, linkErr := os.Readlink(d.autostartLink(name))
		if err == nil && linkErr == nil && target == config && !exists(config) {
			errs = append(errs, d.UnlinkAutostart(name))
		}
	}
	return errors.Join(errs...)
}

// Autostarted reports whether a network daemon, ours or libvirt's, started the
// networks with autostart since the host booted.
func (d Dirs) Autostarted() bool { return exists(d.autostarted()) }

// MarkAutostarted writes down that this was done. It comes after that: what a crash
// cuts short the next daemon does again.
func (d Dirs) MarkAutostarted() error {
	f, err := os.OpenFile(d.autostarted(), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}
