package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/virbr/virbr/tests/bench/side"
)

// sideEnv names, in a child, the host that it is to be.
const sideEnv = "VIRBR_GROWTH_SIDE"

func main() {
	virbrd := flag.String("virbrd", "bin/virbrd", "the virbrd to measure")
	rounds := flag.Int("rounds", 20, "how often each change is measured")
	forwards := flag.Int("forwards", 10_000, "forwards of a network that has many")
	networks := flag.Int("networks", 1000, "networks of a host that has many")
	flag.Parse()
	var err error
	if text := os.Getenv(sideEnv); text != "" {
		err = serve(text, *virbrd)
	} else {
		err = compare(*virbrd, *rounds, []pair{
			{forwardCalls, setup{Networks: 1}, setup{Networks: 1, Forwards: *forwards}, fmt.Sprintf("%d forwards", *forwards)},
			{networkCalls, setup{Networks: 1}, setup{Networks: *networks}, fmt.Sprintf("%d networks", *networks)},
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

// setup is what a host has before anything is measured.
type setup struct{ Networks, Forwards int }

// pair is two hosts that are compared by the same calls.
type pair struct {
	calls     []string
	few, many setup
	name      string // of many
}

// cost is what a call costs: the time until its answer, and what virbrd uses of the
// processors, until it has nothing more to do.
type cost struct{ Took, Work time.Duration }

// compare measures pairs, one after the other, and prints a table.
func compare(virbrd string, rounds int, pairs []pair) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| call\t| with\t| few\t| many\t| ratio\t| few, CPU\t| many, CPU\t| ratio\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, p := range pairs {
		few, many, err := p.measure(virbrd, rounds)
		if err != nil {
			return err
		}
		for _, call := range p.calls {
			took := func(c cost) time.Duration { return c.Took }
			work := func(c cost) time.Duration { return c.Work }
			fmt.Fprintf(w, "| %s\t| %s\t", call, p.name)
			for _, of := range []func(cost) time.Duration{took, work} {
				fmt.Fprintf(w, "| %v\t| %v\t| %.2f\t", median(few[call], of), median(many[call], of), ratio(few[call], many[call], of))
			}
			fmt.Fprintln(w, "|")
		}
	}
	return w.Flush()
}

// measure makes all calls in turns at both hosts.
func (p pair) measure(virbrd string, rounds int) (few, many map[string][]cost, err error) {
	few, many = map[string][]cost{}, map[string][]cost{}
	a, err := start(virbrd, p.few)
	if err != nil {
		return nil, nil, err
	}
	defer a.End()
	b, err := start(virbrd, p.many)
	if err != nil {
		return nil, nil, err
	}
	defer b.End()
	for range rounds {
		for _, call := range p.calls {
			x, err := a.Ask(call)
			if err != nil {
				return nil, nil, fmt.Errorf("%s beside few: %w", call, err)
			}
			y, err := b.Ask(call)
			if err != nil {
				return nil, nil, fmt.Errorf("%s beside %s: %w", call, p.name, err)
			}
			few[call], many[call] = append(few[call], x), append(many[call], y)
		}
	}
	return few, many, nil
}

func median(list []cost, of func(cost) time.Duration) time.Duration {
	values := make([]time.Duration, len(list))
	for i, c := range list {
		values[i] = of(c)
	}
	slices.Sort(values)
	return values[len(values)/2].Round(10 * time.Microsecond)
}

// ratio returns the median of the ratios within one round.
func ratio(few, many []cost, of func(cost) time.Duration) float64 {
	values := make([]float64, len(few))
	for i := range few {
		values[i] = float64(of(many[i])) / float64(max(of(few[i]), 1))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// start starts a host; its networks run when this returns.
func start(virbrd string, s setup) (*side.Side[cost], error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return side.Start[cost](sideEnv, string(text), "-virbrd", virbrd)
}
