package sequence

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

const (
	// binEnv names the directory of the binaries under test. Set it to test
	// binaries that are already there; else they are built once.
	binEnv = "VIRBR_SEQUENCE_BIN"
	// roleEnv is set in the processes of a place: keeper or player.
	roleEnv = "VIRBR_SEQUENCE_ROLE"
	keeper  = "keeper"
	player  = "player"
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleEnv) {
	case keeper:
		err = keep()
	case player:
		err = play(os.Stdin, os.Stdout)
	default:
		binaries.Main(m, binEnv, func(dir string) error { return binaries.Build(dir) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// place is network, mount and process namespaces of their own with a player in
// them. All its processes end with it.
type place struct {
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
	end func() error
}

// newPlace starts a player.
func newPlace() (*place, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+keeper)
	cmd.SysProcAttr = netnstest.Attributes()
	cmd.SysProcAttr.Pdeathsig = 0 // it is about a thread, and ends itself with the pipe
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWPID
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a player: %w", err)
	}
	return &place{cmd: cmd, in: json.NewEncoder(in), out: json.NewDecoder(out), end: in.Close}, nil
}

// close ends the place with all that runs there.
func (p *place) close() {
	_ = p.end()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// ask has the player do something.
func (p *place) ask(task task) (answer, error) {
	var a answer
	if err := p.in.Encode(task); err != nil {
		return a, fmt.Errorf("asking the player: %w", err)
	}
	if err := p.out.Decode(&a); err != nil {
		return a, fmt.Errorf("waiting for the player: %w", err)
	}
	return a, nil
}

// keep is the first process of a place: it runs the player, and buries those
// whose parents have ended, as init does. When it ends, all others do.
func keep() error {
	if err := netnstest.Enter(); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil { // of the process namespace
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, key := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} { // never reset, so not compared
		if err := os.WriteFile("/proc/sys/net/"+key, []byte("1"), 0o644); err != nil {
			return err
		}
	}
	if err := os.Setenv(roleEnv, player); err != nil {
		return err
	}
	process, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL},
	})
	if err != nil {
		return err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case pid == process.Pid && status.ExitStatus() != 0:
			return fmt.Errorf("the player ended with %d", status.ExitStatus())
		case pid == process.Pid:
			return nil
		}
	}
}
