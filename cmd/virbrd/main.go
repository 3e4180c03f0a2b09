package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/virbr/virbr/leases"
	"github.com/virbr/virbr/rpc"
)

// version is set by the Makefile.
var version = "dev"

// programs are what virbrd is under another name: for programs that call it
// and take a path without arguments.
var programs = map[string]string{
	leases.Name: "leases", // dnsmasq --dhcp-script
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	args := os.Args[1:]
	if name, ok := programs[filepath.Base(os.Args[0])]; ok {
		dir, err := leases.Home()
		if err != nil {
			fail(err)
		}
		args = append([]string{name, "--dir", dir, "--"}, args...)
	}
	root := newRoot(run)
	root.AddCommand(newDown(), newHook(), newAgent())
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "virbrd:", err)
	if errors.Is(err, rpc.ErrUnclaimed) {
		os.Exit(6) // as libvirt's daemons
	}
	os.Exit(1)
}
