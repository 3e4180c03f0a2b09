package main

import (
	"context"
	"os"

	"github.com/virbr/virbr/cli"
	"github.com/virbr/virbr/config"
)

// version is set by the Makefile.
var version = "dev"

// Nothing that virbr does must be taken back, so a signal just ends it.
func main() {
	os.Exit(cli.Run(context.Background(), version, os.Args[1:], cli.IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Host: open,
		DefaultURI: os.Getenv("LIBVIRT_DEFAULT_URI"), ClientFile: config.ClientFile(),
	}))
}
