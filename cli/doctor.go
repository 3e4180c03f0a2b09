package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/driver/state"
)

// errLook is a host that could not be looked at: no verdict about it.
type errLook struct{ err error }

func (e errLook) Error() string { return e.err.Error() }
func (e errLook) Unwrap() error { return e.err }

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	json    bool
	explain string
	verbose bool
	way     bool
	dirs    state.Dirs
}

func newDoctor(io IO) *cobra.Command {
	o, elsewhere := doctorOptions{dirs: state.System()}, &daemonFlags{io: io}
	cmd := &cobra.Command{
		Use:   "doctor [NETWORK...]",
		Short: "Find connectivity problems of guests, and how to fix them",
		Long: `Follow the packets of each network through this host, and report in plain words
what blocks them:

  bridge      is it there, up, with its addresses? do its ports pass packets?
  dhcp        does dnsmasq run and listen, or which program has its port? addresses left?
  dns         whom does dnsmasq ask, and can it?
  forwarding  does the host pass packets on, per family and interface?
  firewall    are the network's rules complete? does another program's chain drop?
  route       does another interface have the subnet? is there a default route?
  start       of a network that does not run: would it start?
  back        do replies find their way? are limits in force?
  forwards    are they in force, as the daemon has them? which program has their ports?
  hook        are networks of libvirt's own daemon extended, and did it work?

Each finding has a command that fixes it, to be pasted into root's shell. doctor
itself changes nothing. It works whether virbrd runs or not, and for networks of
libvirt's own daemon as well. It needs root.

A problem keeps guests from something now. A warning will, or does for some
guests. A hint may never matter.

The exit status is 0 if there are neither problems nor warnings, 1 if there are
some, and 2 if the host could not be looked at, or there is no such network.`,
		Example: `  virbr doctor                           all networks
  virbr doctor default                   one of them
  virbr doctor --explain port-taken      what does that mean?
  virbr doctor --way                     how can virbr serve this host?
  virbr doctor --json | jq -r '.findings[].mend'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("explain") {
				return explain(io, o.explain, args)
			}
			if elsewhere.connect != "" {
				if err := elsewhere.here("doctor", "looks at"); err != nil {
					return err
				}
			}
			return examine(cmd.Context(), io, &o, args)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	addConnect(f, &elsewhere.connect)
	_ = f.MarkHidden("connect") // it is there to say what to do instead
	f.BoolVar(&o.json, "json", false, "print everything as one JSON object")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show what was seen for each step, also where all is well")
	f.BoolVar(&o.way, "way", false, "only show how virbr can serve this host: module, socket or hook")
	f.StringVar(&o.explain, "explain", "", "explain the findings of this `ID`; \"list\" lists them")
	f.StringVar(&o.dirs.Config, "config-dir", o.dirs.Config, "definitions and autostart links")
	f.StringVar(&o.dirs.State, "state-dir", o.dirs.State, "what is known of active networks")
	f.StringVar(&o.dirs.Dnsmasq, "dnsmasq-dir", o.dirs.Dnsmasq, "dnsmasq's files and leases")
	f.StringVar(&o.dirs.Own, "run-dir", o.dirs.Own, "virbrd's own files")
	f.StringVar(&o.dirs.Added, "networks-dir", o.dirs.Added, "extensions of networks whose libvirt keeps no metadata")
	f.StringVar(&o.dirs.Hooks, "hooks-dir", o.dirs.Hooks, "libvirt's hook scripts")
	return cmd
}

// explain prints what a finding means.
func explain(io IO, id string, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("virbr doctor: --explain wants no network")}
	}
	kinds := doctor.Catalogue()
	if id == "list" {
		text := ""
		for _, k := range kinds {
			text += k.ID + "\n"
		}
		return write(io.Out, text)
	}
	i := slices.IndexFunc(kinds, func(k doctor.Kind) bool { return k.ID == id })
	if i < 0 {
		return usageError{fmt.Errorf("virbr doctor: there is no finding %q; --explain list shows all", id)}
	}
	text := painterFor(io.Out).bold(id) + ": " + kinds[i].Summary + "\n"
	for _, line := range wrap(kinds[i].Meaning, 80) {
		text += line + "\n"
	}
	return write(io.Out, text)
}

// way prints which way fits the host.
func way(io IO, o *doctorOptions, facts *doctor.Facts) error {
	c := doctor.Choose(facts)
	if o.json {
		return writeJSON(io, c)
	}
	text := fmt.Sprintf("fits    %s: %s\nin use  %s\n", c.Fits, c.Why, c.Uses)
	if c.How != "" {
		text += "to use it, run\n  " + c.How + "\n" +
			"or keep libvirt's own network driver and add to its networks by the hook:\n  virbrd hook --install\n"
	}
	return write(io.Out, text)
}

// examine looks at the host and prints what was found.
func examine(ctx context.Context, io IO, o *doctorOptions, names []string) error {
	facts, err := survey(ctx, io, o.dirs)
	if err != nil {
		return errLook{fmt.Errorf("looking at this host: %w", err)}
	}
	if o.way {
		return way(io, o, facts)
	}
	resolve(ctx, &daemonFlags{}, facts)
	for _, name := range names {
		if !slices.ContainsFunc(facts.Networks, func(n doctor.Network) bool { return n.Name == name }) {
			return errLook{fmt.Errorf("there is no network %q in %s or %s", name, o.dirs.State, o.dirs.Config)}
		}
	}
	report := doctor.Examine(facts, names...)
	if o.json {
		err = writeJSON(io, report)
	} else {
		err = write(io.Out, (&chart{painter: painterFor(io.Out), verbose: o.verbose}).report(report))
	}
	if err == nil && !report.Well() {
		return errReported
	}
	return err
}
