package sequence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/xml"
)

// daemon is virbrd in a place, and a connection to it.
type daemon struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  *binaries.Log // of all daemons of the place
	conn *client.Conn
}

func newDaemon() *daemon { return &daemon{log: &binaries.Log{}} }

// launch starts virbrd.
func (d *daemon) launch() error {
	fmt.Fprintln(d.log, "--- virbrd starts")
	d.cmd, d.done = exec.Command(filepath.Join(os.Getenv(binEnv), "virbrd")), make(chan struct{})
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("starting virbrd: %w", err)
	}
	go func() { _ = d.cmd.Wait(); close(d.done) }()
	return nil
}

// start starts virbrd and connects to it.
func (d *daemon) start(ctx context.Context) error {
	if err := d.launch(); err != nil {
		return err
	}
	return d.wait(ctx, "virbrd answers", func() (err error) {
		select {
		case <-d.done:
			return errors.New("it ended at once")
		default:
		}
		d.conn, err = client.Dial(ctx, client.Config{})
		return err
	})
}

// stop ends the daemon as systemd would, kill as a crash would.
func (d *daemon) stop() { d.signal(unix.SIGTERM) }
func (d *daemon) kill() { d.signal(unix.SIGKILL) }

func (d *daemon) signal(s syscall.Signal) {
	_ = d.cmd.Process.Signal(s)
	<-d.done
	_ = d.conn.Close()
}

// wait calls cond until it returns nil.
func (d *daemon) wait(ctx context.Context, what string, cond func() error) error {
	ctx, cancel := context.WithTimeout(ctx, healing)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, err)
		case <-tick.C:
		}
	}
}

func reference(net int) proto.Network {
	return proto.Network{Name: networks[net].name, UUID: uuidOf(net)}
}

// do does an op.
func (s *session) do(ctx context.Context, o op) error {
	ref := reference(o.Net)
	switch o.Kind {
	case defineIt:
		return s.define(ctx, o.Net, define(o.Value))
	case create:
		return s.conn.Call(ctx, proto.NetworkCreateXML, &proto.String{Value: define(o.Value).document(o.Net)}, new(proto.Network))
	case start:
		return s.conn.Call(ctx, proto.NetworkCreate, &ref, nil)
	case destroy:
		return s.conn.Call(ctx, proto.NetworkDestroy, &ref, nil)
	case undefine:
		return s.conn.Call(ctx, proto.NetworkUndefine, &ref, nil)
	case autostart:
		return s.conn.Call(ctx, proto.NetworkSetAutostart, &proto.AutostartArgs{Network: ref, Autostart: int32(o.Value)}, nil)
	case update:
		return s.update(ctx, o)
	case title:
		args := proto.SetMetadataArgs{Network: ref, Type: 1, Flags: uint32(o.Affect)}
		if o.Value > 0 {
			text := fmt.Sprintf("title %d", o.Value)
			args.Metadata = &text
		}
		return s.conn.Call(ctx, proto.NetworkSetMetadata, &args, nil)
	case portCreate:
		return s.conn.Call(ctx, proto.NetworkPortCreateXML, &proto.PortXMLArgs{Network: ref, XML: portDocument(o.Net, o.Key)}, new(proto.Port))
	case portDelete:
		return s.conn.Call(ctx, proto.NetworkPortDelete, &proto.PortFlags{Port: proto.Port{Network: ref, UUID: portUUID(o.Net, o.Key)}}, nil)
	case apply:
		_, err := s.conn.Apply(ctx, []string{define(o.Value).document(o.Net)}, true, 0)
		return err
	case tried:
		if _, err := s.conn.Apply(ctx, []string{define(o.Value).document(o.Net)}, true, time.Hour); err != nil {
			return err
		}
		return s.rollBack(ctx)
	case flush, dropTable, dropRule, dropLink, killDnsmasq, lease:
		return meddle(ctx, o)
	case restart:
		s.stop()
		return s.resume(ctx, o)
	case crash:
		s.kill()
		return s.resume(ctx, o)
	case reload:
		return s.reload(ctx)
	case kinds:
	}
	panic("sequence: no such op")
}

