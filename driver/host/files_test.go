package host

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// Without inotify the files are followed by fanotify, and that is said.
func TestLeasesAreFollowedWithoutInotify(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		dir := t.TempDir()
		if f, err := openFan(dir); err != nil {
			netnstest.Need(t, "needs fanotify that reports names (Linux 5.9, CONFIG_FANOTIFY, root): "+err.Error())
		} else {
			f.close()
		}
		var log bytes.Buffer
		h, err := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Leases: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		told := make(chan step.Change, 16)
		followed := h.followFans(t.Context(), leaseFiles, leasesLost, h.places(func(c step.Change) { told <- c }, nil), unix.EMFILE)
		defer followed.close()
		if !strings.Contains(log.String(), "raise fs.inotify.max_user_instances") {
			t.Errorf("the log does not say what to do: %s", &log)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- followed.run(ctx) }()
		temp := filepath.Join(dir, "temp")
		status := filepath.Join(dir, "virbr7.status")
		for _, change := range []func() error{
			func() error { return errors.Join(os.WriteFile(temp, nil, 0o600), os.Rename(temp, status)) },
			func() error { return os.Remove(status) },
			func() error { return os.WriteFile(status, nil, 0o600) },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
			if c := <-told; c != (step.Change{Kind: step.ChangeLeases, Link: "virbr7"}) {
				t.Errorf("told %+v", c)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// Where there is nothing to follow files by, the rest goes on.
func TestLeasesThatCannotBeFollowed(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		var log bytes.Buffer
		dir := "/dev/null/gone"
		h, err := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Leases: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		followed := h.followFans(t.Context(), leaseFiles, leasesLost, h.places(nil, nil), unix.EMFILE)
		defer followed.close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := followed.run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		if !strings.Contains(log.String(), "leases are seen when guests use them") {
			t.Errorf("the log does not say what is lost: %s", &log)
		}
	})
}

// What the kernel could not keep is told as a change of everything.
func TestLostNewsAreToldAsAll(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		f, err := h.openFollower()
		if err != nil {
			t.Fatal(err)
		}
		defer f.news.close()
		err = control(f.news.file, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
		if err != nil {
			t.Fatal(err)
		}
		if err := h.addBridge(step.AddBridge{Name: "virbr0"}); err != nil {
			t.Fatal(err)
		}
		link, err := netlink.LinkByName("virbr0")
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			err := netlink.NeighSet(&netlink.Neigh{
				LinkIndex: link.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_REACHABLE,
				IP: []byte{10, 0, 0, byte(i)}, HardwareAddr: []byte{0x52, 0x54, 0, 0, 0, byte(i)},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		want := map[step.Change]bool{{Kind: step.ChangeNeighbours}: true, {Kind: step.ChangeAddresses}: true}
		err = f.run(ctx, func(c step.Change) {
			if delete(want, c); len(want) == 0 {
				cancel()
			}
		})
		if cancel(); !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// What is remembered of guests is bounded, whatever they say.
func TestFollowerForgets(t *testing.T) {
	t.Parallel()
	f := &follower{neighbours: map[onLink]xml.MAC{}, addresses: map[onLink]uint8{}, changed: map[followedChange]bool{}}
	for i := range 2*maxSeen + 1 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		f.neighbour(seenNeighbour{link: 1, address: a, alive: true})
		f.address(onLink{1, a}, 0, true)
	}
	if len(f.neighbours) > maxSeen || len(f.addresses) > maxSeen || len(f.changed) != 2 {
		t.Errorf("%d neighbours and %d addresses are remembered, %d changes", len(f.neighbours), len(f.addresses), len(f.changed))
	}
}

// The kernel's answers are read without trust in their lengths.
func FuzzNews(f *testing.F) {
	f.Add(make([]byte, 24))
	f.Add([]byte{48, 0, 0, 0, 3, 0, 24, 0, 8, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 2, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'a', 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		readFan(data, func(string) {})
		d := &directories{followed: map[int32]directory{1: {changed: func(string) {}}}}
		_ = d.read(data)
		h := &Host{fd: -1}
		h.parseListener(data, "sctp")
		fw := &follower{neighbours: map[onLink]xml.MAC{}, addresses: map[onLink]uint8{}, changed: map[followedChange]bool{}}
		for _, typ := range []uint16{unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH, unix.RTM_NEWADDR, unix.RTM_DELADDR} {
			fw.hear(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: typ}, Data: data})
		}
		ctMatch(data, step.EndConnections{Guest: netip.IPv4Unspecified()}, 6)
	})
}

// exhaustedEnv says that the process is the one in which there is no inotify.
const exhaustedEnv = "VIRBR_TEST_EXHAUSTED"

// A host whose inotify instances are used up is watched all the same. Whose they
// are is counted by user namespace, so this one has none, and the machine keeps
// its own.
func TestWatchWithoutInotify(t *testing.T) {
	if os.Getenv(exhaustedEnv) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWatchWithoutInotify$", "-test.v")
		cmd.Env = append(os.Environ(), exhaustedEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
			netnstest.Need(t, "needs a user namespace: "+err.Error()+"; set user.max_user_namespaces, or kernel.apparmor_restrict_unprivileged_userns=0")
		}
		if err != nil || !strings.Contains(string(out), "--- PASS: ") {
			t.Errorf("in its namespaces: %v\n%s", err, out)
		}
		return
	}
	if err := os.WriteFile("/proc/sys/user/max_inotify_instances", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if d, err := openDirectories(); !errors.Is(err, unix.EMFILE) {
		d.close()
		t.Fatalf("opening inotify: %v: nothing is tested here", err)
	}
	var log bytes.Buffer
	dir := t.TempDir()
	h, err := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Leases: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan step.Change, 64)
	ended := make(chan error, 1)
	go func() { ended <- h.Watch(ctx, func(c step.Change) { told <- c }) }()
	for c := range told {
		if c == (step.Change{Kind: step.ChangeLeases}) { // it has begun
			if err := os.WriteFile(filepath.Join(dir, "virbr7.status"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.Kind == step.ChangeLeases && c.Link == "virbr7" {
			break
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if !strings.Contains(log.String(), "followed by fanotify, for inotify is used up. raise") {
		t.Errorf("the log does not say so: %s", &log)
	}
}
