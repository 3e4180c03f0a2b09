package host_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// queued returns how many bytes of news wait for a process.
func queued(t *testing.T, pid int) (bytes int) {
	t.Helper()
	sockets, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]bool{}
	for _, fd := range sockets {
		if target, err := os.Readlink(fd); err == nil {
			open[target] = true
		}
	}
	found := 0
	for line := range strings.Lines(read(t, "/proc/net/netlink")) {
		f := strings.Fields(line) // sk, Eth, Pid, Groups, Rmem, ..., Inode
		if len(f) == 10 && f[1] == "0" && open["socket:["+f[9]+"]"] {
			n, err := strconv.Atoi(f[4])
			if err != nil {
				t.Fatal(err)
			}
			bytes += n
			found++
		}
	}
	if found == 0 {
		t.Fatalf("process %d has no rtnetlink socket", pid)
	}
	return bytes
}

// answersAt reports whether somebody serves DNS at an address.
func answersAt(address netip.Addr) error {
	data, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return err
	}
	a := address.As4()
	if !strings.Contains(string(data), fmt.Sprintf(": %02X%02X%02X%02X:0035 ", a[3], a[2], a[1], a[0])) {
		return errors.New("nobody does")
	}
	return nil
}

// TestDnsmasqIsSpared: a dnsmasq hears of addresses of its own bridge, and not of
// those of a hundred others, each of which would make it list them all.
func TestDnsmasqIsSpared(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		spared, wide := serve(t, h, "virbr0", 0), serve(t, h, "virbr1", 1)
		wide.Wide = true
		run(t, h, spared, wide, step.AddBridge{Name: "br0"}, step.SetUp{Link: "br0"})
		// Both serve at another address of their own: all that was earlier they
		// have read by then.
		settle := func(last byte) {
			t.Helper()
			for i, bridge := range []string{"virbr0", "virbr1"} {
				a := netip.AddrFrom4([4]byte{10, 77, byte(i), last})
				run(t, h, step.AddAddress{Link: bridge, Address: netip.PrefixFrom(a, 24)})
				netnstest.Wait(t, bridge+" serves at its new address", func() error { return answersAt(a) })
			}
		}
		settle(2)
		one, other := pidOf(t, spared.PidFile), pidOf(t, wide.PidFile)
		for _, pid := range []int{one, other} {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			run(t, h, step.AddAddress{Link: "br0", Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 78, byte(i), 1}), 24)})
		}
		if n := queued(t, other); n == 0 {
			t.Error("not even one that is to hear of everything does")
		}
		if n := queued(t, one); n != 0 {
			t.Errorf("%d bytes wait for it", n)
		}
		for _, pid := range []int{one, other} {
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
		settle(3)
	})
}
