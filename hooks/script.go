package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxStderr is how many bytes of a script's standard error are kept for its
// error message. The rest is read and dropped, so that the script can go on.
const maxStderr = 4096

// pipeGrace is how long output is still read after a script has ended: a
// process that it left in the background may hold the pipe for ever.
const pipeGrace = 100 * time.Millisecond

// stopGrace is how long a script may still run when the daemon is to end.
const stopGrace = 3 * time.Second

// killGrace is what lies between SIGTERM and SIGKILL for a script that is ended,
// and how long the end is waited for after that: a process that waits in the
// kernel, for a dead file server, cannot be killed.
const killGrace = time.Second

// Why a script is ended by us.
var (
	ErrOverdue  = errors.New("it takes too long")
	ErrStopping = errors.New("virbrd is stopping")
)

// ScriptError says that a script ended other than with exit status 0.
type ScriptError struct {
	Command string // environment and arguments, quoted as for a shell
	Status  string // "exit status 1", "fatal signal 9", "ended" by us; "": it never ran
	Stderr  string // at most 4096 bytes
	Err     error  // why the script could not be run at all, or why we ended it
}

// Error is libvirt's wording for the same failure, where libvirt has it.
func (e *ScriptError) Error() string {
	var msg string
	switch {
	case e.Err == nil:
		msg = fmt.Sprintf("internal error: Child process (%s) unexpected %s", e.Command, e.Status)
	case e.Status == "":
		return fmt.Sprintf("internal error: Child process (%s) could not be run: %v", e.Command, e.Err)
	default:
		msg = fmt.Sprintf("internal error: Child process (%s) was ended: %v", e.Command, e.Err)
	}
	if e.Stderr != "" {
		msg += ": " + e.Stderr
	}
	return msg
}

// Unwrap returns why the script could not be run, or why we ended it; nil when it
// ended by itself.
func (e *ScriptError) Unwrap() error { return e.Err }

// run runs one script until it ends, its time is over or ctx is done; then the
// script and all that it started in its process group are ended.
func (r *Runner) run(ctx context.Context, path string, args []string, doc []byte) error {
	stderr := &capped{max: maxStderr}
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Env = append(slices.Clone(r.env), OwnerEnv+"=virbrd")
	cmd.Stdin = bytes.NewReader(doc)
	cmd.Stderr = stderr
	cmd.WaitDelay = pipeGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	failed := &ScriptError{Command: r.command(path, args)}
	if failed.Err = ctx.Err(); failed.Err == nil {
		failed.Err = cmd.Start()
	}
	if failed.Err != nil {
		return failed
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // outlives us only with a process that cannot be killed
	if failed.Err = r.await(ctx, ended); failed.Err != nil {
		end(cmd.Process.Pid, ended)
		failed.Status, failed.Stderr = "ended", stderr.text()
		return failed
	}
	err := <-ended
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	failed.Stderr = stderr.text()
	if failed.Status = status(err); failed.Status == "" {
		failed.Err = err
	}
	return failed
}

// await returns nil when a script has ended, whose end stays in the channel, or why
// it is to be ended.
func (r *Runner) await(ctx context.Context, ended chan error) error {
	late := make(<-chan time.Time)
	if r.timeout > 0 {
		timer := time.NewTimer(r.timeout)
		defer timer.Stop()
		late = timer.C
	}
	var last <-chan time.Time
	for stopping := r.stopping; ; {
		select {
		case err := <-ended:
			ended <- err
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return fmt.Errorf("%w: the limit is %g seconds (hook_timeout in virbrd.conf)", ErrOverdue, r.timeout.Seconds())
		case <-last:
			return ErrStopping
		case <-stopping:
			timer := time.NewTimer(stopGrace)
			defer timer.Stop()
			last, stopping = timer.C, nil
		}
	}
}

// end ends a script and its process group.
func end(pid int, ended <-chan error) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		_ = syscall.Kill(-pid, signal) // fails where there is nobody any more
		timer := time.NewTimer(killGrace)
		select {
		case <-ended:
			timer.Stop()
			_ = syscall.Kill(-pid, syscall.SIGKILL) // children that took no notice
			return
		case <-timer.C:
		}
	}
}

// status says how a script ended: "exit status 1", "fatal signal 9"; "": not by an
// exit status other than 0.
func status(err error) string {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return ""
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return fmt.Sprintf("fatal signal %d", int(ws.Signal()))
	}
	return fmt.Sprintf("exit status %d", exit.ExitCode())
}

// command is the script's environment and arguments as one would type them, as in
// libvirt's messages: what only we set is left out.
func (r *Runner) command(path string, args []string) string {
	var words []string
	for _, kv := range r.env {
		key, value, _ := strings.Cut(kv, "=")
		words = append(words, key+"="+quote(value))
	}
	words = append(words, quote(path))
	for _, a := range args {
		words = append(words, quote(a))
	}
	return strings.Join(words, " ")
}

func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, "\r\t\n !\"#$&'()*;<>?[\\]^`{|}~") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// capped keeps the first max bytes that are written to it.
type capped struct {
	max int

	mu  sync.Mutex // guards what follows; who does not end may still write
	buf bytes.Buffer
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if room := c.max - c.buf.Len(); room > 0 {
		c.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (c *capped) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}
