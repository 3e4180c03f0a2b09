package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/overlay"
)

// hookMark is how we know the script that we put there.
const hookMark = "# Installed by \"virbrd hook --install\"; \"virbrd hook --uninstall\" removes it."

// hookScript is a script and no link: it does no harm where virbr was removed and
// the script was not.
const hookScript = `#!/bin/sh
` + hookMark + `
# See virbrd(8), or docs/hooks.md.
[ -x '%[1]s' ] || exit 0
exec '%[1]s' hook -- "$@"
`

// libvirtLibraries is where the version of libvirt shows: libvirt.so.0.9000.0 is
// that of 9.0.0.
var libvirtLibraries = []string{"/usr/lib/*/libvirt.so.0.*.*", "/usr/lib64/libvirt.so.0.*.*", "/usr/lib/libvirt.so.0.*.*"}

// hookPath returns where libvirt looks for our script: in a directory of its own
// since 6.5, before that it has one script for all.
func hookPath(dir string, libraries []string) string {
	for _, pattern := range libraries {
		found, _ := filepath.Glob(pattern) // the pattern is sound
		for _, path := range found {
			version, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), "libvirt.so.0."), ".")
			if n, err := strconv.Atoi(version); err == nil && n < 6005 {
				return filepath.Join(dir, "network")
			}
		}
	}
	return filepath.Join(dir, "network.d", "50-virbr")
}

// ours reports whether a file is the script that we put there.
func ours(path string) (bool, error) {
	data, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(data), hookMark), err
}

func (o *hookOptions) doInstall(ctx context.Context, out io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding our own program: %w", err)
	}
	if strings.ContainsAny(exe, "'\n") {
		return fmt.Errorf("installing the hook: the path %q cannot be quoted", exe)
	}
	path := hookPath(o.hooks, libvirtLibraries)
	if mine, err := ours(path); err == nil && !mine {
		return fmt.Errorf("installing the hook: %q is a script of another program; add to it: '%s' hook -- \"$@\", with its standard input", path, exe)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("installing the hook: %w", err)
	}
	for _, dir := range []string{filepath.Dir(path), o.dirs.Added} {
		if err := disk.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("installing the hook: %w", err)
		}
	}
	temp := filepath.Join(o.hooks, ".virbr-new") // libvirt runs all that is in network.d
	err = disk.Remove(temp)
	if err == nil {
		err = disk.Replace(temp, path, fmt.Appendf(nil, hookScript, exe), 0o755)
	}
	if err != nil {
		return fmt.Errorf("installing the hook: %w", err)
	}
	if _, err := fmt.Fprintf(out, "installed %s\nlibvirt looks for hooks when it starts and when it is reloaded: systemctl reload libvirtd, or virtnetworkd\n", path); err != nil {
		return err
	}
	return o.doApply(ctx, nil, out)
}

func (o *hookOptions) doUninstall(ctx context.Context, out io.Writer) error {
	for _, path := range []string{filepath.Join(o.hooks, "network.d", "50-virbr"), filepath.Join(o.hooks, "network")} {
		mine, err := ours(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !mine {
			continue
		}
		if err == nil {
			err = disk.Remove(path)
		}
		if err != nil {
			return fmt.Errorf("removing the hook: %w", err)
		}
		if _, err := fmt.Fprintf(out, "removed %s\n", path); err != nil {
			return err
		}
	}
	if o.dirs.Overlay().Idle() {
		return nil
	}
	e, done, err := o.engine(os.Stderr)
	if err != nil || e == nil {
		return err
	}
	defer done()
	return e.RemoveAll(ctx)
}

// doApply makes running networks what their extensions say now, or tries whether
// that would work; all of them where none is named.
func (o *hookOptions) doApply(ctx context.Context, names []string, out io.Writer) error {
	e, done, err := o.engine(os.Stderr)
	if err != nil || e == nil {
		return err
	}
	defer done()
	results, err := e.Apply(ctx, names, overlay.Mode{Dry: o.check, Extensions: o.extensions})
	errs := []error{err}
	for _, r := range results {
		text := fmt.Sprintf("%s: %s\n", r.Network, describe(r))
		for _, change := range r.Changes {
			text += "  " + change + "\n"
		}
		if _, err := fmt.Fprint(out, text); err != nil {
			return err
		}
		if r.Error != "" {
			errs = append(errs, fmt.Errorf("network %q is not as its extensions say", r.Network))
		}
	}
	return errors.Join(errs...)
}

// describe says what came of a network's extensions.
func describe(r *plan.Report) string {
	text := "extensions from " + string(r.From)
	if r.File != "" {
		text = "extensions from " + r.File
	}
	switch {
	case r.Error != "":
		text = "error: " + r.Error
	case r.From == plan.Nowhere:
		text = "no extensions"
	case len(r.Waiting) > 0:
		text += "; no address is known yet of " + strings.Join(r.Waiting, ", ")
	}
	for _, n := range r.Notes {
		text += "; " + n
	}
	return text
}
