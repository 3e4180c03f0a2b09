package host

import (
	"context"
	"fmt"
	"slices"

	"github.com/godbus/dbus/v5"
)

// The zone and the policy of our own, for hosts whose firewalld has no zones of
// libvirt.
const (
	zoneOwn   = "virbr"
	policyOwn = "virbr-in"
)

const (
	configName = firewalldName + ".config"
	configPath = firewalldPath + "/config"
)

// ownZone is what guests may do: what leaves them and goes elsewhere passes
// (our own table decides about that), of the host they may ask for addresses and
// names, and nothing else.
func ownZone() map[string]dbus.Variant {
	return map[string]dbus.Variant{
		"short":       dbus.MakeVariant("virbr"),
		"description": dbus.MakeVariant("Virtual networks of virbr. What guests may reach is decided by virbr's own table; of this host they get addresses and names."),
		"target":      dbus.MakeVariant("ACCEPT"),
		"services":    dbus.MakeVariant([]string{"dhcp", "dhcpv6", "dns", "tftp"}),
		"protocols":   dbus.MakeVariant([]string{"icmp", "ipv6-icmp"}),
		"rules_str":   dbus.MakeVariant([]string{`rule priority="32767" reject`}),
	}
}

// ownPolicy lets pass what comes for guests from elsewhere, about which our own
// table decides, too.
func ownPolicy() map[string]dbus.Variant {
	return map[string]dbus.Variant{
		"short":         dbus.MakeVariant("virbr-in"),
		"description":   dbus.MakeVariant("What comes for guests of virbr's networks. virbr's own table decides about it."),
		"ingress_zones": dbus.MakeVariant([]string{"ANY"}),
		"egress_zones":  dbus.MakeVariant([]string{zoneOwn}),
		"target":        dbus.MakeVariant("ACCEPT"),
	}
}

// makeOwnZone has firewalld know our zone, given the names of those that it has.
// firewalld knows no zones that are made at run time, so the zone is written into
// its configuration and that read again: once in the life of a host. Until
// somebody puts an interface into the zone it does nothing.
func (h *Host) makeOwnZone(ctx context.Context, zones []string) error {
	h.elsewhere.zone.Lock()
	defer h.elsewhere.zone.Unlock()
	conn, err := h.bus.connect(ctx)
	if err != nil {
		return err
	}
	firewalld, config := conn.Object(firewalldName, firewalldPath), conn.Object(firewalldName, configPath)
	if slices.Contains(zones, zoneOwn) {
		return nil
	}
	// Somebody else may have made it meanwhile.
	if err := call(ctx, firewalld, firewalldName+".zone.getZones", nil, &zones); err != nil || slices.Contains(zones, zoneOwn) {
		return err
	}
	parts := []struct {
		list, add, name string
		settings        map[string]dbus.Variant
	}{
		{"getZoneNames", "addZone2", zoneOwn, ownZone()},
		{"getPolicyNames", "addPolicy", policyOwn, ownPolicy()},
	}
	for _, p := range parts {
		var names []string
		if err := call(ctx, config, configName+"."+p.list, nil, &names); err != nil {
			return err
		}
		if slices.Contains(names, p.name) {
			continue
		}
		var path dbus.ObjectPath
		if err := call(ctx, config, configName+"."+p.add, []any{p.name, p.settings}, &path); err != nil {
			return fmt.Errorf("making %q: %w", p.name, err)
		}
	}
	h.log.InfoContext(ctx, "firewalld has no zone of libvirt; one of our own is made, and its configuration read again", "zone", zoneOwn)
	return call(ctx, firewalld, firewalldName+".reload", nil)
}
