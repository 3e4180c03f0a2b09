package host_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// serve makes a bridge with an address and a configuration for it, and returns
// what starts a dnsmasq there.
func serve(t testing.TB, h *host.Host, bridge string, n int) step.StartDnsmasq {
	t.Helper()
	op := step.StartDnsmasq{
		Conf:    "/var/lib/libvirt/dnsmasq/" + bridge + ".conf",
		PidFile: "/run/libvirt/network/" + bridge + ".pid",
		Bridge:  bridge,
	}
	subnet := fmt.Sprintf("10.77.%d.", n)
	conf := "strict-order\nno-resolv\npid-file=" + op.PidFile + "\nexcept-interface=lo\nbind-dynamic\ninterface=" + bridge +
		"\ndhcp-range=" + subnet + "10," + subnet + "20\ndhcp-authoritative\n"
	run(t, h,
		step.AddBridge{Name: bridge},
		step.AddAddress{Link: bridge, Address: netip.MustParsePrefix(subnet + "1/24"), Broadcast: netip.MustParseAddr(subnet + "255")},
		step.SetUp{Link: bridge},
		step.WriteFile{Path: op.Conf, Mode: 0o600, Data: conf},
	)
	return op
}

func pidOf(t testing.TB, pidFile string) int {
	t.Helper()
	pid, err := strconv.Atoi(read(t, pidFile))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// scriptUser returns the user that owns the lease helper's directory.
func scriptUser(t testing.TB) string {
	t.Helper()
	st, err := os.Stat("/var/lib/libvirt/dnsmasq/virbr")
	if err != nil {
		t.Fatal(err)
	}
	u, err := user.LookupId(fmt.Sprint(st.Sys().(*syscall.Stat_t).Uid))
	if err != nil {
		t.Fatal(err)
	}
	if u.Uid == "0" {
		t.Error("the lease helper is root")
	}
	return u.Username
}

// ended reports whether a process is no more, or waits for being reaped.
func ended(pid int) error {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || strings.Contains(string(data), ") Z ") {
		return nil
	}
	return fmt.Errorf("process %d is there", pid)
}

func TestDnsmasqRunsAndStops(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq", "busybox")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		run(t, h, op)
		pid := pidOf(t, op.PidFile)
		if !h.DnsmasqAlive(op.PidFile) {
			t.Fatal("dnsmasq is not alive after its start")
		}
		env := strings.TrimRight(read(t, fmt.Sprintf("/proc/%d/environ", pid)), "\x00")
		args := strings.ReplaceAll(strings.TrimRight(read(t, fmt.Sprintf("/proc/%d/cmdline", pid)), "\x00"), "\x00", " ")
		if env != "VIR_BRIDGE_NAME=virbr0\x00GOMAXPROCS=1" {
			t.Errorf("environment is %q", env)
		}
		if !strings.HasSuffix(args, "/dnsmasq --conf-file="+op.Conf+" --leasefile-ro --dhcp-script=/bin/true --dhcp-scriptuser="+scriptUser(t)+" --no-hosts") {
			t.Errorf("command line is %q", args)
		}
		g := netnstest.NewGuest(t, "g", "virbr0")
		if a, err := g.DHCP(t).Address(); err != nil || !netip.MustParsePrefix("10.77.0.0/24").Contains(a) {
			t.Errorf("the guest got %v, %v", a, err)
		}
		if err := h.Reload(op.PidFile); err != nil {
			t.Errorf("reloading: %v", err)
		}

		run(t, h, op) // again, as after a crash: the old one makes room
		next := pidOf(t, op.PidFile)
		if next == pid || ended(pid) != nil {
			t.Errorf("after a second start: process %d, was %d: %v", next, pid, ended(pid))
		}
		stop := step.StopDnsmasq{PidFile: op.PidFile}
		run(t, h, stop)
		if err := ended(next); err != nil || h.DnsmasqAlive(op.PidFile) {
			t.Errorf("after a stop: %v", err)
		}
		if _, err := os.Stat(op.PidFile); err == nil {
			t.Error("the pid file is there after a stop")
		}
		run(t, h, stop)
		if err := h.Reload(op.PidFile); err == nil {
			t.Error("a dnsmasq that does not run was reloaded")
		}
	})
}

func TestDnsmasqThatRefusesIsReported(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		run(t, h, step.WriteFile{Path: op.Conf, Mode: 0o600, Data: "no-such-option\n"})
		err := h.Run(t.Context(), op)
		var exit *host.ExitError
		if !errors.As(err, &exit) {
			t.Fatalf("with a bad configuration: %v", err)
		}
		path, _ := exec.LookPath("dnsmasq")
		prefix := "Child process (VIR_BRIDGE_NAME=virbr0 " + path + " --conf-file=" + op.Conf +
			" --leasefile-ro --dhcp-script=/bin/true --dhcp-scriptuser=" + scriptUser(t) + " --no-hosts) unexpected exit status 1: "
		if !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(exit.Stderr, "bad option at line 1 of "+op.Conf) {
			t.Errorf("error is %q, want %q...", err, prefix)
		}
	})
}

