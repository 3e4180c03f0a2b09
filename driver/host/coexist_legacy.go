package host

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/virbr/virbr/firewall/coexist"
)

// legacyTables reads tables of the iptables that was before nf_tables,
// where somebody uses it. The kernel tells nobody of changes there, and only its
// own program can read it.
func (h *Host) legacyTables(ctx context.Context, tables ...string) (list []coexist.Table, err error) {
	var errs []error
	for i, family := range []string{coexist.IPv4, coexist.IPv6} {
		l := legacies[i]
		names, err := l.names()
		errs = append(errs, err)
		for _, table := range tables {
			if !slices.Contains(names, table) {
				continue
			}
			listing, err := l.list(ctx, table)
			if err != nil {
				errs = append(errs, fmt.Errorf("reading the %s table of %s: %w", table, l.program, err))
				continue
			}
			list = append(list, coexist.ParseListing(family, table, listing))
		}
	}
	return list, errors.Join(errs...)
}

// changeLegacy applies the changes that decide asks for to the tables of the older
// iptables; there are mostly none, and then it costs nothing.
func (h *Host) changeLegacy(ctx context.Context, decide func(*coexist.Survey) []coexist.Change) error {
	tables, err := h.legacyTables(ctx, "filter")
	errs := []error{err}
	if len(tables) == 0 {
		return err
	}
	for _, c := range decide(&coexist.Survey{Tables: tables}) {
		l := legacies[0]
		if c.Family == coexist.IPv6 {
			l = legacies[1]
		}
		if err := l.restore(ctx, c.Script()); err != nil {
			errs = append(errs, fmt.Errorf("changing the filter table of %s: %w", l.program, err))
		}
	}
	return errors.Join(errs...)
}
