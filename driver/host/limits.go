package host

import (
	"context"
	"fmt"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
)

// The sysctls of inotify. In the first user namespace both names of a limit are
// one number; in another one only the second can be set, and both hold.
const (
	inotifyInstances     = "fs/inotify/max_user_instances"
	inotifyInstancesHere = "user/max_inotify_instances"
	inotifyWatches       = "fs/inotify/max_user_watches"
	inotifyWatchesHere   = "user/max_inotify_watches"
)

// Limits returns the bounds of the kernel that one more network may run into.
// Those that this host does not have, or does not let us read, are left out.
func (h *Host) Limits(ctx context.Context) ([]step.Limit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var list []step.Limit
	add := func(l step.Limit, ok bool) {
		if ok {
			l.Fixed = h.cfg.KeepLimits
			list = append(list, l)
		}
	}
	add(descriptors())
	add(bound(step.LimitInotify, probeInotify(), inotifyInstances, inotifyInstancesHere))
	add(bound(step.LimitWatches, 0, inotifyWatches, inotifyWatchesHere))
	add(openFiles())
	add(processes())
	for _, l := range tasks("/proc/self/cgroup") {
		add(l, true)
	}
	for _, key := range []string{"net/ipv4/neigh/default/gc_thresh2", "net/ipv4/neigh/default/gc_thresh3",
		"net/ipv6/neigh/default/gc_thresh2", "net/ipv6/neigh/default/gc_thresh3"} {
		add(bound(step.LimitNeighbours, 0, key))
	}
	return list, nil
}

// raiseLimit sets a limit higher. What is set in another way meanwhile, higher
// still, stays.
func (h *Host) raiseLimit(ctx context.Context, op step.RaiseLimit) error {
	now, err := readLimit(op.Key)
	if err != nil {
		return opError("reading sysctl", op.Key, err)
	}
	if now >= op.Value {
		return nil
	}
	if err := setSysctl(step.SetSysctl{Key: op.Key, Value: strconv.FormatInt(op.Value, 10)}); err != nil {
		return err
	}
	h.log.InfoContext(ctx, "raised a limit of the kernel, for more networks", "sysctl", strings.ReplaceAll(op.Key, "/", "."), "from", now, "to", op.Value)
	return nil
}

// bound returns the limit of the lowest of some sysctls.
func bound(kind step.LimitKind, free int64, keys ...string) (step.Limit, bool) {
	l := step.Limit{Kind: kind, Value: math.MaxInt64, Free: free}
	for _, key := range keys {
		if n, err := readLimit(key); err == nil && n < l.Value {
			l.Key, l.Value = key, n
		}
	}
	return l, l.Key != ""
}

// probeInotify returns how many inotify instances may be had still, as far as
// anybody wants to know. The kernel does not tell, so they are made and given
// back, which takes it some microseconds; the same user as a dnsmasq's that starts
// pays for them. (A watch costs it milliseconds to give back, so nobody tries.)
func probeInotify() int64 {
	var fds []int
	for len(fds) < plan.InotifySpare {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			break
		}
		fds = append(fds, fd)
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
	return int64(len(fds))
}

// descriptors tells how many files the daemon may open. A new descriptor has the
// lowest number that is free.
func descriptors() (step.Limit, bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return step.Limit{}, false
	}
	most := int64(min(limit.Cur, math.MaxInt64))
	l := step.Limit{Kind: step.LimitDescriptors, Key: "RLIMIT_NOFILE", Value: most}
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil {
		l.Free = most - int64(fd)
		_ = unix.Close(fd)
	}
	return l, true
}

// openFiles reads /proc/sys/fs/file-nr: in use, unused, most.
func openFiles() (step.Limit, bool) {
	f, err := numbers(path.Join(sysctlRoot, "fs/file-nr"))
	if err != nil || len(f) < 3 {
		return step.Limit{}, false
	}
	return step.Limit{Kind: step.LimitFiles, Key: "fs/file-max", Value: f[2], Free: f[2] - f[0]}, true
}

// processes reads how many processes and threads there are, the fourth field of
// /proc/loadavg behind a slash, and how many there may be.
func processes() (step.Limit, bool) {
	l, ok := bound(step.LimitProcesses, 0, "kernel/threads-max", "kernel/pid_max")
	data, err := readCapped("/proc/loadavg", maxCounter)
	f := strings.Fields(string(data))
	if !ok || err != nil || len(f) < 4 {
		return l, false
	}
	_, total, _ := strings.Cut(f[3], "/")
	used, err := strconv.ParseInt(total, 10, 64)
	l.Free = l.Value - used
	return l, err == nil
}

// cgroupRoot is where control groups are.
const cgroupRoot = "/sys/fs/cgroup"

// maxDepth bounds the way from a control group to the root.
const maxDepth = 16

// tasks returns the limits of a process's control group, which a file of /proc names,
// and of those that it is in.
func tasks(file string) []step.Limit {
	data, err := readCapped(file, maxConf)
	if err != nil {
		return nil
	}
	root, dir := ownGroup(string(data))
	var list []step.Limit
	for range maxDepth {
		if dir == "" || dir == "/" {
			break
		}
		file := path.Join(root, dir, "pids.max")
		most, err := numbers(file) // "max" is no number
		used, err2 := numbers(path.Join(root, dir, "pids.current"))
		if err == nil && err2 == nil && len(most) == 1 && len(used) == 1 {
			list = append(list, step.Limit{Kind: step.LimitTasks, Key: file, Value: most[0], Free: most[0] - used[0]})
		}
		dir = path.Dir(dir)
	}
	return list
}

// ownGroup finds the control group that counts processes in /proc/self/cgroup:
// "0::/system.slice/virbrd.service", or, of the first version, "8:pids:/...".
func ownGroup(text string) (root, dir string) {
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) < 3 || !path.IsAbs(f[2]) {
			continue
		}
		if f[1] == "pids" {
			return path.Join(cgroupRoot, "pids"), path.Clean(f[2])
		}
		if f[0] == "0" && f[1] == "" {
			root, dir = cgroupRoot, path.Clean(f[2])
		}
	}
	return root, dir
}

// maxCounter is how much of a file with some numbers is read, in bytes.
const maxCounter = 256

// numbers reads a file of numbers.
func numbers(file string) ([]int64, error) {
	data, err := readCapped(file, maxCounter)
	if err != nil {
		return nil, err
	}
	var list []int64
	for _, word := range strings.Fields(string(data)) {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", file, err)
		}
		list = append(list, int64(min(n, math.MaxInt64)))
	}
	return list, nil
}

// readLimit reads a sysctl of one number.
func readLimit(key string) (int64, error) {
	name, err := sysctlPath(key)
	if err != nil {
		return 0, err
	}
	list, err := numbers(name)
	if err != nil {
		return 0, err
	}
	if len(list) != 1 {
		return 0, fmt.Errorf("reading %q: %w", name, os.ErrInvalid)
	}
	return list[0], nil
}
