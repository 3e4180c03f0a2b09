package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// files follows directories as far as this host lets us.
type files struct {
	run   func(ctx context.Context) error
	close func()
}

// follow follows directories: by inotify, by fanotify where no inotify instance or
// watch is to be had, and else not at all, which is logged with what it means. what
// names the files.
func (h *Host) follow(ctx context.Context, what, lost string, dirs []directory) (files, error) {
	d, err := openDirectories()
	switch {
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOMEM):
		return h.followFans(ctx, what, lost, dirs, err), nil
	case err != nil:
		return files{}, fmt.Errorf("following %s: %w", what, err)
	}
	for _, dir := range dirs {
		err := d.follow(dir)
		switch {
		case err == nil:
		case dir.spare:
			h.log.DebugContext(ctx, "following a directory", "err", err)
		default: // no more watches, or no such place
			d.close()
			return h.followFans(ctx, what, lost, dirs, err), nil
		}
	}
	return files{d.run, d.close}, nil
}

// followFans follows directories without inotify, which failed.
func (h *Host) followFans(ctx context.Context, what, lost string, dirs []directory, cause error) files {
	const cure = "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches"
	var fans []*fan
	var followed []directory
	failed := false
	for _, dir := range dirs {
		if dir.spare {
			continue
		}
		var err error
		if dir.make {
			err = os.MkdirAll(dir.path, 0o755)
		}
		var f *fan
		if err == nil {
			f, err = openFan(dir.path)
		}
		if err != nil {
			failed = true
			h.log.WarnContext(ctx, what+" cannot be followed; "+lost+". "+cure, "err", errors.Join(cause, err))
			continue
		}
		fans, followed = append(fans, f), append(followed, dir)
	}
	if len(fans) > 0 && !failed {
		h.log.WarnContext(ctx, what+" are followed by fanotify, for inotify is used up. "+cure, "err", cause)
	}
	run := func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { <-ctx.Done(); return ctx.Err() })
		for i, f := range fans {
			group.Go(func() error { return f.run(ctx, followed[i].changed) })
		}
		return group.Wait()
	}
	return files{run, func() {
		for _, f := range fans {
			f.close()
		}
	}}
}

// WatchFiles calls tell with the path of each file in some directories that is
// written, replaced, moved or removed, until ctx ends; with the path of a directory
// when something in it was missed. A directory that is not there is made. Where
// this host lets nobody follow files that is logged, and nothing is told.
func (h *Host) WatchFiles(ctx context.Context, dirs []string, tell func(path string)) error {
	var list []directory
	for _, dir := range dirs {
		list = append(list, directory{path: dir, make: true, changed: func(name string) { tell(filepath.Join(dir, name)) }})
	}
	followed, err := h.follow(ctx, "files", "what changes in them is seen when something else does", list)
	if err != nil {
		return err
	}
	defer followed.close()
	return followed.run(ctx)
}
