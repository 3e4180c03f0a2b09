package host

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// maxOutput is how much of a program's output is kept, in bytes.
const maxOutput = 4096

// capture runs a command and returns what it wrote to one of its outputs,
// capped. The output is a file in memory and no pipe: a daemon that the command
// leaves behind may hold it open without making anybody wait. What that one writes
// to it is lost, and told to it as an error: nobody reads it, and it would grow as
// long as the daemon lives (dnsmasq with log-facility=-, which then uses syslog).
func capture(cmd *exec.Cmd, output *io.Writer) (string, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return "", fmt.Errorf("making a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "output")
	defer func() { _ = f.Close() }()
	*output = f
	err = cmd.Run()
	if _, sealErr := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW); sealErr != nil && err == nil {
		err = fmt.Errorf("sealing a file in memory: %w", sealErr)
	}
	text := make([]byte, maxOutput)
	n, _ := f.ReadAt(text, 0)
	return strings.ToValidUTF8(string(text[:n]), "?"), err
}
