package faulttest

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// launchEnv tells a test's binary that it is a launcher.
const launchEnv = "VIRBR_FAULTTEST_LAUNCH"

// Launched must be called first in the TestMain of a package that uses [Start].
// In a process that Start made it becomes the program, whose path and arguments
// are its own; elsewhere it does nothing.
func Launched() {
	if os.Getenv(launchEnv) == "" {
		return
	}
	fmt.Fprintln(os.Stderr, "launching", os.Args[1], launch())
	os.Exit(127)
}

// launch gives itself the filter, waits until the test has its listener, and
// becomes the program. It makes no call of those that are watched: nobody would
// answer.
func launch() error {
	runtime.LockOSThread() // the filter is this thread's
	const tell, wait = 3, 4
	fd, err := install(Watched())
	if err != nil {
		return fmt.Errorf("installing the filter of system calls: %w", err)
	}
	if _, err := unix.Pwritev2(tell, [][]byte{fmt.Appendln(nil, fd)}, -1, 0); err != nil {
		return err
	}
	_, _ = unix.Read(wait, make([]byte, 1)) // its end
	for _, own := range []int{fd, tell, wait} {
		unix.CloseOnExec(own)
	}
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, launchEnv+"=") {
			env = append(env, v)
		}
	}
	return unix.Exec(os.Args[1], os.Args[1:], env)
}

// steal returns a duplicate of a descriptor of another process.
func steal(process, theirs int) (int, error) {
	pidfd, err := unix.PidfdOpen(process, 0)
	if err != nil {
		return 0, fmt.Errorf("taking the listener: %w", err)
	}
	defer unix.Close(pidfd) //nolint:errcheck // nothing was written
	fd, err := unix.PidfdGetfd(pidfd, theirs, 0)
	if err != nil {
		return 0, fmt.Errorf("taking the listener: %w", err)
	}
	unix.CloseOnExec(fd)
	return fd, nil
}
