package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/doctor"
)

// parent returns the parent of a process; 0: not known.
func parent(pid int) int {
	data, err := readCapped(fmt.Sprintf("/proc/%d/status", pid), maxResolv)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "PPid:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(text))
			return n
		}
	}
	return 0
}

// unitOf returns the systemd service of a process by its control group; "":
// none.
func unitOf(pid int) string {
	data, err := readCapped(fmt.Sprintf("/proc/%d/cgroup", pid), maxResolv)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		_, path, _ := strings.Cut(strings.TrimSpace(line), ":/")
		if rest, ok := strings.CutPrefix(path, "system.slice/"); ok && strings.HasSuffix(rest, ".service") {
			return filepath.Base(rest)
		}
	}
	return ""
}

// listeners reads the sockets that wait on ports, and whose they are.
func (s *survey) listeners(ctx context.Context) error {
	list, err := s.h.Listeners(ctx)
	owners := socketOwners(ctx, 0) // behind it: a socket that is new has an owner by now
	known := map[uint32]doctor.Process{}
	for i, l := range list {
		if _, ok := known[l.Inode]; !ok {
			known[l.Inode] = describe(owners[l.Inode])
		}
		list[i].Process = known[l.Inode]
	}
	s.facts.Listeners = list
	return err
}

// daemons finds who keeps the networks, by the locks that they hold.
func (s *survey) daemons() {
	d := &s.facts.Daemons
	_, err := os.Stat("/run/systemd/system")
	d.Systemd = err == nil
	d.Virbrd = describe(lockHolder(filepath.Join(s.places.Own, "virbrd.pid")))
	d.Holder = describe(lockHolder(filepath.Join(s.places.State, "driver.pid")))
}

// lockHolder returns who has locked a pid file, as it says; 0: nobody has.
func lockHolder(path string) int {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil || lock.Type == unix.F_UNLCK {
		return 0
	}
	pid, err := readPID(path)
	if err != nil {
		return int(max(lock.Pid, 0))
	}
	return pid
}
