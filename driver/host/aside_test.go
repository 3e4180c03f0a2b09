package host_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestDnsmasqAside: a dnsmasq that was started aside serves when it has been waited
// for, and says then why if it does not.
func TestDnsmasqAside(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		op.Aside = true
		await, stop := step.AwaitDnsmasq{PidFile: op.PidFile}, step.StopDnsmasq{PidFile: op.PidFile}
		if err := h.Run(t.Context(), await); err == nil {
			t.Error("a dnsmasq that was not started was waited for")
		}
		run(t, h, op, await)
		if !h.DnsmasqAlive(op.PidFile) {
			t.Error("it does not run after it was waited for")
		}
		run(t, h, await, stop)

		run(t, h, op)
		run(t, h, stop) // which does not know how far the start has come
		noDaemons(t)
		if _, err := os.Stat(op.PidFile); err == nil {
			t.Error("there is a pid file after a start that was given up")
		}

		run(t, h, step.WriteFile{Path: op.Conf, Mode: 0o600, Data: "no-such-option\n"}, op)
		var exit *host.ExitError
		if err := h.Run(t.Context(), await); !errors.As(err, &exit) {
			t.Errorf("with a bad configuration: %v", err)
		}
	})
}

// TestCancelledAside: who starts a dnsmasq and is gone before it serves leaves none.
func TestCancelledAside(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		op := serve(t, h, "virbr0", 0)
		op.Aside = true
		ctx, cancel := context.WithCancel(t.Context())
		if err := h.Run(ctx, op); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := h.Run(t.Context(), step.AwaitDnsmasq{PidFile: op.PidFile}); !errors.Is(err, context.Canceled) {
			t.Errorf("waiting for it: %v, want %v", err, context.Canceled)
		}
		noDaemons(t)
	})
}
