package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/driver/state"
)

// Exit statuses of virbr.
const (
	exitOK    = 0
	exitError = 1 // the work could not be done, or a checked file is wrong
	exitUsage = 2 // the command line makes no sense, or the doctor could not look

	exitChanges = 2 // of commands that are detailed: there are changes; their usage errors are errors
)

// detailed marks commands whose exit status says whether there are changes.
var detailed = map[string]string{"exit": "detailed"}

// IO is where commands read and write.
type IO struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer

	Host func() (Host, error) // opens this host, for commands that look at it; nil: there is none here

	DefaultURI string // LIBVIRT_DEFAULT_URI
	ClientFile string // libvirt.conf; "": none

	completes bool // for a shell that completes a command line: nobody can be asked for a password
}

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// errReported ends a command whose complaints are already on the output.
var errReported = errors.New("already reported")

// Run executes one command line and returns the exit status.
func Run(ctx context.Context, version string, args []string, io IO) int {
	io.completes = len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
	root := newRoot(version, io)
	root.SetArgs(args)
	root.SetIn(io.In)
	root.SetOut(io.Out)
	root.SetErr(io.Err)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errChanges):
		return exitChanges
	}
	if errors.Is(err, errReported) {
		return exitError
	}
	p := painterFor(io.Err)
	fmt.Fprintf(io.Err, "%s %v\n", p.red("virbr:"), err)
	if _, ok := errors.AsType[errLook](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintln(io.Err, "Try 'virbr --help'.")
		if cmd.Annotations["exit"] != "" {
			return exitError
		}
		return exitUsage
	}
	return exitError
}

func newRoot(version string, io IO) *cobra.Command {
	f := &daemonFlags{}
	root := &cobra.Command{
		Use:   "virbr [COMMAND]",
		Short: "Inspect libvirt networks, and forward ports to their guests",
		Long: `virbr shows what a libvirt network definition means: the canonical XML, the
files of its dnsmasq, its firewall rules and the steps that start it. It also
checks definitions before a daemon sees them. render and check work on files, or on
standard input where the file is "-". They need no daemon and no root.

Others are about networks that a daemon has, virbrd or libvirt's own: status shows
them, map draws them, top shows who sends how much, and trace follows a packet through
the host. start, stop and autostart run them. forward forwards ports of the host to
guests, address gives guests public addresses, and lease shows and reserves those of
DHCP. plan shows what a definition would change and apply changes it, while networks run;
confirm keeps a change that would else be undone; history, diff and rollback are about
the definitions that a network had.
events shows what happens to networks. doctor finds connectivity problems of guests on
this host.

Commands that ask a daemon take -c with a connection URI of libvirt, also of another host
by ssh, or an alias in libvirt.conf. Without it LIBVIRT_DEFAULT_URI counts, then uri_default
in libvirt.conf. doctor, top and trace look at the host that they run on.

Without a command virbr shows the networks, and the commands that help next.`,
		Example: `  virbr check net.xml                      is this a valid definition?
  virbr render plan net.xml                what would starting it do to the host?
  virbr render nft net.xml                 which firewall rules would it get?
  virsh net-dumpxml default | virbr render conf -
  virbr status                             which networks are there, and are they well?
  virbr map --html > map.html              what may talk to what?
  virbr trace web1 203.0.113.9:443         what becomes of a guest's packet?
  virbr forward add default 8080:80 web1   forward port 8080 of the host to a guest
  virbr lease reserve default web1         let a guest keep its address for good
  virbr plan default.xml                   what would this change, and what would guests notice?
  virbr apply default.xml                  change the network while it runs
  virbr apply --confirm 60s default.xml    so, and undo it unless "virbr confirm default" follows
  virbr history default                    who changed the network, and when?
  virbr rollback default                   undo the last change
  virbr events                             who flushed the firewall's rules?
  virbr doctor                             why do guests have no network?
  virbr -c qemu+ssh://root@host/system status
                                           the networks of another host`,
		Version:       version,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return overview(cmd.Context(), io, f) },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SuggestionsMinimumDistance = 2
	f.io, f.reports = io, state.System().Overlay().ReportDir()
	addConnect(root.Flags(), &f.connect) // of the command that follows, if that is about a daemon
	root.SetVersionTemplate("virbr {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newRender(io), newCheck(io), newDoctor(io), newSchema(io), newMan(io))
	root.AddCommand(newStatus(io), newMap(io), newTrace(io), newTop(io), newForward(io), newAddress(io), newPrefix(io), newLease(io), newUplink(io), newEvents(io))
	root.AddCommand(newStart(io), newStop(io), newAutostart(io))
	root.AddCommand(newHistory(io), newDiff(io), newRollback(io), newPlan(io), newApply(io), newConfirm(io))
	return root
}

// newGroup makes a command that has sub-commands only.
func newGroup(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// noSuchCommand refuses the arguments of a command that has sub-commands only.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("there is no command %q in %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %q?", err, near[0])
	}
	return usageError{err}
}

// exactly wants the named arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usageError{fmt.Errorf("%s: %s is missing", cmd.CommandPath(), names[len(args)])}
		case len(args) > len(names):
			return usageError{fmt.Errorf("%s: unexpected argument %q", cmd.CommandPath(), args[len(names)])}
		}
		return nil
	}
}
