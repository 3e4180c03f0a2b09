package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/state"
)

// newRelease undoes what only virbrd put on the host.
func newRelease() *cobra.Command {
	dirs := state.System()
	var dry bool
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Hand running networks back to libvirt's own daemon",
		Long: `release removes what virbrd has put on this host and libvirt's own daemon does
not know: the firewall table "inet virbr", the rules that fill in checksums of
DHCP replies, and the records of how virbrd would stop each network.

Networks go on: bridges, addresses, dnsmasq, limits of bandwidth, libvirt's
files and leases stay as they are, for libvirt's daemon to carry on with.

Run it after libvirt's daemon is back. That one makes its own rules when it
starts, and packets pass both sets until virbrd's are removed, so guests are
never without:

  systemctl disable --now virbrd.socket virbrd-ro.socket virbrd.service
  systemctl start libvirtd.service            or its parts: see docs/migrating.md
  virsh -c network:///system net-list         wakes the daemon and shows the networks
  virbrd release

Run before that, it leaves guests without rules and without NAT until libvirt's
daemon starts; isolated guests are not isolated meanwhile.

What running dnsmasq processes still call, the link virbr_leaseshelper in the
run directory, stays until the next boot, and so must the program.`,
		Example: `  virbrd release --dry-run                  say what would be removed
  virbrd release                            remove it`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return release(cmd.Context(), dirs, dry, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVarP(&dry, "dry-run", "n", false, "only say what would be removed")
	f.StringVar(&dirs.State, "state-dir", dirs.State, "what is known of active networks")
	f.StringVar(&dirs.Own, "run-dir", dirs.Own, "virbrd's own files")
	return cmd
}

func release(ctx context.Context, dirs state.Dirs, dry bool, out io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it changes the host's firewall")
	}
	unlock, err := virbrdStopped(dirs, dry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	todo, unread := driver.PlanRelease(dirs)
	if todo == nil {
		return unread
	}
	if err := tell(out, dirs, todo, dry); err != nil || dry {
		return errors.Join(unread, err)
	}
	h, err := host.New(host.Config{Log: newLog(os.Stderr, slog.LevelWarn)})
	if err != nil {
		return err
	}
	defer h.Close()
	return errors.Join(unread, todo.Run(ctx, h))
}

// virbrdStopped returns an error if virbrd runs, and keeps it from starting
// until the returned function is called.
func virbrdStopped(dirs state.Dirs, dry bool) (func() error, error) {
	none := func() error { return nil }
	owner, err := state.LockHolder(dirs.DaemonLock())
	if err != nil {
		return none, err
	}
	if owner.Locked {
		return none, fmt.Errorf("virbrd runs (%s) and would put everything back: stop it first, by\n"+
			"  systemctl disable --now virbrd.socket virbrd-ro.socket virbrd.service", owner)
	}
	if _, err := os.Stat(dirs.Own); err != nil || dry {
		return none, nil // nothing to keep anybody from, or nothing to be kept
	}
	lock, err := state.LockPID(dirs.DaemonLock())
	if err != nil {
		return none, err
	}
	return lock.Release, nil
}

// tell says what is removed, and what that means for guests.
func tell(out io.Writer, dirs state.Dirs, todo *driver.Release, dry bool) error {
	what := "removing"
	if dry {
		what = "would remove"
	}
	text := ""
	for _, op := range todo.Ops {
		text += what + ": " + op.String() + "\n"
	}
	for _, file := range todo.Files {
		text += what + ": " + file + "\n"
	}
	daemon, err := state.LockHolder(dirs.DriverLock())
	if err != nil {
		return err
	}
	if !daemon.Locked {
		text += "note: libvirt's network daemon does not run; guests have no firewall rules and no NAT until it starts\n"
	}
	_, err = io.WriteString(out, text)
	return err
}
