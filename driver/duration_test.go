package driver

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDurations(t *testing.T) {
	t.Parallel()
	d := &Driver{}
	if got := d.StartTimes(); len(got.Counts) != len(got.Bounds)+1 || got.Sum != 0 {
		t.Errorf("before the first start: %+v", got)
	}
	for _, took := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 5*time.Millisecond + 1, 30 * time.Second, time.Hour} {
		d.starts.observe(took, nil)
	}
	d.starts.observe(time.Minute, errors.New("no"))
	want := StartTimes{Bounds: startBounds, Counts: make([]uint64, len(startBounds)+1), Sum: time.Hour + 30*time.Second + 11*time.Millisecond + 1, Failed: 1}
	want.Counts[0], want.Counts[1] = 2, 1
	want.Counts[len(startBounds)-1], want.Counts[len(startBounds)] = 1, 1
	if diff := cmp.Diff(want, d.StartTimes()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
