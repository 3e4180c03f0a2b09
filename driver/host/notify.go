package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WatchFiles calls tell with the path of each file in some directories that is
// written, replaced, moved or removed, until ctx ends; with the path of a directory
// when something in it was missed. A directory that is not there is made. On a host
// that has no inotify instance left nothing is told, and that is logged.
func (h *Host) WatchFiles(ctx context.Context, dirs []string, tell func(path string)) error {
	const doing = "following files"
	d, err := openDirectories()
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOMEM) {
		h.log.WarnContext(ctx, "files are not followed: the host has no inotify instance left; set the sysctl fs.inotify.max_user_instances higher", "err", err)
		<-ctx.Done()
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer d.close()
	for _, dir := range dirs {
		changed := func(name string) { tell(filepath.Join(dir, name)) }
		if err := d.follow(directory{path: dir, make: true, changed: changed}); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return d.run(ctx)
}
