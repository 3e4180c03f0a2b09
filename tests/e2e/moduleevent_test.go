package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

// pythonEvents is a client that hears of networks by Python's binding of libvirt.
type pythonEvents struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func newPythonEvents(t *testing.T) *pythonEvents {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's, which has Debian's binding
	netnstest.NeedProgram(t, python)
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import libvirt").CombinedOutput(); err != nil {
		netnstest.Need(t, fmt.Sprintf("needs Python's binding of libvirt: %v: %s; install python3-libvirt", err, out))
	}
	p := &pythonEvents{t: t, cmd: exec.CommandContext(t.Context(), python, "testdata/events.py"), lines: make(chan string, 100)}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = in
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
		close(p.lines)
	}()
	return p
}

// do has the client do something, and waits until it has.
func (p *pythonEvents) do(command string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		p.t.Fatal(err)
	}
	said := strings.Join(strings.Fields(command)[:2], " ")
	p.hears(said)
}

// again is the event by which registered finds out what is registered.
const again = ": one defined 0"

// hears wants lines to be printed, in any order, and no others but for those of
// registered.
func (p *pythonEvents) hears(want ...string) {
	p.t.Helper()
	left := slices.Clone(want)
	for len(left) > 0 {
		line, ok := <-p.lines
		if strings.HasSuffix(line, again) {
			continue
		}
		i := slices.Index(left, line)
		if !ok || i < 0 {
			p.t.Fatalf("the client says %q; want %q", line, want)
		}
		left = slices.Delete(left, i, i+1)
	}
}

// registered waits until the client hears again by all of its callbacks of network
// "one", which is defined again and again for it.
func (p *pythonEvents) registered(d *daemon, who ...string) {
	p.t.Helper()
	doc := filepath.Join(p.t.TempDir(), "one.xml")
	write(p.t, doc, d.virsh("net-dumpxml", "one"))
	netnstest.Wait(p.t, "events are told again", func() error {
		d.virsh("net-define", doc)
		for {
			select {
			case line := <-p.lines:
				name, _, _ := strings.Cut(line, again)
				who = slices.DeleteFunc(who, func(w string) bool { return w == name })
			case <-time.After(50 * time.Millisecond):
				if len(who) > 0 {
					return fmt.Errorf("not by %q", who)
				}
				return nil
			}
		}
	})
}

// TestModuleEvents: clients of a libvirtd that has our module hear of virbrd's
// networks, each of what it asked for, also once virbrd was started again, until
// they wish no more. The module is one that ends libvirtd where it uses what is freed,
// or writes where it must not.
func TestModuleEvents(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		dir := t.TempDir()
		if err := binaries.Module(dir, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-Wl,-z,undefs"); err != nil {
			t.Fatal(err)
		}
		virbrd := startVirbrd(t)
		reports := filepath.Join(dir, "asan")
		d := startLibvirtdWith(t, dir+"/libvirt_driver_network.so",
			"LD_PRELOAD="+sanitizer(t, "libasan.so")+":"+sanitizer(t, "libubsan.so"), "ASAN_OPTIONS=detect_leaks=0:log_path="+reports)
		d.up("one", `<network><name>one</name><bridge name='virbr1'/></network>`)
		d.up("two", `<network><name>two</name><bridge name='virbr2'/></network>`)

		before := sockets(t, virbrd)
		p := newPythonEvents(t)
		p.do("register all")
		p.do("register only one")
		d.virsh("net-destroy", "one")
		p.hears("all: one stopped 0", "only: one stopped 0")
		d.virsh("net-destroy", "two")
		p.hears("all: two stopped 0")
		virbrd.kill()
		virbrd.start(bin("virbrd"))
		p.registered(d, "all", "only")
		d.virsh("net-start", "one")
		p.hears("all: one started 0", "only: one started 0")
		p.do("deregister all")
		d.virsh("net-start", "two")
		d.virsh("net-destroy", "one")
		p.hears("only: one stopped 0")
		_ = p.cmd.Process.Kill() // which does not say that it goes
		_ = p.cmd.Wait()
		netnstest.Wait(t, "its connections are closed", func() error {
			if n := sockets(t, virbrd); n > before {
				return fmt.Errorf("virbrd has %d sockets, and had %d before", n, before)
			}
			return nil
		})

		c := dial(t, socketLibvirtd, 0)
		c.refused(proto.ConnectNetworkEventRegister, &proto.EventArgs{EventID: 7}, 1, 7, "internal error: unsupported network event ID 7")
		id := c.listen(proto.EventIDLifecycle, nil)
		c.refused(proto.ConnectNetworkEventRegister, &proto.EventArgs{}, 8, 0, "invalid argument: event callback already tracked")
		d.virsh("net-undefine", "one")
		if e, ok := c.hear().(proto.Lifecycle); !ok || e.CallbackID != id || e.Network.Name != "one" || e.Event != wasUndefined {
			t.Errorf("instead of the end of one, callback %d was told %+v", id, e)
		}
		c.must(proto.ConnectNetworkEventDeregister, &proto.Int{Value: id}, nil)
		c.refused(proto.ConnectNetworkEventDeregister, &proto.Int{Value: id}, 1, 7, fmt.Sprintf("internal error: network event callback %d not registered", id))
		_ = c.Close()
		virbrd.stop()
		d.fails("cannot be reached", "net-list")
		d.kill()
		report, err := os.ReadFile(fmt.Sprintf("%s.%d", reports, d.cmd.Process.Pid))
		if !errors.Is(err, fs.ErrNotExist) { // there is none where all is well
			t.Errorf("of memory: %v\n%s", err, report)
		}
	})
}

// sanitizer returns the path of a library of the compiler's.
func sanitizer(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "cc", "-print-file-name="+name).Output()
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.EvalSymlinks(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// sockets counts a daemon's.
func sockets(t *testing.T, d *daemon) int {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}
