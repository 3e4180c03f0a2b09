package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/leases"
)

const (
	// startPatience is how long dnsmasq may take until it serves. It reads its
	// files and asks the lease helper for what it keeps; a disk that does not
	// answer is no reason to hold a network for ever.
	startPatience = time.Minute
	// termPatience is how long dnsmasq may take to leave after SIGTERM.
	termPatience = 15 * time.Second
	// killPatience is how long the kernel may take to end it.
	killPatience = 5 * time.Second
)

// helperEnv is for the lease helper, which inherits it from dnsmasq: it has
// nothing to do at the same time, and a Go program starts in two thirds of the
// time when it is not to use several processors.
const helperEnv = "GOMAXPROCS=1"

// noHosts keeps the host's /etc/hosts from guests: what it calls by a name there is
// not their business, and 127.0.1.1, which Debian gives its name to, is their own
// loopback. The configuration is written as libvirt writes it, which has them read.
// A network that wants them has <dnsmasq:option value='addn-hosts=/etc/hosts'/>.
const noHosts = "--no-hosts"

// startDnsmasq starts dnsmasq. What an earlier run left is ended first.
func (h *Host) startDnsmasq(ctx context.Context, op step.StartDnsmasq) error {
	const doing = "starting dnsmasq for"
	err := checkLink(op.Bridge)
	for _, path := range []string{op.Conf, op.PidFile, h.cfg.LeaseHelper} {
		if err == nil {
			err = checkPath(path)
		}
	}
	if err != nil {
		return opError(doing, op.Bridge, err)
	}
	path, _ := findDnsmasq()
	if path == "" {
		return opError(doing, op.Bridge, fmt.Errorf("looking for dnsmasq in PATH: %w", syscall.ENOENT))
	}
	if err := h.makeRoom(ctx, op.PidFile); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(op.PidFile), 0o755); err != nil {
		return opError(doing, op.Bridge, err)
	}
	if op.Aside {
		h.begin(ctx, op.PidFile, func(ctx context.Context) error { return h.serve(ctx, path, op) })
		return nil
	}
	return h.serve(ctx, path, op)
}

// serve runs dnsmasq, which becomes a daemon of its own: its first process leaves
// when the daemon serves, or with the reason why not.
func (h *Host) serve(ctx context.Context, path string, op step.StartDnsmasq) error {
	const doing = "starting dnsmasq for"
	for attempt := 1; ; attempt++ {
		err := h.launch(ctx, path, op)
		if err == nil {
			break
		}
		if attempt == maxAttempts || !unsettled(err) {
			return err
		}
		h.log.DebugContext(ctx, "a link went while dnsmasq looked; starting it again", "bridge", op.Bridge)
	}
	if !h.DnsmasqAlive(op.PidFile) {
		err := fmt.Errorf("%w after its start, by what the pid file %q says; does another program run it, in a PID namespace or with other arguments?", errStopped, op.PidFile)
		return opError(doing, op.Bridge, errors.Join(err, h.endDnsmasq(context.WithoutCancel(ctx), op.PidFile)))
	}
	if op.Wide {
		return nil
	}
	if err := h.quieten(op.PidFile, op.Bridge); err != nil {
		h.log.DebugContext(ctx, "dnsmasq hears of every address", "bridge", op.Bridge, "err", err)
	}
	return nil
}

// maxAttempts bounds how often dnsmasq is started that does not come to an end
// with looking for links.
const maxAttempts = 10

// unsettled reports whether dnsmasq gave up because a link of somebody else, whose
// name it had just read, was gone when it asked more about it.
func unsettled(err error) bool {
	e, ok := errors.AsType[*ExitError](err)
	return ok && strings.Contains(e.Stderr, "failed to find list of interfaces: No such device")
}

// launch runs dnsmasq until it has become a daemon. An *[ExitError] is not
// wrapped: its text is libvirt's.
func (h *Host) launch(ctx context.Context, path string, op step.StartDnsmasq) error {
	ctx, over := context.WithTimeout(ctx, startPatience)
	defer over()
	helper, err := leases.Prepare(dnsmasq.Dirs{Dnsmasq: filepath.Dir(op.Conf)})
	if err != nil {
		return opError("starting dnsmasq for", op.Bridge, err)
	}
	cmd := exec.CommandContext(ctx, path, "--conf-file="+op.Conf, "--leasefile-ro", "--dhcp-script="+h.cfg.LeaseHelper,
		"--dhcp-scriptuser="+helper.Name, noHosts)
	env := []string{"VIR_BRIDGE_NAME=" + op.Bridge}
	cmd.Env = append(env, helperEnv)
	killGroup(cmd)
	stderr, err := capture(cmd, &cmd.Stderr)
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		// The daemon may have come to life just before, and have no pid file yet.
		return opError("starting dnsmasq for", op.Bridge, errors.Join(ctx.Err(), h.endDnsmasq(context.WithoutCancel(ctx), op.PidFile)))
	case errors.As(err, &exit):
		status := exit.Sys().(syscall.WaitStatus)
		e := &ExitError{Command: strings.Join(append(env, cmd.Args...), " "), Status: status.ExitStatus(), Stderr: stderr}
		if status.Signaled() {
			e.Signal = int(status.Signal())
		}
		if strings.Contains(stderr, inUse) {
			e.Taken = h.taken(ctx, stderr, op.Bridge, dnsPort(op.Conf))
		}
		return e
	}
	return opError("starting dnsmasq for", op.Bridge, err)
}

