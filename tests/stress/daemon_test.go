//go:build libvirt_dlopen

package stress

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

// uri reaches virbrd in its usual place.
const uri = "network:///system?mode=direct"

// daemon is a running virbrd and a connection to it.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *binaries.Log
	done chan struct{} // closed when the process has ended
	conn *libvirt.Connect
}

// launch starts a command that is, or becomes, virbrd, and connects to it. The test
// needs the namespaces of netnstest.
func launch(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	return launchAt(t, uri, cmd)
}

// launchAt is [launch] for a daemon that is not in its usual place.
func launchAt(t *testing.T, uri string, cmd *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: cmd, log: &binaries.Log{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = d.log, d.log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting virbrd: %v", err)
	}
	go func() { _ = cmd.Wait(); close(d.done) }()
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("log of virbrd:\n%.20000s", d.log)
		}
	})
	netnstest.Wait(t, "virbrd answers", func() (err error) {
		select {
		case <-d.done:
			t.Fatalf("virbrd ended at once:\n%s", d.log)
		default:
		}
		d.conn, err = libvirt.NewConnect(uri)
		return err
	})
	return d
}

// stop ends the daemon as systemd would. Networks go on.
func (d *daemon) stop() {
	d.t.Helper()
	d.close()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	<-d.done
}

func (d *daemon) close() {
	if d.conn != nil {
		_, _ = d.conn.Close()
		d.conn = nil
	}
}

// kill ends the daemon as a crash would.
func (d *daemon) kill() {
	d.close()
	_ = d.cmd.Process.Kill()
	<-d.done
}

// networkXML returns the nth network: NAT, one subnet with DHCP, its own bridge.
func networkXML(n int) string {
	return fmt.Sprintf(`<network><name>net%[1]d</name><forward mode='nat'/><bridge name='virbr%[1]d'/>
<ip address='10.%[2]d.%[3]d.1' netmask='255.255.255.0'><dhcp><range start='10.%[2]d.%[3]d.2' end='10.%[2]d.%[3]d.254'/></dhcp></ip></network>`,
		n, 100+n/250, n%250)
}

// define defines networks 0 to n-1.
func (d *daemon) define(n int) []*libvirt.Network {
	d.t.Helper()
	var list []*libvirt.Network
	for i := range n {
		net, err := d.conn.NetworkDefineXML(networkXML(i))
		if err != nil {
			d.t.Fatalf("defining network %d: %v", i, err)
		}
		d.t.Cleanup(func() { _ = net.Free() })
		list = append(list, net)
	}
	return list
}

// use is what a process uses.
type use struct {
	cpu         time.Duration // since its start, of all its threads
	resident    int64         // KiB now
	peak        int64         // KiB at most
	descriptors int
	threads     int
}

// use asks the kernel what the daemon uses.
func (d *daemon) use() use {
	d.t.Helper()
	dir := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	var u use
	for line := range strings.Lines(d.read(dir + "status")) {
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &u.resident)
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &u.peak)
		_, _ = fmt.Sscanf(line, "Threads: %d", &u.threads)
	}
	stat := d.read(dir + "stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	for _, ticks := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(ticks, 10, 64)
		if err != nil {
			d.t.Fatal(err)
		}
		const second = 100 // USER_HZ
		u.cpu += time.Duration(n) * time.Second / second
	}
	open, err := os.ReadDir(dir + "fd")
	if err != nil {
		d.t.Fatal(err)
	}
	u.descriptors = len(open)
	return u
}

func (d *daemon) read(path string) string {
	d.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(data)
}
