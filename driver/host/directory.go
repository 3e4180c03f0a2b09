package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What is told of a directory: a file in it that was written and closed, put in
// its place, moved away, made or removed, and the directory's own end.
const (
	fileNews      = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_CREATE | unix.IN_DELETE | unix.IN_ONLYDIR
	directoryNews = unix.IN_MOVE_SELF // its removal is told unasked
)

// directories follows directories by one inotify instance. There are few of
// these on a host, and each dnsmasq takes one.
type directories struct {
	file     *os.File
	followed map[int32]directory // by watch
}

// directory is one that is followed.
type directory struct {
	path string
	make bool // when it is not there, now or later
	// spare directories may do without: nobody warns of them.
	spare bool
	// changed is told the name of a file that changed; "": each may have.
	changed func(name string)
}

func openDirectories() (*directories, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	return &directories{file: os.NewFile(uintptr(fd), "inotify"), followed: make(map[int32]directory)}, nil
}

func (d *directories) close() { _ = d.file.Close() }

// maxRemoved bounds how often a directory is made that somebody removes meanwhile.
const maxRemoved = 100

// follow adds a directory. It must not be called beside run.
func (d *directories) follow(dir directory) error {
	err := d.add(dir)
	for i := 0; dir.make && errors.Is(err, fs.ErrNotExist) && i < maxRemoved; i++ {
		err = d.add(dir)
	}
	return err
}

func (d *directories) add(dir directory) error {
	if dir.make {
		if err := os.MkdirAll(dir.path, 0o755); err != nil {
			return err
		}
	}
	var watch int
	err := control(d.file, func(fd int) (err error) {
		watch, err = unix.InotifyAddWatch(fd, dir.path, fileNews|directoryNews)
		return err
	})
	if err != nil {
		return fmt.Errorf("following %q: %w", dir.path, os.NewSyscallError("inotify_add_watch", err))
	}
	d.followed[int32(watch)] = dir
	return nil
}

// leave ends the watches of a directory and of those below it, which have moved with
// it. The kernel tells of their end, and what has their places then is followed.
func (d *directories) leave(path string) error {
	var errs []error
	for watch, dir := range d.followed {
		if dir.path == path || strings.HasPrefix(dir.path, path+"/") {
			err := control(d.file, func(fd int) error {
				_, err := unix.InotifyRmWatch(fd, uint32(watch))
				return err
			})
			if !errors.Is(err, unix.EINVAL) { // its end has been told, and is not read yet
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// run tells of changes until ctx ends.
func (d *directories) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = d.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer := make([]byte, 64<<10)
	for {
		n, err := d.file.Read(buffer)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("following directories: %w", err)
		}
		if err := d.read(buffer[:n]); err != nil {
			return err
		}
	}
}

// read takes struct inotify_event apart, one after the other.
func (d *directories) read(b []byte) error {
	const header = 16
	for len(b) >= header {
		watch, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		if size > len(b)-header {
			break
		}
		name, _, _ := bytes.Cut(b[header:header+size], []byte{0})
		b = b[header+size:]
		if err := d.news(watch, mask, string(name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *directories) news(watch int32, mask uint32, name string) error {
	dir, known := d.followed[watch]
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		for _, dir := range d.followed {
			dir.changed("")
		}
	case !known:
	case mask&unix.IN_MOVE_SELF != 0: // what has its place is another one
		return d.leave(dir.path)
	case mask&unix.IN_IGNORED != 0:
		delete(d.followed, watch)
		defer dir.changed("")
		if !dir.make {
			return nil
		}
		return d.follow(dir)
	case name != "":
		dir.changed(name)
	}
	return nil
}
