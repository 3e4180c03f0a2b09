package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/virbr/virbr/leases"
)

// version is set by the Makefile.
var version = "dev"

func main() {
	if slices.Equal(os.Args[1:], []string{"--version"}) { // no action of dnsmasq's
		fmt.Println(leases.Name, version)
		return
	}
	dir, err := leases.Home()
	helper := leases.Helper{Dir: dir, Getenv: os.Getenv, Out: os.Stdout}
	if err == nil {
		err = helper.DropRoot(os.Args[1:])
	}
	if err == nil {
		err = helper.Run(os.Args[1:])
	}
	if err != nil {
		leases.Fail(err)
	}
}
