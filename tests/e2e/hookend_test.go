package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// hungHook is a script that does not return for the start of some networks. Each
// holds the FIFO open, and says that it runs.
const hungHook = `#!/bin/sh
case "$1-$2" in hang*-start)
	[ -e DIR/tame ] || { : > "DIR/runs.$1"; exec sleep 1000 >DIR/fifo; };;
esac
`

// hung is a host with such a script.
type hung struct {
	*daemon
	dir  string
	held *os.File // the FIFO
}

func newHung(t *testing.T, conf string) *hung {
	t.Helper()
	programs(t)
	h := &hung{dir: t.TempDir()}
	fifo := filepath.Join(h.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.held, err = os.OpenFile(fifo, os.O_RDWR, 0); err != nil { // both ends: scripts need not wait for us
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.held.Close() })
	const script = "/etc/libvirt/hooks/network"
	write(t, script, strings.ReplaceAll(hungHook, "DIR", h.dir))
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(h.dir, "virbrd.conf")
	write(t, file, conf)
	h.daemon = startVirbrd(t, "--virbrd-config", file)
	return h
}

// define defines an isolated network with DHCP.
func (h *hung) define(name string, number int) {
	h.t.Helper()
	file := filepath.Join(h.dir, name+".xml")
	write(h.t, file, fmt.Sprintf("<network><name>%s</name><bridge name='vb-%s'/><ip address='10.90.%d.1' prefix='24'>"+
		"<dhcp><range start='10.90.%[3]d.2' end='10.90.%[3]d.99'/></dhcp></ip></network>", name, name, number))
	h.virsh("net-define", file)
}

// running waits until the scripts of some networks run.
func (h *hung) running(names ...string) {
	h.t.Helper()
	for _, name := range names {
		netnstest.Wait(h.t, "the script of "+name+" runs", func() error {
			_, err := os.Stat(filepath.Join(h.dir, "runs."+name))
			return err
		})
	}
}

// ended wants no script to be left.
func (h *hung) ended() {
	h.t.Helper()
	r, err := os.Open(filepath.Join(h.dir, "fifo"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Close()
	_ = h.held.Close()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil { // its end: nobody has it open
		h.t.Errorf("a script lives: read %d, %v", n, err)
	}
}

// TestScriptsWithoutEnd: starts that wait for a script, or for a network that does,
// keep nobody else from starting, stopping and reading networks, however many they
// are. When the daemon is to end it does, with the scripts, and their clients hear why.
func TestScriptsWithoutEnd(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := newHung(t, "hook_timeout = 0\n")
		h.define("ok1", 1)
		h.define("ok2", 2)
		h.virsh("net-start", "ok2")
		before := netnstest.Snapshot(t)
		var names []string
		for i := range 25 { // more than there are workers
			names = append(names, fmt.Sprintf("hang%d", i))
			h.define(names[i], 10+i)
		}
		var clients sync.WaitGroup
		var mu sync.Mutex
		told := map[string]int{} // guarded by mu
		start := func(name string) {
			_, err := h.try("-k0", "net-start", name) // else virsh may die when it answers a ping of a daemon that is gone
			mu.Lock()
			defer mu.Unlock()
			told[fmt.Sprint(err)]++
		}
		for _, name := range names {
			clients.Go(func() { start(name) })
		}
		h.running(names...)
		for range 25 {
			clients.Go(func() { start(names[0]) })
		}
		h.virsh("net-start", "ok1")
		h.virsh("net-dhcp-leases", "ok2")
		if list := h.virsh("net-list", "--name"); strings.TrimSpace(list) != "ok1\nok2" {
			t.Errorf("running: %q", list)
		}
		h.virsh("net-dumpxml", names[0])
		h.virsh("net-destroy", "ok1")
		h.stop()
		clients.Wait()
		for text, n := range told {
			if !strings.Contains(text, "virbrd is stopping") {
				t.Errorf("%d clients were told %q", n, text)
			}
		}
		h.ended()
		same(t, before, netnstest.Snapshot(t), "the scripts were ended")
	})
}

// TestScriptDeadline: a script that takes too long is ended, and the start fails. So
// it is at boot, where the others' autostart does not wait for it.
func TestScriptDeadline(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := newHung(t, "hook_timeout = 1\n")
		before := netnstest.Snapshot(t)
		h.define("hang", 1)
		_, err := h.try("net-start", "hang")
		if err == nil || !strings.Contains(err.Error(), "/etc/libvirt/hooks/network hang start begin -) was ended: it takes too long: the limit is 1 seconds (hook_timeout in virbrd.conf)") {
			t.Errorf("net-start: %v", err)
		}
		same(t, before, netnstest.Snapshot(t), "the script was ended")
		write(t, filepath.Join(h.dir, "tame"), "")
		h.virsh("net-start", "hang")
		h.virsh("net-destroy", "hang")
		h.ended()
	})
}
