package driver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
)

func mkfifo(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNetworksStartSideBySide(t *testing.T) {
	t.Parallel()
	r := started(t)
	const n = 8
	g := newGate(r, "dnsmasq start")
	done := make(chan error, n)
	for i := range n {
		ref := r.define(natNet(fmt.Sprintf("net%d", i), i))
		go func() { done <- r.d.Start(t.Context(), ref) }()
	}
	for range n {
		<-g.reached // all of them are in the middle of it at the same time
	}
	close(g.release)
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Two networks with one subnet, started at the same time: neither has a route
// yet when the other one's plan is made.
func TestClashOfNetworksThatStartTogether(t *testing.T) {
	t.Parallel()
	r := started(t)
	first := r.define(natNet("first", 1))
	second := r.define(strings.ReplaceAll(natNet("second", 2), "192.168.2.", "192.168.1."))
	g := newGate(r, "address add")
	done := make(chan error, 1)
	go func() { done <- r.d.Start(t.Context(), first) }()
	<-g.reached
	err := r.d.Start(t.Context(), second)
	if err == nil || !strings.Contains(err.Error(), "Network is already in use by interface virbr1") {
		t.Errorf("got %v, want a clash with virbr1", err)
	}
	close(g.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.destroy(first)
	r.start(second)
}

func TestWaitingEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	g := newGate(r, "dnsmasq start")
	done := make(chan error, 1)
	go func() { done <- r.d.Start(t.Context(), ref) }()
	<-g.reached
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.d.Destroy(ctx, ref); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	close(g.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A destroy that waited while another one, or an undefine, made the network
// vanish finds none.
func TestWaitingForANetworkThatVanishes(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref, err := r.d.CreateXML(t.Context(), natNet("passing", 0), false)
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(r, "dnsmasq stop")
	const n = 4
	done := make(chan error, n)
	for range n {
		go func() { done <- r.d.Destroy(t.Context(), ref) }()
	}
	<-g.reached
	close(g.release)
	worked := 0
	for range n {
		err := <-done
		if kind, _ := kindOf(err); err == nil {
			worked++
		} else if kind != driver.KindNoNetwork {
			t.Errorf("got %v, want no network", err)
		}
	}
	if worked != 1 {
		t.Errorf("%d of %d destroys worked, want one", worked, n)
	}
}

// Everything at once on a few networks; in the end nothing is left behind.
func TestManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	r := started(t)
	before := r.host.State()
	const nets, workers, rounds = 4, 12, 30
	ctx := t.Context()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				n := (w*7 + i) % nets
				ref := driver.Ref{Name: fmt.Sprintf("net%d", n), UUID: uuid(n)}
				doc := natNet(ref.Name, n)
				switch (w + i*5) % 9 {
				case 0, 1:
					_, _ = r.d.DefineXML(ctx, doc, false)
				case 2, 3:
					_ = r.d.Start(ctx, ref)
				case 4:
					_ = r.d.Destroy(ctx, ref)
				case 5:
					_ = r.d.Undefine(ctx, ref)
				case 6:
					_, _ = r.d.CreateXML(ctx, doc, false)
				case 7:
					_ = r.d.SetAutostart(ctx, ref, i%2 == 0)
				case 8:
					if err := r.d.Reload(ctx); err != nil {
						t.Error(err)
					}
				}
				check(t, r.d, ref)
			}
		})
	}
	wg.Wait()
	refs, _ := r.d.List(ctx, 0)
	for _, ref := range refs {
		if r.active(ref) {
			r.destroy(ref)
		}
		_ = r.d.Undefine(ctx, ref)
	}
	if refs, _ := r.d.List(ctx, 0); len(refs) > 0 {
		t.Errorf("networks are left: %v", refs)
	}
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"run/autostarted"}, r.names()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// check reads a network that others change: it is there or not, but never half.
func check(t *testing.T, d *driver.Driver, ref driver.Ref) {
	doc, err := d.XML(t.Context(), ref, false)
	if kind, _ := kindOf(err); err != nil && kind != driver.KindNoNetwork {
		t.Errorf("XML: %v", err)
	}
	if err == nil && !strings.Contains(doc, ref.UUID.String()) {
		t.Errorf("XML of another network: %s", doc)
	}
	if _, err := d.List(t.Context(), driver.ListActive); err != nil {
		t.Errorf("List: %v", err)
	}
}
