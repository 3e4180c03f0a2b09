package host

import (
	"errors"
	"os/exec"
	"syscall"
)

// Runnable tells why a user cannot run a program. What that says to --help, and
// how it ends then, is nobody's concern.
func Runnable(program string, uid, gid int) error {
	cmd := exec.Command(program, "--help")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	err := cmd.Run()
	if _, ran := errors.AsType[*exec.ExitError](err); ran {
		return nil
	}
	return err
}
