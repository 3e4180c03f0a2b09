package host

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virbr/virbr/driver/step"
)

func TestRepeatedChangesAreToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []string
		start := time.Now()
		g := newDebouncer(func(c step.Change) {
			told = append(told, fmt.Sprintf("%d %d %s%s %s %v", time.Since(start).Milliseconds(), c.Kind, c.Link, c.Network, c.By, c.Ours))
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.run(ctx) }()
		a, b := step.Change{Kind: step.ChangeLeases, Link: "a"}, step.Change{Kind: step.ChangeLeases, Link: "b"}
		for _, c := range []step.Change{
			a, b, a, a,
			{Kind: step.ChangeRules, By: "x", Ours: true}, {Kind: step.ChangeRules, By: "y", Ours: true}, {Kind: step.ChangeRules, By: "z"},
		} {
			g.put(ctx, c)
		}
		time.Sleep(moment + moment/2) // 30 ms: a's second moment goes on, b's first is over
		g.put(ctx, a)
		g.put(ctx, b)
		time.Sleep(10 * moment)
		g.put(ctx, a)
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("ended with %v", err)
		}
		g.put(ctx, a) // waits for nobody
		want := "0 1 a  false\n0 1 b  false\n0 0  x true\n20 1 a  false\n20 0  z true\n30 1 b  false\n40 1 a  false\n230 1 a  false"
		if have := strings.Join(told, "\n"); have != want {
			t.Errorf("told\n%s\nwant\n%s", have, want)
		}
	})
}

func TestFloodOfNamesIsToldWithout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		named, all := 0, 0
		g := newDebouncer(func(c step.Change) {
			if c.Link == "" {
				all++
			} else {
				named++
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.run(ctx) }()
		for i := range 3 * maxRecent {
			g.put(ctx, step.Change{Kind: step.ChangeLeases, Link: fmt.Sprint(i)})
		}
		time.Sleep(moment)
		synctest.Wait()
		cancel()
		<-ended
		if named != maxRecent || all != 2 || len(g.recent) > maxRecent {
			t.Errorf("%d told by name, %d without, %d kept", named, all, len(g.recent))
		}
	})
}
