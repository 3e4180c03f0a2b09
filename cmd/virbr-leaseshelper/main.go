package main

import (
	"os"

	"github.com/virbr/virbr/leases"
)

func main() {
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
