package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/dnsmasq"
)

// newLeases is what dnsmasq calls whenever a lease changes, and once when it
// starts. It needs no daemon: leases are right while virbrd is down.
func newLeases() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:    "leases add|old|del MAC|DUID ADDRESS [HOSTNAME] | init",
		Short:  "Keep a network's lease file (called by dnsmasq)",
		Hidden: true,
		Args:   cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ev, err := dnsmasq.ParseEvent(args, os.Getenv)
			if err != nil {
				return fmt.Errorf("leases: %w", err)
			}
			file := dnsmasq.Dirs{Dnsmasq: filepath.Join(dir, leaseLink)}.Status(ev.Interface)
			if err := record(ev, file, filepath.Join(dir, ev.Interface+".leases.lock"), cmd.OutOrStdout()); err != nil {
				return fmt.Errorf("leases of %q: %w", ev.Interface, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "/run/virbr", "virbrd's run directory")
	return cmd
}

// record puts one event into a lease file, under a lock of this one network.
func record(ev dnsmasq.Event, file, lockFile string, out io.Writer) error {
	lock, err := os.OpenFile(lockFile, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("opening the lock: %w", err)
	}
	defer lock.Close() //nolint:errcheck // gives the lock up
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	entries, err := readLeases(file)
	if err != nil {
		return err
	}
	if ev.Action == dnsmasq.ActionInit {
		_, err := io.WriteString(out, dnsmasq.InitText(entries, ev.Entry.ServerDUID))
		return err
	}
	return replace(file, dnsmasq.FormatLeases(dnsmasq.Apply(entries, ev)))
}

// readLeases reads a lease file. One that is missing, or broken beyond reading,
// has no leases, as with libvirt's helper: dnsmasq must go on.
func readLeases(file string) ([]dnsmasq.Entry, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, dnsmasq.MaxFile+1))
	if err != nil {
		return nil, err
	}
	entries, err := dnsmasq.ParseLeases(file, data)
	if e, ok := errors.AsType[*dnsmasq.FileError](err); ok && e.Syntax {
		return nil, nil
	}
	return entries, err
}

// replace writes a file so that a reader, or a crash, sees the old or the new
// one and nothing in between.
func replace(file string, data []byte) error {
	temporary := file + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}
