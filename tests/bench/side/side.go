package side

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/virbr/virbr/tests/netnstest"
)

// Side is a child that answers with a T.
type Side[T any] struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

// Start runs this program again, with arguments and with a variable of the environment
// that tells the child what it is to be. The child is ready when this returns.
func Start[T any](variable, name string, args ...string) (*Side[T], error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &Side[T]{name: name, cmd: exec.Command(self, args...)}
	s.cmd.Env = append(os.Environ(), variable+"="+name)
	s.cmd.SysProcAttr = netnstest.Attributes()
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	if !s.out.Scan() { // it says that it is ready
		return nil, errors.Join(fmt.Errorf("%s did not come up", name), s.out.Err())
	}
	return s, nil
}

// Ask has the child do one thing and returns what it measured.
func (s *Side[T]) Ask(what string) (got T, err error) {
	if _, err := fmt.Fprintln(s.in, what); err != nil {
		return got, err
	}
	if !s.out.Scan() {
		return got, errors.Join(fmt.Errorf("%s: no answer to %q", s.name, what), s.out.Err())
	}
	return got, json.Unmarshal(s.out.Bytes(), &got)
}

// End ends the child.
func (s *Side[T]) End() {
	_ = s.in.Close()
	_ = s.cmd.Wait()
}

// Serve is the child's part, once it is what it is to be: it answers until it is ended.
func Serve[T any](answer func(question string) (T, error)) error {
	lines, answers := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	fmt.Println("ready")
	for lines.Scan() {
		got, err := answer(lines.Text())
		if err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
		if err := answers.Encode(got); err != nil {
			return err
		}
	}
	return lines.Err()
}

// Progress tells a person at a terminal how far it is.
func Progress(format string, args ...any) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, format, args...)
	}
}
