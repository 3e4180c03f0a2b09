package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fan follows one directory by fanotify, which has limits of its own: for hosts
// whose inotify instances are used up. It needs Linux 5.9. A directory that is
// removed is not found again.
type fan struct{ file *os.File }

func openFan(path string) (*fan, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_REPORT_DFID_NAME|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fanotify_init", err)
	}
	const news = unix.FAN_CLOSE_WRITE | unix.FAN_MOVED_TO | unix.FAN_MOVED_FROM | unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_EVENT_ON_CHILD
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_ONLYDIR, news, unix.AT_FDCWD, path); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("following %q: %w", path, os.NewSyscallError("fanotify_mark", err))
	}
	return &fan{os.NewFile(uintptr(fd), "fanotify")}, nil
}

func (f *fan) close() { _ = f.file.Close() }

// run tells the names of files that changed until ctx ends; "": each may have.
func (f *fan) run(ctx context.Context, changed func(name string)) error {
	stop := context.AfterFunc(ctx, func() { _ = f.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer := make([]byte, 64<<10)
	for {
		n, err := f.file.Read(buffer)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("following a directory: %w", err)
		}
		readFan(buffer[:n], changed)
	}
}

// readFan takes struct fanotify_event_metadata apart, one after the other, each
// with a struct fanotify_event_info_fid that holds a name.
func readFan(b []byte, changed func(name string)) {
	const header = 24
	for len(b) >= header {
		size := int(binary.NativeEndian.Uint32(b))
		start := int(binary.NativeEndian.Uint16(b[6:]))
		if size < header || size > len(b) || start < header || start > size {
			return
		}
		if mask := binary.NativeEndian.Uint64(b[8:]); mask&unix.FAN_Q_OVERFLOW != 0 {
			changed("")
		} else if name := fanName(b[start:size]); name != "" {
			changed(name)
		}
		b = b[size:]
	}
}

// fanName finds the name in an event's records: type, padding, length, file
// system, handle, name.
func fanName(b []byte) string {
	const fixed = 4 + 8 + 8 // up to the handle's bytes, whose number is before their type
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b[2:]))
		if size < 4 || size > len(b) {
			return ""
		}
		if b[0] == unix.FAN_EVENT_INFO_TYPE_DFID_NAME && size > fixed {
			handle := int64(binary.NativeEndian.Uint32(b[12:]))
			if handle <= int64(size-fixed) {
				name, _, _ := bytes.Cut(b[fixed+handle:size], []byte{0})
				return string(name)
			}
		}
		b = b[size:]
	}
	return ""
}
