package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxStderr is how many bytes of a script's standard error are kept for its
// error message. The rest is read and dropped, so that the script can go on.
const maxStderr = 4096

// pipeGrace is how long output is still read after a script has ended: a
// process that it left in the background may hold the pipe for ever.
const pipeGrace = 100 * time.Millisecond

// ScriptError says that a script ended other than with exit status 0.
type ScriptError struct {
	Command string // environment and arguments, quoted as for a shell
	Status  string // "exit status 1", "fatal signal 9", or why it never ran
	Stderr  string // at most 4096 bytes
	Err     error  // set when the script could not be run at all
}

// Error is libvirt's wording for the same failure.
func (e *ScriptError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("internal error: Child process (%s) could not be run: %v", e.Command, e.Err)
	}
	msg := fmt.Sprintf("internal error: Child process (%s) unexpected %s", e.Command, e.Status)
	if e.Stderr != "" {
		msg += ": " + e.Stderr
	}
	return msg
}

// Unwrap returns why the script could not be run; nil when it ran.
func (e *ScriptError) Unwrap() error { return e.Err }

// run runs one script until it ends or ctx is done, in which case the script
// and all that it started in its process group are killed.
func (r *Runner) run(ctx context.Context, path string, args []string, doc []byte) error {
	stderr := &capped{max: maxStderr}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "/"
	cmd.Env = append(slices.Clone(r.env), OwnerEnv+"=virbrd")
	cmd.Stdin = bytes.NewReader(doc)
	cmd.Stderr = stderr
	cmd.WaitDelay = pipeGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	failed := &ScriptError{Command: r.command(path, args), Stderr: stderr.buf.String()}
	if cerr := ctx.Err(); cerr != nil {
		failed.Err = cerr
		return failed
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		failed.Err = err
		return failed
	}
	failed.Status = fmt.Sprintf("exit status %d", exit.ExitCode())
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		failed.Status = fmt.Sprintf("fatal signal %d", int(ws.Signal()))
	}
	return failed
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
	buf bytes.Buffer
	max int
}

func (c *capped) Write(p []byte) (int, error) {
	if room := c.max - c.buf.Len(); room > 0 {
		c.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
