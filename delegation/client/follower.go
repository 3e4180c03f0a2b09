package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"time"

	"github.com/virbr/virbr/delegation"
)

// follower follows one uplink.
type follower struct {
	c    *Client
	link string
	hint int
	said string // the holder that could not be asked
}

// askEvery is how often other programs are asked for their leases: they do not tell of
// changes. retryAfter is when a link that is not ready is looked at again.
const (
	askEvery   = 5 * time.Second
	retryAfter = 2 * time.Second
)

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		if f.held(ctx) {
			f.wait(ctx, askEvery)
			continue
		}
		if err := f.ask(ctx); err != nil && ctx.Err() == nil {
			s := f.c.Of(f.link)
			s.Holder, s.Phase, s.Problem = own, "waiting", err.Error()
			f.c.keep(ctx, s)
			f.wait(ctx, retryAfter)
		}
	}
}

func (f *follower) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// held takes the lease that another program has, and reports whether one has. One that
// had it and is about to ask again, as after a boot, keeps it meanwhile.
func (f *follower) held(ctx context.Context) bool {
	program, list, err := f.c.cfg.Host.Delegated(ctx, f.link)
	if err != nil && ctx.Err() == nil && f.said != err.Error() {
		f.said = err.Error()
		f.c.cfg.Log.Warn("asking who has a delegated prefix", "link", f.link, "err", err)
	}
	was := f.c.Of(f.link)
	lease := delegation.Checked(delegation.Lease{Prefixes: list}, now())
	switch {
	case program == "":
		return false
	case len(lease.Prefixes) > 0:
		f.c.keep(ctx, delegation.Status{Link: f.link, Holder: program, Lease: steady(was, program, lease)})
		return true
	}
	return was.Holder == program && len(was.Lease.Prefixes) > 0
}

// steady returns a lease that another program has as it was taken down, where it only
// counted down, or was prolonged a little: a lease of which nobody says how long it
// lasts grows with each look.
func steady(was delegation.Status, program string, l delegation.Lease) delegation.Lease {
	if was.Holder != program || len(was.Lease.Prefixes) != len(l.Prefixes) {
		return l
	}
	at := now()
	near := func(was, is time.Time) bool {
		more := is.Sub(was)
		return more > -3*time.Second && more < max(3*time.Second, was.Sub(at)/4)
	}
	for i, p := range l.Prefixes {
		o := was.Lease.Prefixes[i]
		if o.Prefix != p.Prefix || !near(o.Preferred, p.Preferred) || !near(o.Valid, p.Valid) {
			return l
		}
	}
	return was.Lease
}

// errHeld says that another program has a lease now.
var errHeld = errors.New("another program has a prefix")

// ask asks by our own client, until that cannot be done any more or is not needed.
func (f *follower) ask(ctx context.Context) error {
	sock, err := listen(f.link)
	if err != nil {
		return err
	}
	defer sock.close()
	duid, err := f.c.duid()
	if err != nil {
		return err
	}
	was := f.c.Of(f.link)
	id := fnv.New32a()
	_, _ = id.Write([]byte(f.link))
	m := delegation.New(delegation.Config{DUID: duid, IAID: id.Sum32(), Hint: f.hint, Lease: was.Lease, Random: random}, now())
	err = f.converse(ctx, sock, m)
	if errors.Is(err, errHeld) {
		return nil
	}
	return err
}

// random returns a number from 0 up to 1.
func random() float64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it does not fail
	return float64(binary.NativeEndian.Uint64(b[:])>>11) / (1 << 53)
}

// converse drives a machine, until the link fails or another program has a lease.
func (f *follower) converse(ctx context.Context, sock *socket, m *delegation.Machine) error {
	buf := make([]byte, 1<<16)
	looked := now()
	for ctx.Err() == nil {
		if err := f.transmit(sock, m.Tick(now())); err != nil {
			return err
		}
		f.tell(ctx, m)
		until := m.Next()
		if look := looked.Add(askEvery); look.Before(until) {
			until = look
		}
		msg, err := sock.receive(ctx, until, buf)
		if err != nil {
			return err
		}
		if msg != nil {
			out, err := m.Receive(msg, now())
			if err != nil {
				f.c.cfg.Log.Debug("an answer of the router makes no sense", "link", f.link, "err", err)
			}
			if err := f.transmit(sock, out); err != nil {
				return err
			}
			f.tell(ctx, m)
		}
		if now().Sub(looked) >= askEvery {
			looked = now()
			if f.held(ctx) {
				return errHeld
			}
		}
	}
	return ctx.Err()
}

func (f *follower) transmit(sock *socket, msg []byte) error {
	if msg == nil {
		return nil
	}
	return sock.send(msg)
}

// tell takes down what a machine has come to.
func (f *follower) tell(ctx context.Context, m *delegation.Machine) {
	s := delegation.Status{Link: f.link, Holder: own, Phase: m.Phase().String(), Lease: m.Lease(now()), Problem: m.Problem()}
	f.c.keep(ctx, s)
}
