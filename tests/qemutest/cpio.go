package qemutest

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// archive writes a cpio archive in the "newc" format, which the kernel unpacks
// as its initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	w     io.Writer
	inode int
	dirs  map[string]bool
	err   error
}

func newArchive(w io.Writer) *archive { return &archive{w: w, dirs: map[string]bool{}} }

// The file types of a mode.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
)

// file adds a file, with the directories above it.
func (a *archive) file(name string, perm uint32, data []byte) {
	a.dir(path.Dir(name))
	a.entry(name, modeFile|perm, data)
}

// link adds a symbolic link.
func (a *archive) link(name, target string) {
	a.dir(path.Dir(name))
	a.entry(name, modeLink|0o777, []byte(target))
}

// copy adds a file of this machine.
func (a *archive) copy(name, from string) {
	info, err := os.Stat(from)
	if err == nil {
		var data []byte
		if data, err = os.ReadFile(from); err == nil {
			a.file(name, uint32(info.Mode().Perm()), data)
		}
	}
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("copying to the initramfs: %w", err)
	}
}

// dir adds a directory, with those above it, once.
func (a *archive) dir(name string) {
	name = path.Clean(name)
	if name == "/" || name == "." || a.dirs[name] {
		return
	}
	a.dir(path.Dir(name))
	a.dirs[name] = true
	a.entry(name, modeDir|0o755, nil)
}

// close ends the archive.
func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}

func (a *archive) entry(name string, mode uint32, data []byte) {
	if a.err != nil {
		return
	}
	name = strings.TrimPrefix(name, "/")
	a.inode++
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	for _, part := range [][]byte{pad([]byte(head)), pad(data)} {
		if _, err := a.w.Write(part); err != nil {
			a.err = fmt.Errorf("writing the initramfs: %w", err)
			return
		}
	}
}

// pad fills up to a multiple of four bytes.
func pad(b []byte) []byte { return append(b, make([]byte, (4-len(b)%4)%4)...) }