// signalDnsmasq asks the dnsmasq of a pid file to leave.
func (h *Host) signalDnsmasq(op step.SignalDnsmasq) error {
	const doing = "ending dnsmasq"
	if err := checkPath(op.PidFile); err != nil {
		return opError(doing, op.PidFile, err)
	}
	h.giveUp(op.PidFile)
	p, err := h.openDnsmasq(op.PidFile)
	if errors.Is(err, errStopped) {
		return nil
	} else if err != nil {
		return opError(doing, op.PidFile, err)
	}
	h.deaths.forget(op.PidFile)
	if old := h.leaving.swap(op.PidFile, p); old != nil {
		old.close()
	}
	return opError(doing, op.PidFile, p.leave())
}

// stopDnsmasq ends the dnsmasq of a pid file and removes the file. It waits for
// the process's end itself, so that the next start finds its sockets free.
func (h *Host) stopDnsmasq(ctx context.Context, op step.StopDnsmasq) error {
	if err := checkPath(op.PidFile); err != nil {
		return opError("stopping dnsmasq", op.PidFile, err)
	}
	h.giveUp(op.PidFile)
	return h.endDnsmasq(ctx, op.PidFile)
}

// makeRoom ends what an earlier run left. Without a pid file there is nothing:
// whoever removes that looks for the process first, which takes too long for each
// start on a host with thousands of processes.
func (h *Host) makeRoom(ctx context.Context, pidFile string) error {
	h.giveUp(pidFile)
	if _, err := os.Lstat(pidFile); errors.Is(err, fs.ErrNotExist) && !h.leaving.has(pidFile) {
		return nil
	}
	return h.endDnsmasq(ctx, pidFile)
}

// endDnsmasq is [Host.stopDnsmasq] for one that is not on its way aside. Where the
// pid file does not lead to the process it is looked for.
func (h *Host) endDnsmasq(ctx context.Context, pidFile string) error {
	const doing = "stopping dnsmasq"
	h.deaths.forget(pidFile)
	var err error
	p := h.leaving.take(pidFile)
	if p == nil {
		if err := awaitExit(ctx, pidFile); err != nil {
			return opError(doing, pidFile, err)
		}
		p, err = h.openDnsmasq(pidFile)
	}
	lost := errors.Is(err, errStopped)
	for {
		if lost { // more than one, if a start was cut short while it became a daemon
			p, err = h.searchDnsmasq(pidFile)
		}
		if errors.Is(err, errStopped) {
			break
		}
		if err == nil {
			err = h.terminate(ctx, p)
			p.close()
		}
		if err != nil {
			return opError(doing, pidFile, err)
		}
		if !lost {
			break
		}
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return opError(doing, pidFile, err)
	}
	return nil
}

// awaitExit waits for the process of a pid file if it is about to end, killed by
// somebody else: it cannot be told any more what it was, but it has its sockets for
// a moment.
func awaitExit(ctx context.Context, pidFile string) error {
	pid, err := readPID(pidFile)
	if err != nil {
		return nil //nolint:nilerr // there is nobody to wait for
	}
	p, err := openProcess(pid)
	if err != nil {
		return nil //nolint:nilerr // it has ended
	}
	defer p.close()
	if !p.exiting() {
		return nil
	}
	_, err = p.ended(ctx, killPatience)
	return err
}

// terminate asks a process to leave, and ends it when it does not, or when
// there is no time left to wait.
func (h *Host) terminate(ctx context.Context, p *process) error {
	if err := p.leave(); err != nil {
		return err
	}
	gone, err := p.ended(ctx, termPatience)
	if gone || err != nil {
		return err
	}
	h.log.WarnContext(ctx, "dnsmasq does not leave; killing it", "pid", p.pid)
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	gone, err = p.ended(context.WithoutCancel(ctx), killPatience)
	if err == nil && !gone {
		err = fmt.Errorf("process %d is still there after SIGKILL: %w", p.pid, syscall.ETIMEDOUT)
	}
	return err
}
