package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

// Conn is a connection by ssh.
type Conn struct {
	net.Conn
	target *Target
	cmd    *exec.Cmd
	said   complaint

	close func() error
}

// Dial starts ssh. That it got there shows when something is read.
func Dial(ctx context.Context, t *Target, readOnly bool) (*Conn, error) {
	if err := errors.Join(t.Check(), ctx.Err()); err != nil {
		return nil, fmt.Errorf("connecting by ssh: %w", err)
	}
	ours, theirs, err := pair()
	if err != nil {
		return nil, fmt.Errorf("connecting to %q by ssh: %w", t, err)
	}
	c := &Conn{Conn: ours, target: t}
	c.cmd = exec.Command(cmp.Or(t.Command, "ssh"), t.arguments(readOnly)...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = theirs, theirs, &c.said
	// A master that ssh leaves behind (ControlPersist) keeps standard error open.
	c.cmd.WaitDelay = patience
	c.close = sync.OnceValue(c.end)
	err = c.cmd.Start()
	if err = errors.Join(err, theirs.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to %q by ssh: %w", t, err), ours.Close())
	}
	return c, nil
}

// pair makes two ends of a stream: ours knows deadlines.
func pair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ssh"), os.NewFile(uintptr(fds[1]), "ssh")
	conn, err := net.FileConn(ours) // a duplicate
	if err = errors.Join(err, ours.Close()); err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return conn, theirs, nil
}

// patience is how long ssh has to end by itself when its input is over.
const patience = 2 * time.Second

// Close closes the connection and waits for ssh to end.
func (c *Conn) Close() error { return c.close() }

func (c *Conn) end() error {
	err := c.Conn.Close()
	kill := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	_ = c.cmd.Wait() // what it says is for Failure
	kill.Stop()
	return err
}

// notReached is ssh's own exit status; any other is that of the command over there.
const notReached = 255

// Failure closes the connection and says why it carried nothing; reached: ssh got to the
// host, and there is no daemon.
func (c *Conn) Failure() (why string, reached bool) {
	_ = c.Close()
	return c.said.String(), c.cmd.ProcessState != nil && c.cmd.ProcessState.ExitCode() != notReached && c.cmd.ProcessState.Exited()
}

// maxComplaint is how much is kept of what ssh and the other host say, in bytes.
const maxComplaint = 2048

// complaint keeps the beginning of standard error.
type complaint struct {
	mu   sync.Mutex // guards text: Wait may give up on the writer
	text []byte
}

func (c *complaint) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, p[:min(len(p), maxComplaint-len(c.text))]...)
	return len(p), nil
}

// String returns it on one line, without what a terminal would obey.
func (c *complaint) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for line := range strings.Lines(string(c.text)) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, line))
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
