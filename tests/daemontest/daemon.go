package daemontest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/hosttest"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/rpc"
)

// Daemon is the real server with the real driver on a host in memory.
type Daemon struct {
	Driver *driver.Driver
	Server *rpc.Server
	Socket string // virtnetworkd-sock in a directory of its own
}

// New starts one that ends with the test.
func New(t testing.TB) *Daemon {
	t.Helper()
	d, stop, err := Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return d
}

// Start starts one with its files in a directory, and returns what stops it.
func Start(ctx context.Context, dir string) (*Daemon, func() error, error) {
	d := &Daemon{Socket: filepath.Join(dir, "virtnetworkd-sock")}
	d.Driver = driver.New(driver.Config{
		System: hosttest.New(),
		Dirs: state.Dirs{
			Config: filepath.Join(dir, "etc"), State: filepath.Join(dir, "run"), Dnsmasq: filepath.Join(dir, "dnsmasq"),
			Hooks: filepath.Join(dir, "hooks"), Own: filepath.Join(dir, "own"), Lib: filepath.Join(dir, "lib"),
		},
	})
	if err := d.Driver.Load(ctx); err != nil {
		return nil, nil, err
	}
	var err error
	if d.Server, err = rpc.New(rpc.Config{Networks: d.Driver}); err != nil {
		return nil, nil, err
	}
	l, err := rpc.Listen(rpc.SocketConfig{Path: d.Socket, Role: rpc.RoleReadWrite, Mode: 0o600})
	if err != nil {
		return nil, nil, err
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- d.Server.Serve(serving, []rpc.Listener{l}) }()
	return d, func() error { cancel(); return <-done }, nil
}

// Define defines a network, and starts it if it is to run.
func (d *Daemon) Define(t testing.TB, doc string, run bool) {
	t.Helper()
	if err := d.Add(t.Context(), doc, run); err != nil {
		t.Fatal(err)
	}
}

// Add is Define without a test.
func (d *Daemon) Add(ctx context.Context, doc string, run bool) error {
	ref, err := d.Driver.DefineXML(ctx, doc, false)
	if err != nil || !run {
		return err
	}
	return d.Driver.Start(ctx, ref)
}
