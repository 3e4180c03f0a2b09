package leases

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// atExecFn is AT_EXECFN of getauxval(3): where the path is that the program
// was executed by.
const atExecFn = 31

// Home returns the directory of the path that this program was executed by,
// links and all. That is not what argv[0] or os.Executable say: dnsmasq gives
// its helper the bare name as argv[0], and the executable is what the link leads
// to. It keeps daemons with directories of their own apart, as dnsmasq lets the
// helper have neither arguments nor environment of ours.
func Home() (string, error) {
	auxv, err := unix.Auxv()
	if err != nil {
		return "", fmt.Errorf("reading the auxiliary vector: %w", err)
	}
	for _, entry := range auxv {
		if entry[0] != atExecFn {
			continue
		}
		mem, err := open("/proc/self/mem", unix.O_RDONLY, 0)
		if err != nil {
			return "", fmt.Errorf("reading the path of the program: %w", err)
		}
		defer mem.close()
		var path [unix.PathMax]byte
		// The path is the last thing on the stack: the read ends early there.
		n, err := unix.Pread(mem.fd, path[:], int64(entry[1]))
		end := bytes.IndexByte(path[:max(n, 0)], 0)
		if end < 0 {
			return "", fmt.Errorf("reading the path of the program: %w", errors.Join(err, errors.New("it does not end")))
		}
		return filepath.Dir(string(path[:end])), nil
	}
	return "", errors.New("the kernel gave no path of the program")
}
