package rpc_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails the tests if a goroutine of the server outlives them. It is
// also the child of TestActivated.
func TestMain(m *testing.M) {
	if os.Getenv("RPC_TEST_ACTIVATED") != "" {
		activatedChild()
		os.Exit(0)
	}
	code := m.Run()
	if code == 0 {
		if left := leftovers(); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines that nobody ended:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftovers returns the stacks of goroutines that run code of this package's
// server, once those that are about to end have had their time.
func leftovers() string {
	var left []string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = left[:0]
		for stack := range strings.SplitSeq(string(buf), "\n\n") {
			if strings.Contains(stack, "virbr/rpc.") || strings.Contains(stack, "virbr/rpc/") {
				if !strings.Contains(stack, "leftovers") {
					left = append(left, stack)
				}
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}
