package host

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/godbus/dbus/v5"

	"github.com/virbr/virbr/driver/step"
)

const (
	resolvedName = "org.freedesktop.resolve1"
	resolvedPath = dbus.ObjectPath("/org/freedesktop/resolve1")
)

// resolvedDomain is a domain of resolve1's SetLinkDomains: (sb). RouteOnly: used
// to choose the server, never to complete names.
type resolvedDomain struct {
	Name      string
	RouteOnly bool
}

// resolvedServer is a name server of resolve1's SetLinkDNS: (iay).
type resolvedServer struct {
	Family  int32
	Address []byte
}

// registerDNS tells systemd-resolved who serves a domain. Nothing takes it
// back: it goes with the link. An error is a *[RegisterError].
func (h *Host) registerDNS(ctx context.Context, op step.RegisterDNS) error {
	if !op.Server.IsValid() {
		return &RegisterError{Err: fmt.Errorf("checking the server's address: %w", syscall.EINVAL)}
	}
	index, err := h.index(op.Link)
	if err != nil {
		return &RegisterError{Err: opError("looking up", op.Link, err)}
	}
	resolved, err := h.bus.service(ctx, resolvedName, resolvedPath)
	if errors.Is(err, errNoService) {
		return &RegisterError{}
	}
	if err != nil {
		return &RegisterError{Err: err}
	}
	const manager = resolvedName + ".Manager."
	domains := []resolvedDomain{{op.Domain, true}}
	servers := []resolvedServer{{int32(family(op.Server)), op.Server.AsSlice()}}
	if err := call(ctx, resolved, manager+"SetLinkDomains", []any{int32(index), domains}); err != nil {
		return &RegisterError{Err: err}
	}
	if err := call(ctx, resolved, manager+"SetLinkDNS", []any{int32(index), servers}); err != nil {
		return &RegisterError{Err: err}
	}
	return nil
}
