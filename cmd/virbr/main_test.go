package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/netnstest"
)

// mainEnv makes the test binary run the program.
const mainEnv = "VIRBR_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestInterrupt: who waits for more input can be ended by Ctrl-C.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = in.Close(), out.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // then it is killed, which is another signal
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "check", "-")
	cmd.Env, cmd.Stdin = append(os.Environ(), mainEnv+"=1"), in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteString("<network>"); err != nil {
		t.Fatal(err)
	}
	netnstest.Wait(t, "virbr reads its input", func() error {
		n, err := unix.IoctlGetInt(int(in.Fd()), unix.TIOCINQ)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d bytes are left", n)
		}
		return err
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // tells the same as the status
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGINT {
		t.Errorf("virbr ended with %v, not by the signal", cmd.ProcessState)
	}
}
