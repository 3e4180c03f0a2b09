package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/plan"
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
	// maxConf is how much of a dnsmasq configuration is read, in bytes.
	maxConf = 16 << 20
)

// helperEnv is for the lease helper, which inherits it from dnsmasq: it has
// nothing to do at the same time, and a Go program starts in two thirds of the
// time when it is not to use several processors.
const helperEnv = "GOMAXPROCS=1"

// errStopped says that no dnsmasq of ours runs; the text tells why.
var errStopped = errors.New("no dnsmasq runs")

// DnsmasqAlive reports whether the pid file names a running dnsmasq that was
// started with the configuration which names that pid file. From then on Watch
// tells when it ends.
func (h *Host) DnsmasqAlive(pidFile string) bool {
	p, err := h.openDnsmasq(pidFile)
	if err != nil {
		return false
	}
	h.deaths.watch(pidFile, p)
	return true
}

// Reload has a running dnsmasq read its hosts files again.
func (h *Host) Reload(pidFile string) error {
	p, err := h.openDnsmasq(pidFile)
	if err != nil {
		return opError("reloading dnsmasq", pidFile, err)
	}
	defer p.close()
	return opError("reloading dnsmasq", pidFile, p.signal(syscall.SIGHUP))
}

// openDnsmasq opens the process of a pid file; errStopped: there is none, or
// the number is somebody else's by now.
func (h *Host) openDnsmasq(pidFile string) (*process, error) {
	pid, err := readPID(pidFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStopped, err)
	}
	p, err := openProcess(pid)
	if errors.Is(err, syscall.ESRCH) {
		return nil, fmt.Errorf("%w: %w", errStopped, err)
	}
	if err != nil {
		return nil, err
	}
	if err := h.checkDnsmasq(p, pidFile); err != nil {
		p.close()
		return nil, fmt.Errorf("%w: %w", errStopped, err)
	}
	return p, nil
}

// searchDnsmasq looks for the dnsmasq of a pid file that may not be written yet,
// among the processes of our namespaces.
func (h *Host) searchDnsmasq(pidFile string) (*process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !sameNamespaces(pid) {
			continue
		}
		p, err := openProcess(pid)
		if err != nil {
			continue // it has ended
		}
		if h.checkDnsmasq(p, pidFile) == nil {
			return p, nil
		}
		p.close()
	}
	return nil, fmt.Errorf("%w for %q", errStopped, pidFile)
}

// sameNamespaces reports whether a process sees our network and our files.
func sameNamespaces(pid int) bool {
	for _, kind := range []string{"net", "mnt"} {
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		ours, ourErr := os.Readlink("/proc/self/ns/" + kind)
		if err != nil || ourErr != nil || theirs != ours {
			return false
		}
	}
	return true
}

// checkDnsmasq refuses a process that is no dnsmasq, or another network's. That
// it still runs is asked last: then all that was read is its own.
func (h *Host) checkDnsmasq(p *process, pidFile string) error {
	name, err := p.executable()
	if err != nil {
		return err
	}
	if name != "dnsmasq" && !h.sameProgram(p) {
		return fmt.Errorf("process %d runs %q", p.pid, name)
	}
	args, err := p.arguments()
	if err != nil {
		return err
	}
	if !servesPIDFile(args, pidFile) {
		return fmt.Errorf("process %d is another dnsmasq", p.pid)
	}
	if !p.running() {
		return fmt.Errorf("process %d has ended", p.pid)
	}
	return nil
}

// sameProgram reports whether the process runs the installed dnsmasq, whatever
// the file's name.
func (h *Host) sameProgram(p *process) bool {
	_, want := findDnsmasq()
	have, err := os.Stat(fmt.Sprintf("/proc/%d/exe", p.pid))
	return err == nil && want != nil && os.SameFile(want, have)
}

// servesPIDFile reports whether a dnsmasq's command line leads to the pid file:
// by what its configuration says, or, when that is gone, by its name.
func servesPIDFile(args []string, pidFile string) bool {
	for _, arg := range args {
		conf, ok := strings.CutPrefix(arg, "--conf-file=")
		if !ok || !filepath.IsAbs(conf) {
			continue
		}
		data, err := readCapped(conf, maxConf)
		if errors.Is(err, fs.ErrNotExist) {
			return xmlName.Replace(strings.TrimSuffix(filepath.Base(conf), ".conf")) == strings.TrimSuffix(filepath.Base(pidFile), ".pid")
		}
		for line := range strings.Lines(string(data)) { // none, if it cannot be read
			if path, ok := strings.CutPrefix(strings.TrimSpace(line), "pid-file="); ok {
				return path == pidFile || samePath(path, pidFile)
			}
		}
		return false
	}
	return false
}

