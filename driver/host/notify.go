package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// fileEvents are those after which a file is another one, or gone.
const fileEvents = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE

// WatchFiles calls tell with the path of each file in some directories that is
// written, replaced or removed, until ctx ends; with the path of a directory when
// something in it was missed. A directory that is not there is made.
func (h *Host) WatchFiles(ctx context.Context, dirs []string, tell func(path string)) error {
	const doing = "watching files"
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, os.NewSyscallError("inotify_init1", err))
	}
	f := os.NewFile(uintptr(fd), "inotify")
	defer func() { _ = f.Close() }()
	watched := map[int32]string{}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		wd, err := unix.InotifyAddWatch(fd, dir, fileEvents|unix.IN_ONLYDIR)
		if err != nil {
			return fmt.Errorf("%s in %q: %w", doing, dir, os.NewSyscallError("inotify_add_watch", err))
		}
		watched[int32(wd)] = dir
	}
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer stop()
	buf := make([]byte, 64<<10) // a whole number of events is read at a time
	for {
		n, err := f.Read(buf)
		if ctx.Err() != nil || errors.Is(err, fs.ErrClosed) {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		tellFiles(buf[:n], watched, tell)
	}
}

// tellFiles reads struct inotify_event of inotify(7).
func tellFiles(data []byte, watched map[int32]string, tell func(path string)) {
	const header = 16
	for len(data) >= header {
		wd, mask := int32(binary.NativeEndian.Uint32(data)), binary.NativeEndian.Uint32(data[4:])
		size := int(binary.NativeEndian.Uint32(data[12:]))
		if size > len(data)-header {
			return
		}
		name, _, _ := bytes.Cut(data[header:header+size], []byte{0})
		data = data[header+size:]
		dir, known := watched[wd]
		switch {
		case mask&(unix.IN_Q_OVERFLOW|unix.IN_IGNORED) != 0:
			for _, dir := range watched {
				tell(dir)
			}
		case known && len(name) > 0:
			tell(filepath.Join(dir, string(name)))
		}
	}
}
