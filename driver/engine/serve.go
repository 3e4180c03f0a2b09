package engine

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/step"
)

// maxFile is how many bytes of a file are read: more than any that a step writes.
const maxFile = 16 << 20

// file writes a file. One that is in force is left alone; to refresh it, what it says
// is compared, unless a living process reads it only when it starts.
func (w *work) file(ctx context.Context, t Transition, op step.WriteFile) error {
	if t.Same && (!w.Refresh || w.loaded(op.Path)) {
		return nil
	}
	switch {
	case len(w.From) > 0:
		have, err := disk.Read(op.Path, maxFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			w.back = append(w.back, func(context.Context) error { return disk.Remove(op.Path) })
		case err != nil:
			return err
		case t.Same && slices.Equal(statements(string(have)), statements(op.Data)):
			return nil
		default:
			w.onFailure(step.WriteFile{Path: op.Path, Mode: op.Mode, Data: string(have)})
		}
	case t.Undo != nil:
		w.added = append(w.added, t.Undo)
	}
	w.rewritten[op.Path] = true
	return w.do(ctx, t.Step)
}

// loaded reports whether a file is the configuration of a dnsmasq that lives.
func (w *work) loaded(path string) bool {
	return slices.ContainsFunc(w.To, func(s step.Step) bool {
		op, ok := s.Do.(step.StartDnsmasq)
		return ok && op.Conf == path && w.engine.cfg.System.DnsmasqAlive(op.PidFile)
	})
}

// statements returns the lines of a file but its comments, for libvirt's differ
// from ours: a dnsmasq that its daemon started is as good as one of ours.
func statements(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.HasPrefix(line, "#") })
}

// serve sees to a dnsmasq. It reads its hosts files again on a signal, but its
// configuration only when it starts. Leases survive: the helper keeps them, and tells
// the new one.
func (w *work) serve(ctx context.Context, t Transition, op step.StartDnsmasq) error {
	system := w.engine.cfg.System
	alive := system.DnsmasqAlive(op.PidFile)
	if t.Same && alive && !w.rewritten[op.Conf] {
		if len(w.rewritten) == 0 {
			return nil
		}
		reload := func(context.Context) error { return system.Reload(op.PidFile) }
		w.after = append(w.after, reload)
		return reload(ctx)
	}
	was, had := t.Was.(step.StartDnsmasq)
	if !had {
		was = op
	}
	if had || alive {
		w.after = append(w.after, w.revive(was, alive))
		if err := system.Run(ctx, step.StopDnsmasq{PidFile: op.PidFile}); err != nil {
			return err
		}
	} else if t.Undo != nil {
		w.added = append(w.added, t.Undo)
	}
	w.started[op.PidFile] = true
	return w.do(ctx, t.Step)
}

// revive returns what makes a dnsmasq run with the files of before, when those
// are back, or not run if it did not.
func (w *work) revive(start step.StartDnsmasq, alive bool) func(context.Context) error {
	return func(ctx context.Context) error {
		err := w.engine.cfg.System.Run(ctx, step.StopDnsmasq{PidFile: start.PidFile})
		if !alive {
			return err
		}
		start.Aside = false
		return errors.Join(err, w.engine.cfg.System.Run(ctx, start))
	}
}
