package sequence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/rpc/client"
)

// task is what a player is asked for: one of these.
type task struct {
	Play    []op   // ops, from a host with nothing
	Fresh   *model // start what a model has, on a host with nothing
	Observe bool   // tell what the host looks like
	End     bool   // stop everything, and tell what is left
}

// answer is what a player says.
type answer struct {
	Err   string            // what went otherwise than the model says
	Log   string            // of the daemons, if so
	Model *model            // after Play
	State map[string]string // the host
}

// session is a player's.
type session struct {
	*daemon
	model model
	bare  map[string]string // the host before anything was done
}

// play does one task after another.
func play(in io.Reader, out io.Writer) error {
	ctx := context.Background()
	s := &session{daemon: newDaemon()}
	tasks, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var t task
		if err := tasks.Decode(&t); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a answer
		if err := s.perform(ctx, t, &a); err != nil {
			a.Err, a.Log = err.Error(), s.log.String()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// patience bounds what never ends; it measures nothing.
const patience = time.Minute

func (s *session) perform(ctx context.Context, t task, a *answer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch {
	case t.Play != nil:
		if err := s.begin(ctx); err != nil {
			return err
		}
		for i, o := range t.Play {
			if err := s.step(ctx, o); err != nil {
				return fmt.Errorf("op %d, %s: %w", i+1, o, err)
			}
		}
		err = s.settle(ctx)
		a.Model = &s.model
	case t.Fresh != nil:
		if err := s.begin(ctx); err != nil {
			return err
		}
		s.model = *t.Fresh
		err = s.build(ctx)
	case t.End:
		err = s.dissolve(ctx)
		a.State, s.bare = s.bare, nil
	default:
		a.State, err = s.observe(ctx)
	}
	return err
}

// begin looks at the host and starts a daemon.
func (s *session) begin(ctx context.Context) (err error) {
	if err := s.start(ctx); err != nil {
		return err
	}
	s.bare, err = s.observe(ctx)
	return err
}

// step does an op, and wants the daemon and the model to agree.
func (s *session) step(ctx context.Context, o op) error {
	before := s.model.clone()
	code, sense := s.model.apply(o)
	if !sense {
		s.model = *before
		return nil
	}
	if o.Crash > 0 && !o.Kind.ofDaemon() {
		return s.crashing(ctx, o, code, before)
	}
	if err := agree(s.do(ctx, o), code); err != nil {
		return err
	}
	if o.Kind.ofDaemon() {
		return s.checkAll(ctx)
	}
	return s.check(ctx, o.Net)
}

// agree wants a call to have ended with a code.
func agree(err error, code int) error {
	refusal, refused := errors.AsType[*client.Error](err)
	switch {
	case err == nil && code == done, refused && int(refusal.Code) == code:
		return nil
	case err == nil:
		return fmt.Errorf("succeeded, and should have been refused with code %d", code)
	case refused:
		return fmt.Errorf("code %d (%w), and should be %d", refusal.Code, err, code)
	}
	return err
}

// crashing does an op while the daemon is killed. What was answered counts; what
// was not is done, or not at all, when the next daemon is there.
func (s *session) crashing(ctx context.Context, o op, code int, before *model) error {
	result := make(chan error, 1)
	go func() { result <- s.do(ctx, o) }()
	timer := time.NewTimer(time.Duration(o.Crash) * time.Microsecond)
	defer timer.Stop()
	var err error
	answered := false
	select {
	case err = <-result:
		answered = true
	case <-timer.C:
	}
	s.kill()
	if !answered {
		err = <-result
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	if o.Kind == tried { // it may have been applied when the daemon died
		if err := s.rollBack(ctx); err != nil {
			return err
		}
	}
	if _, refused := errors.AsType[*client.Error](err); err == nil || refused {
		if err := agree(err, code); err != nil {
			return err
		}
		s.model.daemon(op{Kind: crash})
		return s.checkAll(ctx)
	}
	var errs []error
	for _, m := range outcomes(before, &s.model, o.Net) {
		m.daemon(op{Kind: crash})
		s.model = *m
		err := s.checkAll(ctx)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("after a crash the network is neither as before nor as after: %w", errors.Join(errs...))
}

// settle ends what the model does not say any more about.
func (s *session) settle(ctx context.Context) error {
	for net := range s.model.Networks {
		if s.model.Networks[net].Broken {
			if err := s.step(ctx, op{Kind: destroy, Net: net}); err != nil {
				return fmt.Errorf("stopping network %q, whose bridge is gone: %w", networks[net].name, err)
			}
		}
	}
	return s.checkAll(ctx)
}

// dissolve stops and undefines all networks, and wants nothing to be left.
func (s *session) dissolve(ctx context.Context) error {
	for net := range s.model.Networks {
		n := &s.model.Networks[net]
		if n.Live != nil {
			if err := s.step(ctx, op{Kind: destroy, Net: net}); err != nil {
				return fmt.Errorf("destroying network %q: %w", networks[net].name, err)
			}
		}
		if n.Config != nil {
			if err := s.step(ctx, op{Kind: undefine, Net: net}); err != nil {
				return fmt.Errorf("undefining network %q: %w", networks[net].name, err)
			}
		}
	}
	return s.wait(ctx, "nothing is left", func() error {
		now, err := s.observe(ctx)
		if err != nil {
			return err
		}
		if diff := difference(s.bare, now); diff != "" {
			return fmt.Errorf("when all networks are gone, the host is not as it was (-before +after):\n%s", diff)
		}
		return nil
	})
}

// difference shows in which lines two observations differ: those that are missing
// in the second and those that are only there.
func difference(a, b map[string]string) string {
	topics := map[string]string{}
	maps.Copy(topics, a)
	maps.Copy(topics, b)
	var out strings.Builder
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		if a[topic] == b[topic] {
			continue
		}
		fmt.Fprintf(&out, "%s:\n", topic)
		have, want := strings.Split(b[topic], "\n"), strings.Split(a[topic], "\n")
		mark(&out, "-", want, have)
		mark(&out, "+", have, want)
	}
	return out.String()
}

// mark writes the lines that others lack, from where they differ from the one that
// is most like them; if others have all, the order differs.
func mark(out *strings.Builder, sign string, list, others []string) {
	wrote := false
	for _, line := range list {
		if slices.Contains(others, line) {
			continue
		}
		same := 0
		for _, other := range others {
			same = max(same, common(line, other))
		}
		from := 0
		if same > 200 {
			from = same - 100
		}
		fmt.Fprintf(out, "  %s %.40s ...%.400s\n", sign, line, line[from:])
		wrote = true
	}
	if !wrote {
		fmt.Fprintf(out, "  %s (%d lines)\n", sign, len(list))
	}
}

// common returns how long the common beginning of two lines is.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
