//go:build libvirt_dlopen

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/bench/side"
	"github.com/virbr/virbr/tests/libvirttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// The rows of the table, in order.
var (
	calls = []string{"net-define", "net-start", "net-destroy", "net-undefine",
		"dnsmasq alone", "list 200 networks (one call)", "list 200 networks (as virsh net-list --all)"}
	memories = []string{"resident memory, no network", "resident memory, 200 networks defined"}
)

const many = 200

// serve is the child: it starts a daemon and answers what it is asked on
// standard input until that ends.
func serve(name, virbrd string) error {
	if err := netnstest.Enter(); err != nil {
		return err
	}
	m, err := startDaemon(name, virbrd)
	if err != nil {
		return err
	}
	defer m.stop()
	return side.Serve(func(question string) (sample, error) {
		got := sample{Took: map[string]time.Duration{}, Memory: map[string]int64{}}
		switch question {
		case "round":
			return got, m.round(got)
		case "many":
			return got, m.many(got)
		}
		return got, m.lists(got)
	})
}

// measured is a daemon and a connection to it.
type measured struct {
	cmd  *exec.Cmd
	conn *libvirt.Connect
}

func startDaemon(name, virbrd string) (*measured, error) {
	m := &measured{cmd: exec.Command(virbrd)}
	uri := "network:///system?mode=direct"
	if name == "libvirtd" {
		m.cmd, uri = exec.Command("libvirtd"), "network:///system?mode=legacy"
		if err := libvirttest.Prepare(); err != nil {
			return nil, err
		}
	}
	log, err := os.CreateTemp("", "bench-"+name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	m.cmd.Stdout, m.cmd.Stderr = log, log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if m.conn, err = libvirt.NewConnect(uri); err == nil {
			return m, nil
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("%s does not answer: %w\n%s", name, err, text)
		case <-tick.C:
		}
	}
}

func (m *measured) stop() {
	_, _ = m.conn.Close()
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	_ = m.cmd.Wait()
}

// network returns the XML of the default network of a distribution, or of the
// nth one like it.
func network(n int) string {
	return fmt.Sprintf(`<network><name>net%[1]d</name><forward mode='nat'/><bridge name='virbr%[1]d'/>
<ip address='10.%[2]d.%[3]d.1' netmask='255.255.255.0'><dhcp><range start='10.%[2]d.%[3]d.2' end='10.%[2]d.%[3]d.254'/></dhcp></ip></network>`, n, 100+n/250, n%250)
}

// timed runs f and stores how long it took.
func timed(got sample, what string, f func() error) error {
	start := time.Now()
	err := f()
	got.Took[what] = time.Since(start)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// round measures one life of a network.
func (m *measured) round(got sample) error {
	if _, done := got.Memory[memories[0]]; !done {
		got.Memory[memories[0]] = m.resident()
	}
	var net *libvirt.Network
	err := timed(got, "net-define", func() (err error) { net, err = m.conn.NetworkDefineXML(network(1)); return err })
	if err != nil {
		return err
	}
	defer func() { _ = net.Free() }()
	return errors.Join(
		timed(got, "net-start", net.Create),
		timed(got, "net-destroy", net.Destroy),
		timed(got, "net-undefine", net.Undefine),
		m.dnsmasq(got))
}

// dnsmasq measures what no driver can be faster than: dnsmasq's own start.
func (m *measured) dnsmasq(got sample) error {
	const conf = "/run/alone.conf"
	if err := os.WriteFile(conf, []byte("strict-order\npid-file=/run/alone.pid\nexcept-interface=lo\nbind-dynamic\ninterface=alone0\n"), 0o600); err != nil {
		return err
	}
	if err := timed(got, "dnsmasq alone", exec.Command("dnsmasq", "--conf-file="+conf).Run); err != nil {
		return err
	}
	pid, err := os.ReadFile("/run/alone.pid")
	if err != nil {
		return err
	}
	return exec.Command("kill", strings.TrimSpace(string(pid))).Run()
}

// many defines 200 networks and measures memory.
func (m *measured) many(got sample) error {
	for n := range many {
		net, err := m.conn.NetworkDefineXML(network(n))
		if err != nil {
			return err
		}
		_ = net.Free()
	}
	got.Memory[memories[1]] = m.resident()
	return nil
}

// lists measures lists of 200 networks.
func (m *measured) lists(got sample) error {
	err := timed(got, calls[5], func() error { _, err := m.list(); return err })
	if err != nil {
		return err
	}
	return timed(got, calls[6], m.table)
}

func (m *measured) list() ([]libvirt.Network, error) {
	nets, err := m.conn.ListAllNetworks(libvirt.CONNECT_LIST_NETWORKS_ACTIVE | libvirt.CONNECT_LIST_NETWORKS_INACTIVE)
	if err == nil && len(nets) != many {
		err = fmt.Errorf("%d networks are listed, not %d", len(nets), many)
	}
	return nets, err
}

// table makes the calls of virsh net-list --all.
func (m *measured) table() error {
	nets, err := m.list()
	for _, net := range nets {
		if err == nil {
			_, err = net.GetAutostart()
		}
		if err == nil {
			_, err = net.IsPersistent()
		}
		if err == nil {
			_, err = net.IsActive()
		}
	}
	return err
}

// resident returns the daemon's resident memory, KiB.
func (m *measured) resident() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var kib int64
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib
		}
	}
	return 0
}
