package leases

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/dnsmasq"
)

// numbers is the directory of a network whose guests have one number for both
// families: a file for each IPv4 lease, which gives its guest an address by
// DHCPv6. dnsmasq sees by itself what comes, but forgets what goes only when
// it is told to read all again.
type numbers struct {
	dir string
	how dnsmasq.Numbering
}

// openNumbers returns a bridge's directory; ok is false where nothing is
// numbered.
func openNumbers(dirs dnsmasq.Dirs, bridge string) (n numbers, ok bool, err error) {
	text, err := readText(dirs.Numbering(bridge))
	if text == "" || err != nil {
		return numbers{}, false, err
	}
	how, ok := dnsmasq.ParseNumbering(text)
	return numbers{dirs.Numbered(bridge), how}, ok, nil
}

// readText returns a file's text; a missing one has none.
func readText(path string) (string, error) {
	f, err := open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.close()
	_, size, err := f.identity()
	if err != nil {
		return "", err
	}
	if size > dnsmasq.MaxFile {
		return "", fmt.Errorf("reading %q: larger than %d bytes", path, dnsmasq.MaxFile)
	}
	data, err := f.read(size)
	return string(data), err
}

// put does what a lease's event says. gone reports whether dnsmasq knows
// something that holds no longer.
func (n numbers) put(ev dnsmasq.Event) (gone bool, err error) {
	name, text, ok := n.how.Host(ev.Entry)
	if !ok {
		return false, nil
	}
	if ev.Action == dnsmasq.ActionDel {
		text = ""
	}
	path := filepath.Join(n.dir, name)
	have, err := readText(path)
	if err != nil || have == text {
		return false, err
	}
	if text == "" {
		return true, unix.Unlink(path)
	}
	return have != "", n.write(name, text)
}

// write writes one file, which dnsmasq sees when it is whole.
func (n numbers) write(name, text string) error {
	temporary := filepath.Join(n.dir, ".new") // nobody else writes while we have the lock
	f, err := open(temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.write([][]byte{[]byte(text)}); err != nil {
		return err
	}
	return unix.Rename(temporary, filepath.Join(n.dir, name))
}

// reset makes the directory what the leases say, for a dnsmasq that is about to
// read it.
func (n numbers) reset(entries []dnsmasq.Entry) error {
	if err := os.Mkdir(n.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	list, err := os.ReadDir(n.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range list {
		errs = append(errs, unix.Unlink(filepath.Join(n.dir, e.Name())))
	}
	for _, e := range entries {
		if name, text, ok := n.how.Host(e); ok && text != "" {
			errs = append(errs, n.write(name, text))
		}
	}
	return errors.Join(errs...)
}

// number keeps the numbers of a network after an event; entries are its leases,
// for init only.
func number(dirs dnsmasq.Dirs, ev dnsmasq.Event, entries []dnsmasq.Entry) error {
	n, ok, err := openNumbers(dirs, ev.Interface)
	if !ok || err != nil {
		return err
	}
	if ev.Action == dnsmasq.ActionInit {
		return n.reset(entries)
	}
	gone, err := n.put(ev)
	if !gone || err != nil {
		return err
	}
	f, err := open(dirs.Reload(ev.Interface), unix.O_WRONLY|unix.O_CREAT, 0o600)
	f.close()
	return err
}

// Stale reports whether the helper has asked for the bridge's dnsmasq to read its files
// again, since somebody asked here last. It cannot tell dnsmasq itself, which is another user's.
func Stale(dirs dnsmasq.Dirs, bridge string) (bool, error) {
	err := os.Remove(dirs.Reload(bridge))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
