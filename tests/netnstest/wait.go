package netnstest

import (
	"context"
	"testing"
	"time"
)

// patience is how long Wait goes on. It bounds a broken test, it measures
// nothing.
const patience = 2 * time.Minute

// Wait calls cond until it returns nil, and fails the test when that does not
// come about in time. What is for the message: "guest has an address".
func Wait(t testing.TB, what string, cond func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, err)
		case <-tick.C:
		}
	}
}
