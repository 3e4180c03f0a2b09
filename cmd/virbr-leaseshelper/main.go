package main

import (
	"os"

	"github.com/virbr/virbr/leases"
)

func main() {
	dir, err := leases.Home()
	if err == nil {
		err = leases.Helper{Dir: dir, Getenv: os.Getenv, Out: os.Stdout, Reload: leases.Reload}.Run(os.Args[1:])
	}
	if err != nil {
		leases.Fail(err)
	}
}
