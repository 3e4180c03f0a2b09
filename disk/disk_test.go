package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/disk"
)

func TestReadIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fits, large, fifo := filepath.Join(dir, "fits"), filepath.Join(dir, "large"), filepath.Join(dir, "fifo")
	for path, size := range map[string]int{fits: 8, large: 9} {
		if err := os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := disk.Read(fits, 8); err != nil || len(data) != 8 {
		t.Errorf("a file that fits: %q, %v", data, err)
	}
	for _, path := range []string{large, fifo, dir} {
		if data, err := disk.Read(path, 8); err == nil || data != nil {
			t.Errorf("%s: %q, want an error", filepath.Base(path), data)
		}
	}
	if _, err := disk.Read(filepath.Join(dir, "none"), 8); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// TestWriteReplacesLinks: a link in the place of the file, or of the temporary one,
// is not followed.
func TestWriteReplacesLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	elsewhere, path, temp := filepath.Join(dir, "elsewhere"), filepath.Join(dir, "file"), filepath.Join(dir, "temp")
	for _, link := range []string{path, temp} {
		if err := os.Symlink(elsewhere, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.Write(path, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(path); err != nil || st.Mode() != 0o644 {
		t.Errorf("the file: %v, %v", st.Mode(), err)
	}
	if err := disk.Replace(temp, path, []byte("newer"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("by way of a link: %v", err)
	}
	if _, err := os.Lstat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was written elsewhere: %v", err)
	}
}

// TestFailedWriteLeavesNothing: the old text stays, and no temporary file.
func TestFailedWriteLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "dir")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o755); err != nil { // nothing takes its place
		t.Fatal(err)
	}
	if err := disk.Write(path, []byte("new"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// TestNames: what makes and removes names does it once, and says what was there.
func TestNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	deep, link := filepath.Join(dir, "a", "b", "c"), filepath.Join(dir, "link")
	for range 2 {
		if err := disk.MkdirAll(deep, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	if err := disk.Symlink("target", link); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second link: %v", err)
	}
	if err := disk.MkdirAll(filepath.Join(link, "below"), 0o700); err == nil {
		t.Error("a directory was made below a link to nothing")
	}
	full, none := filepath.Join(dir, "a"), filepath.Join(dir, "none", "file")
	if err := disk.Remove(none, link, full); err == nil || !strings.Contains(err.Error(), full) {
		t.Errorf("removing what is there, what is not, and a full directory: %v", err)
	}
	for range 2 {
		if err := errors.Join(disk.RemoveAll(full), disk.Remove(link)); err != nil {
			t.Fatal(err)
		}
	}
	if entries, err := os.ReadDir(dir); len(entries) != 0 || err != nil {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestStems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b.xml", "a.xml", ".xml", "c.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "d.xml"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := disk.Stems(dir, ".xml")
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
	if got, err := disk.Stems(filepath.Join(dir, "none"), ".xml"); len(got) != 0 || err != nil {
		t.Errorf("a missing directory: %v, %v", got, err)
	}
}

func TestTemporary(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		".net.xml.ABCDEFGHIJKLMNOPQRSTUVWXYZ.new": true,
		"net.xml": false, ".net.new": false, "x.ABCDEFGHIJKLMNOPQRSTUVWXYZ.new": false,
	} {
		if got := disk.Temporary(name); got != want {
			t.Errorf("Temporary(%q) = %v", name, got)
		}
	}
}
