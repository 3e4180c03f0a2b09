//go:build !libvirt_dlopen

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "forward: build it with -tags libvirt_dlopen")
	os.Exit(1)
}