func TestDnsmasqSaysThatPort53IsTaken(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		l, err := net.Listen("tcp", "10.77.0.1:53")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		err = h.Run(t.Context(), op)
		var exit *host.ExitError
		if !errors.As(err, &exit) || exit.Status != 2 || !strings.Contains(exit.Stderr, "Address already in use") {
			t.Errorf("with port 53 taken: %v", err)
		}
	})
}

// A pid file may lie: the number may have been given to somebody else.
func TestForeignProcessesAreLeftAlone(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq", "sleep")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		start := func(path string, args ...string) int {
			cmd := exec.Command(path, args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			return cmd.Process.Pid
		}
		sleep, err := exec.LookPath("sleep")
		if err != nil {
			t.Fatal(err)
		}
		// One that only calls itself dnsmasq, one that is another network's, one
		// that is nobody's.
		program, err := os.ReadFile(sleep)
		if err != nil {
			t.Fatal(err)
		}
		pretender := filepath.Join(t.TempDir(), "dnsmasq")
		if err := os.WriteFile(pretender, program, 0o755); err != nil {
			t.Fatal(err)
		}
		other := serve(t, h, "virbr1", 1)
		run(t, h, other)
		pids := map[string]int{
			"sleep":         start(sleep, "600"),
			"false dnsmasq": start(pretender, "600"),
			"virbr1":        pidOf(t, other.PidFile),
			"no conf":       start("/usr/sbin/dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--pid-file=", "--user=root"),
			"this process":  os.Getpid(),
			"init":          1,
			"every process": -1,
		}
		pidFile := "/run/libvirt/network/virbr0.pid"
		for name, pid := range pids {
			run(t, h, step.WriteFile{Path: pidFile, Mode: 0o644, Data: strconv.Itoa(pid) + "\n"})
			if h.DnsmasqAlive(pidFile) {
				t.Errorf("%s is taken for the dnsmasq of virbr0", name)
			}
			if err := h.Reload(pidFile); err == nil {
				t.Errorf("%s was sent SIGHUP", name)
			}
			run(t, h, step.StopDnsmasq{PidFile: pidFile})
			if pid > 1 && ended(pid) == nil {
				t.Errorf("%s was ended", name)
			}
		}
		for _, text := range []string{"", "x", "1 2", "99999999999999999999", strings.Repeat("1", 1<<20), "2147483647"} {
			run(t, h, step.WriteFile{Path: pidFile, Mode: 0o644, Data: text})
			if h.DnsmasqAlive(pidFile) {
				t.Errorf("a pid file with %.10q is taken for a process", text)
			}
			run(t, h, step.StopDnsmasq{PidFile: pidFile})
		}
		if err := errors.Join(os.RemoveAll(pidFile), syscall.Mkfifo(pidFile, 0o600)); err != nil {
			t.Fatal(err)
		}
		if h.DnsmasqAlive(pidFile) { // and does not wait for a writer
			t.Error("a FIFO is taken for a pid file")
		}
	})
}

// dnsmasq's own user may write into its pid file, and so have any process of his
// looked at. What that one's command line names is not opened unless it is a file.
func TestWhatAProcessNamesIsNotOpenedBlindly(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "sh")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		dir := t.TempDir()
		shell, err := exec.LookPath("sh")
		if err != nil {
			t.Fatal(err)
		}
		program, err := os.ReadFile(shell)
		if err != nil {
			t.Fatal(err)
		}
		pretender, fifo := filepath.Join(dir, "dnsmasq"), filepath.Join(dir, "virbr0.conf")
		if err := errors.Join(os.WriteFile(pretender, program, 0o755), syscall.Mkfifo(fifo, 0o600)); err != nil {
			t.Fatal(err)
		}
		held, err := os.OpenFile(fifo, os.O_RDWR, 0) // who reads it waits for more
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = held.Close() }()
		for _, conf := range []string{fifo, "/dev/zero", dir} {
			cmd := exec.Command(pretender, "-c", "read line", "--conf-file="+conf)
			stdin, err := cmd.StdinPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			pidFile := "/run/libvirt/network/virbr0.pid"
			run(t, h, step.WriteFile{Path: pidFile, Mode: 0o644, Data: strconv.Itoa(cmd.Process.Pid)})
			if h.DnsmasqAlive(pidFile) {
				t.Errorf("a process with --conf-file=%s is taken for the dnsmasq of virbr0", conf)
			}
			_ = stdin.Close()
			_ = cmd.Wait() // read finds the end of its input
		}
	})
}

