package host

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// Runnable tells why a program does not run as a user, or fails.
func Runnable(uid, gid int, program string, args ...string) error {
	var stderr strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stderr = "/", &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	err := cmd.Run()
	if _, ran := errors.AsType[*exec.ExitError](err); ran {
		return fmt.Errorf("%w: %.500s", err, strings.TrimSpace(stderr.String()))
	}
	return err
}