// xmlName writes a network's name as libvirt has it in pid files but not in the
// configuration's name.
var xmlName = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")

// samePath reports whether two paths lead to one file (/var/run is /run).
func samePath(a, b string) bool {
	fa, errA := os.Stat(a)
	fb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(fa, fb)
}

// startDnsmasq starts dnsmasq. What an earlier run left is ended first.
func (h *Host) startDnsmasq(ctx context.Context, op plan.StartDnsmasq) error {
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
	if err := h.stopDnsmasq(ctx, plan.StopDnsmasq{PidFile: op.PidFile}); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(op.PidFile), 0o755); err != nil {
		return opError(doing, op.Bridge, err)
	}
	if op.Aside {
		h.starts.begin(ctx, op.PidFile, func(ctx context.Context) error { return h.serve(ctx, path, op) })
		return nil
	}
	return h.serve(ctx, path, op)
}

// serve runs dnsmasq, which becomes a daemon of its own: its first process leaves
// when the daemon serves, or with the reason why not.
func (h *Host) serve(ctx context.Context, path string, op plan.StartDnsmasq) error {
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
		return opError(doing, op.Bridge, fmt.Errorf("%w after its start: no process by the pid file %q", errStopped, op.PidFile))
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
func (h *Host) launch(ctx context.Context, path string, op plan.StartDnsmasq) error {
	ctx, over := context.WithTimeout(ctx, startPatience)
	defer over()
	cmd := exec.CommandContext(ctx, path, "--conf-file="+op.Conf, "--leasefile-ro", "--dhcp-script="+h.cfg.LeaseHelper)
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
		stop := plan.StopDnsmasq{PidFile: op.PidFile, Search: true}
		return opError("starting dnsmasq for", op.Bridge, errors.Join(ctx.Err(), h.endDnsmasq(context.WithoutCancel(ctx), stop)))
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
func (h *Host) signalDnsmasq(op plan.SignalDnsmasq) error {
	const doing = "ending dnsmasq"
	if err := checkPath(op.PidFile); err != nil {
		return opError(doing, op.PidFile, err)
	}
	h.starts.giveUp(op.PidFile)
	p, err := h.openDnsmasq(op.PidFile)
	if errors.Is(err, errStopped) {
		return nil
	} else if err != nil {
		return opError(doing, op.PidFile, err)
	}
	defer p.close()
	h.deaths.forget(op.PidFile)
	return opError(doing, op.PidFile, p.signal(syscall.SIGTERM))
}

// stopDnsmasq ends the dnsmasq of a pid file and removes the file. It waits for
// the process's end itself, so that the next start finds its sockets free.
func (h *Host) stopDnsmasq(ctx context.Context, op plan.StopDnsmasq) error {
	if err := checkPath(op.PidFile); err != nil {
		return opError("stopping dnsmasq", op.PidFile, err)
	}
	h.starts.giveUp(op.PidFile)
	return h.endDnsmasq(ctx, op)
}

// endDnsmasq is [Host.stopDnsmasq] for one that is not on its way aside.
func (h *Host) endDnsmasq(ctx context.Context, op plan.StopDnsmasq) error {
	const doing = "stopping dnsmasq"
	h.deaths.forget(op.PidFile)
	if err := awaitExit(ctx, op.PidFile); err != nil {
		return opError(doing, op.PidFile, err)
	}
	p, err := h.openDnsmasq(op.PidFile)
	if errors.Is(err, errStopped) && op.Search {
		p, err = h.searchDnsmasq(op.PidFile)
	}
	switch {
	case errors.Is(err, errStopped):
	case err != nil:
		return opError(doing, op.PidFile, err)
	default:
		defer p.close()
		if err := h.terminate(ctx, p); err != nil {
			return opError(doing, op.PidFile, err)
		}
		if op.Search { // it may have been on its way to another process
			return h.endDnsmasq(ctx, op)
		}
	}
	if err := os.Remove(op.PidFile); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return opError(doing, op.PidFile, err)
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
	if err := p.signal(syscall.SIGTERM); err != nil {
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
