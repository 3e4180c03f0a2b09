package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/bench/side"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// The calls, in the order of a round, after which all is as it was before.
var (
	forwardCalls = []string{"add a forward", "remove a forward"}
	networkCalls = []string{"net-start", "apply", "net-metadata", "net-destroy"}
)

// host is a daemon in this process's namespaces.
type host struct {
	ctx   context.Context
	cmd   *exec.Cmd
	conn  *client.Conn
	first client.Network
	more  proto.Network // does not run
	noted bool          // of two notes in its metadata the second one is there
	moved bool          // of two addresses its guest has the second one
	calls map[string]func() error
}

// serve is the child: it becomes the host and makes every call that it reads, until
// that ends.
func serve(text, virbrd string) error {
	var s setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	if err := netnstest.Enter(); err != nil {
		return err
	}
	h := &host{ctx: context.Background(), cmd: exec.Command(virbrd, "--log-level=warn")}
	h.cmd.Stderr = os.Stderr
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := h.cmd.Start(); err != nil {
		return err
	}
	defer func() { _ = h.cmd.Process.Signal(syscall.SIGTERM); _ = h.cmd.Wait() }()
	if err := h.prepare(s); err != nil {
		return err
	}
	return side.Serve(h.measure)
}

// prepare waits for the daemon and makes the networks.
func (h *host) prepare(s setup) (err error) {
	ctx, cancel := context.WithTimeout(h.ctx, 20*time.Second)
	defer cancel()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		if h.conn, err = client.Dial(ctx, client.Config{}); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("virbrd does not answer: %w", err)
		case <-tick.C:
		}
	}
	for n := range s.Networks + 1 {
		var net proto.Network
		if err := h.conn.Call(h.ctx, proto.NetworkDefineXML, &proto.String{Value: document(n, s.Forwards, "")}, &net); err != nil {
			return fmt.Errorf("defining network %d: %w", n, err)
		}
		if n == s.Networks {
			h.more = net
			break
		}
		if err := h.conn.Call(h.ctx, proto.NetworkCreate, &net, &proto.Void{}); err != nil {
			return fmt.Errorf("starting network %d: %w", n, err)
		}
	}
	if h.first, err = h.conn.Lookup(h.ctx, "net0"); err != nil {
		return err
	}
	f := &xml.PortForward{Proto: "sctp", Guest: "10.100.0.2", Ranges: []xml.ForwardRange{{Start: 700, End: 709, To: 80}}}
	edit := func(remove bool) func() error {
		return func() error {
			_, err := h.conn.Edit(h.ctx, h.first, client.AffectLive|client.AffectConfig, client.Change{Forward: f, Remove: remove}, nil)
			return err
		}
	}
	simple := func(procedure int32) func() error {
		return func() error { return h.conn.Call(h.ctx, procedure, &h.more, &proto.Void{}) }
	}
	h.calls = map[string]func() error{
		"ready": func() error { return nil }, "add a forward": edit(false), "remove a forward": edit(true),
		"net-start": simple(proto.NetworkCreate), "net-destroy": simple(proto.NetworkDestroy),
		"net-metadata": h.metadata, "apply": func() error { return h.apply(s.Networks) },
	}
	return nil
}

// measure makes a call and returns what it cost.
func (h *host) measure(call string) (cost, error) {
	do := h.calls[call]
	if do == nil {
		return cost{}, errors.New("there is no such call")
	}
	before, err := h.idle()
	if err != nil {
		return cost{}, err
	}
	began := time.Now()
	if err := do(); err != nil {
		return cost{}, err
	}
	took := time.Since(began)
	after, err := h.idle()
	return cost{took, after - before}, err
}

// idle waits until virbrd does nothing, and returns what it has used of the processors.
func (h *host) idle() (time.Duration, error) {
	const quiet = 3 // looks in a row
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last, same := time.Duration(-1), 0
	for same < quiet {
		now, err := h.used()
		if err != nil {
			return 0, err
		}
		if same++; now-last > 100*time.Microsecond {
			same = 0
		}
		last = now
		<-tick.C
	}
	return last, nil
}

// used returns how long virbrd's threads ran on processors.
func (h *host) used() (total time.Duration, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", h.cmd.Process.Pid))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			return 0, fmt.Errorf("reading %q: %w", file, err)
		}
		total += time.Duration(ns)
	}
	return total, err
}

// metadata replaces the network's metadata of some program.
func (h *host) metadata() error {
	text, key, space := "<note>one</note>", "note", "urn:note"
	if h.noted = !h.noted; h.noted {
		text = "<note>two</note>"
	}
	const element, both = 2, 3 // libvirt's VIR_NETWORK_METADATA_ELEMENT, live and persistent
	return h.conn.Call(h.ctx, proto.NetworkSetMetadata, &proto.SetMetadataArgs{
		Network: h.more, Type: element, Metadata: &text, Key: &key, URI: &space, Flags: both,
	}, &proto.Void{})
}

// apply gives the network's only guest another address.
func (h *host) apply(n int) error {
	mac := "52:54:00:00:00:01"
	if h.moved = !h.moved; h.moved {
		mac = "52:54:00:00:00:02"
	}
	list, err := h.conn.Apply(h.ctx, []string{document(n, 0, mac)}, false, 0)
	if err == nil && (len(list) != 1 || len(list[0].Changes) == 0) {
		err = fmt.Errorf("it changes nothing: %+v", list)
	}
	return err
}

// document returns the XML of network n: of the first one with so many forwards; with
// guest, a guest's MAC address, and its address and a forward to it.
func document(n, forwards int, guest string) string {
	var metadata strings.Builder
	if n == 0 {
		for i := range forwards {
			proto := []string{"tcp", "udp"}[i%2]
			fmt.Fprintf(&metadata, "<v:portForward proto='%s' guest='10.100.0.%d'><v:range start='%d' to='80'/></v:portForward>", proto, 2+i%200, 10000+i)
		}
	}
	address := "2"
	if strings.HasSuffix(guest, "2") {
		address = "3"
	}
	if guest != "" {
		fmt.Fprintf(&metadata, "<v:portForward proto='tcp' guest='10.%d.%d.%s'><v:range start='8080'/></v:portForward>", 100+n/250, n%250, address)
	}
	text := ""
	if metadata.Len() > 0 {
		text = "<metadata><v:network xmlns:v='urn:virbr:network:1'>" + metadata.String() + "</v:network></metadata>"
	}
	return fmt.Sprintf(`<network><name>net%[1]d</name>%[2]s<forward mode='nat'/><bridge name='virbr%[1]d' stp='off'/><dns enable='no'/><ip address='10.%[3]d.%[4]d.1' netmask='255.255.255.0'/></network>`,
		n, text, 100+n/250, n%250)
}
