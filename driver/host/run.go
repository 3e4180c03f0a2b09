package host

import (
	"context"
	"fmt"
	"reflect"

	"github.com/virbr/virbr/driver/step"
)

// Run applies one op. It returns nil where an op asks for what is already so.
// A context that ends stops what waits for others, processes and D-Bus; calls
// into the kernel are not interrupted.
func (h *Host) Run(ctx context.Context, op step.Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	do, known := h.runners[reflect.TypeOf(op)]
	if !known {
		return fmt.Errorf("running %T: this version does not know how", op)
	}
	return do(h, ctx, op)
}

// runner does one type of op.
type runner func(*Host, context.Context, step.Op) error

// row is a row of the table of runners.
type row struct {
	op reflect.Type
	do runner
}

// does is the row of an op that may wait for others.
func does[O step.Op](do func(*Host, context.Context, O) error) row {
	return row{reflect.TypeFor[O](), func(h *Host, ctx context.Context, op step.Op) error { return do(h, ctx, op.(O)) }}
}

// index returns the table by type.
func index(rows []row) map[reflect.Type]runner {
	table := make(map[reflect.Type]runner, len(rows))
	for _, r := range rows {
		table[r.op] = r.do
	}
	return table
}

// quick is the row of an op that waits for nobody but the kernel.
func quick[O step.Op](do func(*Host, O) error) row {
	return row{reflect.TypeFor[O](), func(h *Host, _ context.Context, op step.Op) error { return do(h, op.(O)) }}
}

// runners says who does each type of op.
var runners = []row{
	quick((*Host).addBridge),
	does((*Host).delLink),
	quick((*Host).setMTU),
	quick((*Host).setBridge),
	does((*Host).plugMember),
	quick((*Host).setUp),
	quick((*Host).setDown),
	quick((*Host).addAddress),
	quick((*Host).delAddress),
	does((*Host).addRoute),
	quick((*Host).delRoute),
	quick(func(_ *Host, op step.SetSysctl) error { return setSysctl(op) }),
	quick(func(_ *Host, op step.WriteFile) error { return writeFile(op) }),
	does((*Host).addRules),
	does((*Host).replaceRules),
	does((*Host).restoreRules),
	quick((*Host).delRules),
	does((*Host).fillChecksums),
	does((*Host).unfillChecksums),
	does((*Host).setZone),
	does((*Host).unsetZone),
	does((*Host).startDnsmasq),
	quick((*Host).awaitDnsmasq),
	quick((*Host).signalDnsmasq),
	does((*Host).stopDnsmasq),
	does((*Host).registerDNS),
	does((*Host).shapeNetwork),
	does((*Host).unshapeNetwork),
	does((*Host).shapePort),
	does((*Host).unshapePort),
	quick((*Host).setDefaultRate),
	does((*Host).raiseLimit),
	does(func(h *Host, ctx context.Context, _ step.DropLibvirtRules) error { return h.dropLibvirtRules(ctx) }),
	quick((*Host).dropLibvirtQueue),
	quick(func(h *Host, _ step.DropRules) error { return h.dropRules() }),
	does((*Host).acceptInForeignTables),
	does((*Host).unacceptInForeignTables),
	does((*Host).repairForeignTables),
	quick((*Host).acceptInLibvirtChains),
	quick((*Host).unacceptInLibvirtChains),
	does((*Host).proxyNeighbour),
	quick((*Host).unproxyNeighbour),
	quick((*Host).snoopGuests),
	quick((*Host).unsnoopGuests),
	does((*Host).routeGuest),
	quick((*Host).unrouteGuest),
	does((*Host).routeNetwork),
	does((*Host).unrouteNetwork),
	quick(func(*Host, step.RouteLoopback) error { return nil }), // of an earlier version: nothing needs it
	quick((*Host).unrouteLoopback),
	does((*Host).endUntranslated),
	does(func(_ *Host, ctx context.Context, op step.EndConnections) error { return endConnections(ctx, op) }),
	quick(func(_ *Host, op step.RetractPrefixes) error { return retractPrefixes(op) }),
	does((*Host).hearRouters),
	quick((*Host).unhearRouters),
}
