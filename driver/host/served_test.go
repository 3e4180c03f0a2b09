package host_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// serving returns the processes of this test's namespace that were started with a
// configuration.
func serving(t *testing.T, conf string) (pids []int) {
	t.Helper()
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range list {
		args, _ := os.ReadFile(dir + "/cmdline")
		there, err := os.Readlink(dir + "/ns/net")
		if err != nil || there != here || !slices.Contains(strings.Split(string(args), "\x00"), "--conf-file="+conf) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		if ended(pid) != nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestPIDFileIsNotBelieved: dnsmasq's user owns the pid file, and so may write
// into it what he likes, or lose it. The network's dnsmasq is ended all the same,
// and nobody else.
func TestPIDFileIsNotBelieved(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		other, op := serve(t, h, "virbr1", 1), serve(t, h, "virbr0", 0)
		run(t, h, other)
		texts := map[string]string{
			"empty": "", "negative": "-1", "none": "0", "init": "1", "too large": "99999999999999", "no number": "abc", "zeroes": "\x00\x00",
			"another network's": strconv.Itoa(pidOf(t, other.PidFile)),
		}
		for name, text := range texts {
			run(t, h, op)
			pid := pidOf(t, op.PidFile)
			run(t, h, step.WriteFile{Path: op.PidFile, Mode: 0o644, Data: text}, step.SignalDnsmasq{PidFile: op.PidFile}, step.StopDnsmasq{PidFile: op.PidFile})
			if err := ended(pid); err != nil {
				t.Errorf("pid file %s: after a stop: %v", name, err)
			}
			run(t, h, op)
			run(t, h, step.WriteFile{Path: op.PidFile, Mode: 0o644, Data: text}, op)
			if left := serving(t, op.Conf); len(left) != 2 { // the one that serves, and its child for the helper
				t.Errorf("pid file %s: after a second start run %v", name, left)
			}
		}
		if err := os.Remove(op.PidFile); err != nil {
			t.Fatal(err)
		}
		run(t, h, step.StopDnsmasq{PidFile: op.PidFile})
		if left := serving(t, op.Conf); len(left) > 0 {
			t.Errorf("without a pid file: %v are left", left)
		}
		if !h.DnsmasqAlive(other.PidFile) {
			t.Error("the other network's dnsmasq was ended")
		}
	})
}

// TestPretendersAreFoundOut: a process of dnsmasq's user that calls itself by the
// network's command line is not taken for the dnsmasq.
func TestPretendersAreFoundOut(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq", "bash", "setpriv")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		run(t, h, op)
		pid := pidOf(t, op.PidFile)
		cmd := exec.Command("setpriv", "--bounding-set=-all", "--inh-caps=-all", "bash", "-c", "echo; read line", "--conf-file="+op.Conf)
		stdin, inErr := cmd.StdinPipe()
		stdout, outErr := cmd.StdoutPipe()
		if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stdin.Close(); _ = cmd.Wait() }()
		if _, err := stdout.Read(make([]byte, 1)); err != nil { // until it is what it pretends to be
			t.Fatal(err)
		}
		run(t, h, step.WriteFile{Path: op.PidFile, Mode: 0o644, Data: strconv.Itoa(cmd.Process.Pid)})
		if h.DnsmasqAlive(op.PidFile) {
			t.Error("a pretender is taken for dnsmasq")
		}
		run(t, h, step.StopDnsmasq{PidFile: op.PidFile})
		if ended(cmd.Process.Pid) == nil {
			t.Error("the pretender was ended")
		}
		if err := ended(pid); err != nil {
			t.Errorf("the true one: %v", err)
		}
	})
}

// TestStoppedDnsmasqLeaves: one that somebody stopped by SIGSTOP has time to leave
// in order.
func TestStoppedDnsmasqLeaves(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		for range 2 {
			run(t, h, op)
			for _, pid := range serving(t, op.Conf) {
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			run(t, h, step.SignalDnsmasq{PidFile: op.PidFile}, step.StopDnsmasq{PidFile: op.PidFile})
			if _, err := os.Stat(op.PidFile); err == nil {
				t.Error("the pid file is left")
			}
		}
	})
}

// TestDnsmasqBehindAScript: what dpkg-divert leaves, a script in dnsmasq's place.
// What a start launched that fails is not left behind, either.
func TestDnsmasqBehindAScript(t *testing.T) {
	netnstest.NeedProgram(t, "dnsmasq", "sh")
	netnstest.Run(t, func(t *testing.T) {
		program, err := os.ReadFile("/usr/sbin/dnsmasq")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		put := func(name, text string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		put("dnsmasq.distrib", string(program))
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		for name, script := range map[string]string{
			"in its place": "exec " + dir + `/dnsmasq.distrib "$@"`,
			"its parent":   dir + `/dnsmasq.distrib "$@"; exit $?`,
			"no version":   `[ "$1" = --version ] && exit 3; exec ` + dir + `/dnsmasq.distrib "$@"`,
		} {
			put("dnsmasq", "#!/bin/sh\n"+script+"\n")
			run(t, h, op)
			pid := pidOf(t, op.PidFile)
			if facts, err := h.Facts(t.Context()); err != nil || facts.Dnsmasq.Path == "" {
				t.Errorf("a script %s: %+v, %v", name, facts.Dnsmasq, err)
			}
			run(t, h, step.StopDnsmasq{PidFile: op.PidFile})
			if err := ended(pid); err != nil {
				t.Errorf("a script %s: after a stop: %v", name, err)
			}
		}
		put("dnsmasq", "#!/bin/sh\n"+dir+`/dnsmasq.distrib "$@" && rm `+op.PidFile+"\n")
		if err := h.Run(t.Context(), op); err == nil {
			t.Error("a start without a pid file succeeded")
		}
		if left := serving(t, op.Conf); len(left) > 0 {
			t.Errorf("a start that failed left %v", left)
		}
	})
}
