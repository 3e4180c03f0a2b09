package sequence

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
)

const (
	seedEnv = "VIRBR_SEQUENCE_SEED" // run only this one
	fullEnv = "VIRBR_STRESS"        // "full": many seeds, as make stress does
)

// length is how many ops a sequence has.
const length = 60

// seeds returns those that are run.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	if text := os.Getenv(seedEnv); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	n := uint64(24)
	if os.Getenv(fullEnv) == "full" {
		n = 500
	}
	var list []uint64
	for seed := range n {
		list = append(list, seed+1)
	}
	return list
}

// TestRandomSequences: after any sequence of what clients, others and crashes do,
// the host looks as after a fresh start of the same definitions.
func TestRandomSequences(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip", "tc", "nft", "sysctl", "dnsmasq")
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			check(t, random(seed, length))
		})
	}
}

// TestKeptSequences are those that went wrong once, and those that somebody
// thought of.
func TestKeptSequences(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip", "tc", "nft", "sysctl", "dnsmasq")
	paths, err := filepath.Glob("testdata/*.ops")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no sequences: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".ops"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			ops, err := parseOps(string(text))
			if err != nil {
				t.Fatal(err)
			}
			check(t, ops)
		})
	}
}

// check runs a sequence, and shortens it if it fails.
func check(t *testing.T, ops []op) {
	t.Helper()
	netnstest.NeedNamespaces(t)
	first := try(ops)
	if first == nil {
		return
	}
	short, last := shorten(ops, first, time.Now().Add(patience))
	t.Errorf("%v\nwith these %d ops (of %d):\n%s", last, len(short), len(ops), lines(short))
	if len(short) < len(ops) {
		t.Logf("all ops failed so: %.3000v\nthey are:\n%s", first, lines(ops))
	}
}

// shorten leaves out what a failure does not need, as far as it gets until a
// deadline: halves, quarters, and so on to single ops.
func shorten(ops []op, why error, deadline time.Time) ([]op, error) {
	for size := len(ops) / 2; size > 0 && time.Now().Before(deadline); {
		removed := false
		for at := 0; at < len(ops) && time.Now().Before(deadline); {
			part := append(append([]op(nil), ops[:at]...), ops[min(at+size, len(ops)):]...)
			if err := try(part); err != nil {
				ops, why, removed = part, err, true
				continue
			}
			at += size
		}
		if !removed || size > 1 || len(ops) == 0 {
			size /= 2
		}
	}
	return ops, why
}

// try runs a sequence in one place, starts in another what the model has come to,
// and wants both to look alike, once the first has healed.
func try(ops []op) error {
	p, err := newPlace()
	if err != nil {
		return err
	}
	defer p.close()
	a, err := p.ask(task{Play: append([]op{}, ops...)})
	if err := failure(a, err); err != nil {
		return err
	}
	fresh, err := newPlace()
	if err != nil {
		return err
	}
	defer fresh.close()
	b, err := fresh.ask(task{Fresh: a.Model})
	if err := failure(b, err); err != nil {
		return fmt.Errorf("starting afresh: %w", err)
	}
	if err := alike(p, fresh); err != nil {
		return err
	}
	a, err = p.ask(task{End: true})
	return failure(a, err)
}

func failure(a answer, err error) error {
	if err != nil || a.Err == "" {
		return err
	}
	return fmt.Errorf("%s\nvirbrd's log ends with:\n%s", a.Err, tail(a.Log))
}

// tail returns the end of a log.
func tail(log string) string { return log[max(len(log)-4000, 0):] }

// healing bounds how long a host may take to look as it should. A dnsmasq that was
// killed again and again is started after a pause of some seconds.
const healing = 15 * time.Second

// alike wants two places to look alike, before long.
func alike(p, fresh *place) error {
	for deadline := time.Now().Add(healing); ; {
		want, err := fresh.ask(task{Observe: true})
		if err != nil {
			return err
		}
		got, err := p.ask(task{Observe: true})
		if err != nil {
			return err
		}
		diff := difference(want.State, got.State)
		if diff == "" && want.Err == "" && got.Err == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the host is not as after a fresh start (-fresh +sequence): %s%s\n%s", want.Err, got.Err, diff)
		}
	}
}
