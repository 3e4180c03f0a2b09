package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/virbr/virbr/driver/step"
)

const (
	firewalldName = "org.fedoraproject.FirewallD1"
	firewalldPath = dbus.ObjectPath("/org/fedoraproject/FirewallD1")
)

// The zones and the policy that libvirt installs for its networks.
const (
	zoneLibvirt  = "libvirt"
	zoneRouted   = "libvirt-routed"
	policyRouted = "libvirt-routed-out"
)

// setZone puts an interface into its firewalld zone. Where firewalld does not
// run only an explicit zone is an error, a *[ZoneError]. Source: libvirt's
// networkSetBridgeZone.
func (h *Host) setZone(ctx context.Context, op step.SetZone) error {
	const doing = "setting the firewalld zone of"
	firewalld, err := h.bus.service(ctx, firewalldName, firewalldPath)
	switch {
	case errors.Is(err, errNoService) && op.Zone != "":
		network := op.Network
		if network == "" {
			network = op.Link
		}
		return &ZoneError{Msg: fmt.Sprintf("zone %s requested for network %s but firewalld is not active", op.Zone, network), Err: err}
	case errors.Is(err, errNoService):
		return nil
	case err != nil:
		return opError(doing, op.Link, err)
	}
	zone := op.Zone
	if zone == "" {
		if zone, err = h.defaultZone(ctx, firewalld, op); err != nil {
			var missing *ZoneError
			if errors.As(err, &missing) {
				return missing
			}
			return opError(doing, op.Link, err)
		}
	}
	err = call(ctx, firewalld, firewalldName+".zone.changeZoneOfInterface", []any{zone, op.Link}, new(string))
	return opError(doing, op.Link, err)
}

// defaultZone chooses the zone of a network that names none.
func (h *Host) defaultZone(ctx context.Context, firewalld dbus.BusObject, op step.SetZone) (string, error) {
	var zones []string
	if err := call(ctx, firewalld, firewalldName+".zone.getZones", nil, &zones); err != nil {
		return "", err
	}
	if op.Routed && slices.Contains(zones, zoneRouted) {
		// A firewalld that knows no policies (before 0.9) has no such method.
		var policies []string
		err := call(ctx, firewalld, firewalldName+".policy.getPolicies", nil, &policies)
		if err == nil && slices.Contains(policies, policyRouted) {
			return zoneRouted, nil
		}
	}
	if slices.Contains(zones, zoneLibvirt) {
		return zoneLibvirt, nil
	}
	missing := &ZoneError{Msg: "firewalld can't find the 'libvirt' zone that should have been installed with libvirt"}
	if !op.Own {
		return "", missing
	}
	if missing.Err = h.makeOwnZone(ctx, zones); missing.Err != nil {
		missing.Msg += fmt.Sprintf(", and making %q instead: %v", zoneOwn, missing.Err)
		return "", missing
	}
	return zoneOwn, nil
}

// unsetZone takes an interface out of its zone, if it is in one.
func (h *Host) unsetZone(ctx context.Context, op step.UnsetZone) error {
	const doing = "unsetting the firewalld zone of"
	firewalld, err := h.bus.service(ctx, firewalldName, firewalldPath)
	if errors.Is(err, errNoService) {
		return nil
	}
	if err == nil {
		err = call(ctx, firewalld, firewalldName+".zone.removeInterface", []any{"", op.Link}, new(string))
	}
	var answer dbus.Error
	if errors.As(err, &answer) && strings.Contains(answer.Error(), "UNKNOWN_INTERFACE") {
		return nil // firewalld tells its errors apart by the text's first word only
	}
	return opError(doing, op.Link, err)
}

// A bus that cannot be reached is tried again after a tenth of a second, and
// after twice as long each time, some times: it may be about to come up. Then
// only its socket, when it appears, leads to another try.
const (
	busFirstTry = 100 * time.Millisecond
	busTries    = 10
)

// followFirewalld calls tell when firewalld starts or is reloaded, until ctx
// ends. appeared says that there may be a bus now.
func (h *Host) followFirewalld(ctx context.Context, appeared <-chan struct{}, tell func()) error {
	tries := 0
	for {
		conn, err := h.bus.dial(ctx)
		if err == nil {
			tries = 0
			err = hearFirewalld(ctx, conn, tell)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.log.DebugContext(ctx, "following firewalld", "err", err)
		var next <-chan time.Time
		if tries < busTries {
			next = time.After(busFirstTry << tries)
		}
		tries++
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-appeared:
			tries = 0
		case <-next:
		}
	}
}

// hearFirewalld follows firewalld on a connection, which it closes in the end.
func hearFirewalld(ctx context.Context, conn *dbus.Conn, tell func()) error {
	defer func() { _ = conn.Close() }()
	const bus = "org.freedesktop.DBus"
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchSender(bus), dbus.WithMatchInterface(bus), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, firewalldName)},
		{dbus.WithMatchSender(firewalldName), dbus.WithMatchInterface(firewalldName), dbus.WithMatchMember("Reloaded")},
	} {
		patience, over := context.WithTimeout(ctx, busPatience)
		err := conn.AddMatchSignalContext(patience, match...)
		over()
		if err != nil {
			return fmt.Errorf("asking the system bus for news: %w", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s, ok := <-signals:
			if !ok {
				return fmt.Errorf("reading from the system bus: %w", errNoService)
			}
			if startsFirewalld(s) {
				tell()
			}
		}
	}
}

// startsFirewalld reports whether firewalld has its rules made anew.
func startsFirewalld(s *dbus.Signal) bool {
	switch s.Name {
	case firewalldName + ".Reloaded":
		return true
	case "org.freedesktop.DBus.NameOwnerChanged": // name, old owner, new owner
		if len(s.Body) != 3 || s.Sender != "org.freedesktop.DBus" || s.Body[0] != firewalldName {
			return false
		}
		owner, _ := s.Body[2].(string)
		return owner != ""
	}
	return false
}
