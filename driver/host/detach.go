package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/godbus/dbus/v5"
)

// StartUnit has systemd start a service, and does not wait until it has; ok is
// false where there is no systemd, or none that knows the service.
func (h *Host) StartUnit(ctx context.Context, unit string) (ok bool, err error) {
	systemd, err := h.bus.service(ctx, "org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	if errors.Is(err, errNoService) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var job dbus.ObjectPath
	err = call(ctx, systemd, "org.freedesktop.systemd1.Manager.StartUnit", []any{unit, "replace"}, &job)
	if refused := (dbus.Error{}); errors.As(err, &refused) && refused.Name == "org.freedesktop.systemd1.NoSuchUnit" {
		return false, nil
	}
	return err == nil, err
}

// Detach starts a program that goes on without us: in a session of its own, with
// nothing that somebody who waits for us could wait for.
func Detach(program string, args ...string) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("starting %q: %w", program, err)
	}
	defer func() { _ = null.Close() }()
	p, err := os.StartProcess(program, append([]string{program}, args...), &os.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"},
		Files: []*os.File{null, null, null},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("starting %q: %w", program, err)
	}
	return p.Release()
}