// rollBack undoes what waits for its confirmation, if anything does.
func (s *session) rollBack(ctx context.Context) error {
	pending, err := s.conn.Pending(ctx)
	if err != nil {
		return err
	}
	for name := range pending {
		n, err := s.conn.Lookup(ctx, name)
		if err == nil {
			err = s.conn.RollBack(ctx, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resume starts the next daemon after what happens meanwhile. The next may die, too,
// while it starts.
func (s *session) resume(ctx context.Context, o op) error {
	switch what := meanwhile[o.Value]; what {
	case restart: // nothing
	case dropLink: // there may be none
		_ = run(ctx, "ip", "link", "delete", bridgeOf(o.Net))
	default:
		if err := meddle(ctx, op{Kind: what, Net: o.Net}); err != nil {
			return err
		}
	}
	if o.Crash > 0 {
		if err := s.launch(); err != nil {
			return err
		}
		pause(ctx, o.Crash)
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	return s.start(ctx)
}

// pause lets so many microseconds pass.
func pause(ctx context.Context, microseconds int) {
	timer := time.NewTimer(time.Duration(microseconds) * time.Microsecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *session) define(ctx context.Context, net int, d *definition) error {
	return s.conn.Call(ctx, proto.NetworkDefineXML, &proto.String{Value: d.document(net)}, new(proto.Network))
}

// update edits a list, of the first <ip> where that has several. Deleting by a whole element finds it by what no
// modification changes.
func (s *session) update(ctx context.Context, o op) error {
	doc := o.Section.document(o.Net, item{o.Key, o.Value})
	if o.Section != forwards {
		if o.Command == xml.UpdateDelete {
			doc = o.Section.brief(o.Net, o.Key)
		}
		return s.conn.Call(ctx, proto.NetworkUpdate, &proto.UpdateArgs{Network: reference(o.Net), Command: uint32(o.Command),
			Section: uint32(updated[o.Section]), XML: doc, Flags: uint32(o.Affect)}, nil)
	}
	net, err := s.conn.Lookup(ctx, networks[o.Net].name)
	if err != nil {
		return err
	}
	f, err := xml.ParsePortForward([]byte(doc))
	if err != nil {
		return err
	}
	ch := client.Change{Forward: f, At: xml.Last, Remove: o.Command == xml.UpdateDelete}
	if o.Command == xml.UpdateAddFirst {
		ch.At = 0
	}
	_, err = s.conn.Edit(ctx, net, client.Affect(o.Affect), ch, &client.Source{})
	return err
}

// reload sends SIGHUP and waits until the daemon has done what it is for.
func (s *session) reload(ctx context.Context) error {
	before := strings.Count(s.log.String(), reloaded)
	if err := s.cmd.Process.Signal(unix.SIGHUP); err != nil {
		return err
	}
	return s.wait(ctx, "virbrd has read its files again", func() error {
		if strings.Count(s.log.String(), reloaded) == before {
			return errors.New("it has not")
		}
		return nil
	})
}

// reloaded is what a daemon logs then.
const reloaded = "msg=reloaded"

// meddle does what somebody else does.
func meddle(ctx context.Context, o op) error {
	switch o.Kind {
	case flush:
		return run(ctx, "nft", "flush", "ruleset")
	case dropTable:
		_ = run(ctx, "nft", "delete", "table", "inet", "virbr") // there may be none
		return nil
	case dropRule:
		return dropSome(ctx, o)
	case dropLink:
		return run(ctx, "ip", "link", "delete", bridgeOf(o.Net))
	case killDnsmasq:
		text, err := os.ReadFile("/run/libvirt/network/" + networks[o.Net].name + ".pid")
		if err != nil {
			return nil //nolint:nilerr // it died and is being started
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return err
		}
		_ = unix.Kill(pid, unix.SIGKILL)
		return nil
	case lease:
		return leaseEvent(ctx, o.Net, o.Key, o.Value > 0)
	default:
	}
	panic("sequence: nothing that others do")
}

// leaseEvent tells the lease helper what dnsmasq would.
func leaseEvent(ctx context.Context, net, key int, begins bool) error {
	action := "del"
	if begins {
		action = "add"
	}
	cmd := exec.CommandContext(ctx, "/run/virbr/virbr_leaseshelper", action,
		fmt.Sprintf("52:54:00:%02x:02:%02x", 60+net, key), fmt.Sprintf("10.%d.0.%d", 60+net, 100+key), fmt.Sprintf("guest%d", key))
	cmd.Env = append(os.Environ(), "DNSMASQ_INTERFACE="+bridgeOf(net), "DNSMASQ_LEASE_EXPIRES=4000000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("lease helper: %w\n%s", err, out)
	}
	return nil
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
