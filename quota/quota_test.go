package quota_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/virbr/virbr/quota"
)

var (
	root   = quota.User{UID: 0, Class: quota.Root}
	admin  = quota.User{UID: 500, Class: quota.Group}
	admin2 = quota.User{UID: 501, Class: quota.Group}
)

func other(uid uint32) quota.User { return quota.User{UID: uid, Class: quota.Other} }

// fill takes single pieces until no more fit, and returns how many did.
func fill(s *quota.Shares, u quota.User) int {
	n := 0
	for s.Fits(u, 1) {
		s.Take(u, 1)
		n++
	}
	return n
}

// TestShares: whatever users take, the group gets its part, and root gets its
// own.
func TestShares(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		total                                 int64
		one, others, oneAdmin, admins, asRoot int
	}{
		{1, 1, 1, 0, 0, 1},
		{2, 1, 1, 0, 0, 1},
		{5, 1, 3, 1, 1, 1},
		{20, 5, 15, 3, 3, 2},
		{100, 25, 75, 13, 13, 12},
		{5000, 1250, 3750, 625, 625, 625},
	} {
		s := quota.NewShares(tt.total)
		if got := fill(s, other(1000)); got != tt.one {
			t.Errorf("of %d one user gets %d, want %d", tt.total, got, tt.one)
		}
		others := tt.one
		for uid := uint32(1001); uid < 1010; uid++ {
			others += fill(s, other(uid))
		}
		if others != tt.others {
			t.Errorf("of %d users get %d, want %d", tt.total, others, tt.others)
		}
		first := fill(s, admin)
		if first != tt.oneAdmin {
			t.Errorf("of %d a member of the group gets %d, want %d", tt.total, first, tt.oneAdmin)
		}
		if got := first + fill(s, admin2); got != tt.admins {
			t.Errorf("of %d the group gets %d, want %d", tt.total, got, tt.admins)
		}
		if got := fill(s, root); got != tt.asRoot {
			t.Errorf("of %d root gets %d, want %d", tt.total, got, tt.asRoot)
		}
	}
}

// TestSharesAlone: who is alone gets what is theirs, and root all.
func TestSharesAlone(t *testing.T) {
	t.Parallel()
	for u, want := range map[quota.User]int{root: 100, admin: 50, other(7): 25} {
		s := quota.NewShares(100)
		if got := fill(s, u); got != want {
			t.Errorf("%v gets %d of 100, want %d", u, got, want)
		}
		if s.Used() != int64(want) || s.Of(u.UID) != int64(want) {
			t.Errorf("%d are used, %d of them by %v", s.Used(), s.Of(u.UID), u)
		}
		s.Give(u, int64(want))
		if s.Used() != 0 || !s.Fits(other(7), 1) {
			t.Error("what was returned is not free")
		}
	}
	s := quota.NewShares(100)
	if s.Take(root, 90); s.Fits(root, 11) || !s.Fits(other(1), 10) || s.Fits(other(1), 11) {
		t.Error("more than there are")
	}
	if s := quota.NewShares(0); !s.Fits(other(1), 1<<40) {
		t.Error("no limit is one")
	}
}

// TestLarge: what is larger than anybody's part is not refused for ever.
func TestLarge(t *testing.T) {
	t.Parallel()
	s := quota.NewShares(100)
	if !s.Fits(other(1), 60) {
		t.Error("the first one does not fit")
	}
	s.Take(other(1), 60)
	if s.Fits(other(1), 1) || s.Fits(other(2), 60) || !s.Fits(root, 60) {
		t.Error("fits although the share is used up, or does not though it is root's")
	}
}

// TestQueue: better classes first, users in turn, each one's own in order.
func TestQueue(t *testing.T) {
	t.Parallel()
	var q quota.Queue[int]
	for i, u := range []quota.User{other(1), other(1), other(1), other(2), other(2), admin, root, other(3)} {
		q.Push(u, i)
	}
	q.Remove(other(3), 7)
	q.Remove(other(9), 7)
	var order []int
	for {
		_, item, ok := q.Pop(func(u quota.User, _ int) bool { return u.UID != 2 || len(order) > 3 })
		if !ok {
			break
		}
		order = append(order, item)
	}
	if want := []int{6, 5, 0, 1, 3, 2, 4}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

// TestSemaphore: who waits gets it when it is free, and who has gone leaves
// nothing behind.
func TestSemaphore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := quota.NewSemaphore(8)
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		if s.Acquire(ctx, nil, other(1), 2) != nil || s.Try(other(1), 1) {
			t.Fatal("not a quarter of eight")
		}
		results := map[string]chan error{}
		wait := func(name string, ctx context.Context, gone chan struct{}, n int64) {
			c := make(chan error, 1)
			results[name] = c
			go func() { c <- s.Acquire(ctx, gone, other(1), n) }()
			synctest.Wait()
		}
		wait("cancelled", ctx, nil, 1)
		wait("gone", t.Context(), gone, 1)
		wait("first", t.Context(), nil, 2)
		wait("second", t.Context(), nil, 1) // must not overtake
		cancel()
		close(gone)
		synctest.Wait()
		if err := <-results["cancelled"]; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := <-results["gone"]; !errors.Is(err, quota.ErrGone) {
			t.Errorf("gone: %v", err)
		}
		s.Release(other(1), 1)
		synctest.Wait()
		if len(results["first"])+len(results["second"]) > 0 {
			t.Error("one piece is free: the first waits for two, the second behind it")
		}
		s.Release(other(1), 1)
		synctest.Wait()
		if len(results["first"]) != 1 || len(results["second"]) > 0 {
			t.Error("two pieces are free: they are the first one's")
		}
		s.Release(other(1), 2)
		synctest.Wait()
		if len(results["second"]) != 1 || !s.Try(root, 7) || s.Try(root, 1) {
			t.Error("something was lost")
		}
	})
}

// TestIdle: a call that waits leaves its piece to others, and has one again when it
// goes on.
func TestIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := quota.NewSemaphore(1)
		if err := s.Acquire(t.Context(), nil, root, 1); err != nil {
			t.Fatal(err)
		}
		waited, on := make(chan struct{}), make(chan struct{})
		go func() {
			quota.Idle(s.With(t.Context(), root), func() { <-waited })
			close(on)
		}()
		synctest.Wait()
		if !s.Try(root, 1) {
			t.Fatal("a call that waits keeps its piece")
		}
		close(waited)
		synctest.Wait()
		select {
		case <-on:
			t.Error("goes on without a piece")
		default:
		}
		s.Release(root, 1)
		<-on
		if s.Try(root, 1) {
			t.Error("went on without a piece")
		}
	})
	quota.Idle(t.Context(), func() {}) // of a call that has none
}