// A dnsmasq that logs to its standard error, which is a file in our memory when it
// starts, must not fill that for ever. It goes on with syslog.
func TestDnsmasqThatLogsToStandardError(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		run(t, h, step.WriteFile{Path: op.Conf, Mode: 0o600, Data: read(t, op.Conf) + "\nlog-facility=-\nlog-queries\n"}, op)
		outputs := outputsOf(t, pidOf(t, op.PidFile))
		if len(outputs) == 0 {
			t.Fatal("dnsmasq does not hold its first standard error open: nothing is tested here")
		}
		before := sizes(t, outputs)
		conn, err := net.Dial("udp", "10.77.0.1:53")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		for id := range byte(3) {
			// RFC 1035: one question, for the A record of "a".
			if _, err := conn.Write([]byte{0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1}); err != nil {
				t.Fatal(err)
			}
			reply := make([]byte, 512)
			if n, err := conn.Read(reply); err != nil || n < 12 || reply[1] != id {
				t.Fatalf("asking for a name: %v, % x", err, reply[:n])
			}
		}
		if after := sizes(t, outputs); after > before {
			t.Errorf("its log grew in memory from %d to %d bytes", before, after)
		}
	})
}

// TestLinksGoWhileDnsmasqLooks: a network is started while links of others come and
// go. dnsmasq gives up when one is gone of which it has just read; it is started
// again.
func TestLinksGoWhileDnsmasqLooks(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		real, err := exec.LookPath("dnsmasq")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		script := "#!/bin/sh\nif [ $(cat " + dir + "/left) -gt 0 ]; then\n" +
			"echo $(($(cat " + dir + "/left) - 1)) > " + dir + "/left\n" +
			"printf '\\ndnsmasq: failed to find list of interfaces: No such device\\n' >&2; exit 5; fi\nexec " + real + " \"$@\"\n"
		if err := os.WriteFile(dir+"/dnsmasq", []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Setenv("PATH", dir+":"+os.Getenv("PATH")); err != nil { // this process runs nothing else
			t.Fatal(err)
		}
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		for left, fails := range map[string]bool{"3\n": false, "1000\n": true} {
			if err := os.WriteFile(dir+"/left", []byte(left), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := h.Run(t.Context(), op); (err != nil) != fails {
				t.Errorf("%s times: %v", strings.TrimSpace(left), err)
			}
		}
	})
}

// outputsOf returns the files in memory that a process holds open.
func outputsOf(t *testing.T, pid int) []string {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(links, func(link string) bool {
		target, err := os.Readlink(link)
		return err != nil || !strings.HasPrefix(target, "/memfd:output")
	})
}

// sizes adds up what files hold, in bytes.
func sizes(t *testing.T, paths []string) (sum int64) {
	t.Helper()
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sum += st.Size()
	}
	return sum
}

// A daemon must survive the removal of its program and its configuration, as an
// upgrade or a cleaner does.
func TestDnsmasqIsKnownAfterItsFilesAreGone(t *testing.T) {
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		dir := t.TempDir()
		program, err := os.ReadFile("/usr/sbin/dnsmasq")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "dnsmasq"), program, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		run(t, h, op)
		if facts, err := h.Facts(t.Context()); err != nil || facts.Dnsmasq.Path != filepath.Join(dir, "dnsmasq") {
			t.Errorf("facts %+v, %v", facts.Dnsmasq, err)
		}
		pid := pidOf(t, op.PidFile)
		if err := errors.Join(os.RemoveAll(dir), os.Remove(op.Conf)); err != nil {
			t.Fatal(err)
		}
		if !h.DnsmasqAlive(op.PidFile) {
			t.Error("dnsmasq is not known any more")
		}
		run(t, h, step.StopDnsmasq{PidFile: op.PidFile})
		if err := ended(pid); err != nil {
			t.Error(err)
		}
	})
}

// TestKilledDnsmasqIsWaitedFor: somebody killed it, and it is on its way out: its
// sockets are there, and what it was is not to be read any more.
func TestKilledDnsmasqIsWaitedFor(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		run(t, h, op)
		for range 40 {
			pid := pidOf(t, op.PidFile)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			for h.DnsmasqAlive(op.PidFile) { // until its memory is gone
				runtime.Gosched()
			}
			if err := h.Run(t.Context(), op); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestStubbornDnsmasqIsKilled: one that a debugger holds does not react to SIGTERM.
func TestStubbornDnsmasqIsKilled(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		run(t, h, op)
		pid := pidOf(t, op.PidFile)
		runtime.LockOSThread() // a debugger is a thread
		defer runtime.UnlockOSThread()
		if err := syscall.PtraceAttach(pid); err != nil {
			t.Fatal(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || !status.Stopped() {
			t.Fatalf("holding dnsmasq: %v, %v", status, err)
		}
		ctx, cancel := deadlineSoon(t)
		defer cancel()
		if err := h.Run(ctx, step.StopDnsmasq{PidFile: op.PidFile}); err != nil {
			t.Fatal(err)
		}
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.Signal() != syscall.SIGKILL {
			t.Errorf("dnsmasq ended by %v, %v", status.Signal(), err)
		}
	})
}
