//go:build libvirt_dlopen

package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/virbr/virbr/tests/bench/side"
)

// sideEnv names, in a child, the daemon that it is to start and measure.
const sideEnv = "VIRBR_BENCH_SIDE"

func main() {
	virbrd := flag.String("virbrd", "bin/virbrd", "the virbrd to measure")
	rounds := flag.Int("rounds", 30, "how often each call is measured")
	flag.Parse()
	var err error
	if name := os.Getenv(sideEnv); name != "" {
		err = serve(name, *virbrd)
	} else {
		err = compare(*virbrd, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// sample is what one round, or the final count, measured.
type sample struct {
	Took   map[string]time.Duration
	Memory map[string]int64 // KiB
}

// compare measures both daemons in turns and prints the table.
func compare(virbrd string, rounds int) error {
	sides, names := map[string]*side.Side[sample]{}, []string{"libvirtd", "virbrd"}
	for _, name := range names {
		s, err := side.Start[sample](sideEnv, name, "-virbrd", virbrd)
		if err != nil {
			return err
		}
		defer s.End()
		sides[name] = s
	}
	took := map[string]map[string][]time.Duration{}
	memory := map[string]map[string]int64{}
	for _, name := range names {
		took[name], memory[name] = map[string][]time.Duration{}, map[string]int64{}
	}
	questions := append(slices.Repeat([]string{"round"}, rounds), "many")
	questions = append(questions, slices.Repeat([]string{"list"}, rounds)...)
	for i, question := range questions {
		side.Progress("\r%d of %d rounds ", i+1, len(questions))
		for _, name := range names {
			got, err := sides[name].Ask(question)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			for call, d := range got.Took {
				took[name][call] = append(took[name][call], d)
			}
			for what, kib := range got.Memory {
				memory[name][what] = kib
			}
		}
	}
	side.Progress("\n")
	return report(took, memory)
}

// report prints medians and ratios as a Markdown table.
func report(took map[string]map[string][]time.Duration, memory map[string]map[string]int64) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| what\t| libvirtd\t| virbrd\t| ratio\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|")
	for _, call := range calls {
		theirs, ours := median(took["libvirtd"][call]), median(took["virbrd"][call])
		fmt.Fprintf(w, "| %s\t| %v\t| %v\t| %.1f\t|\n", call, theirs.Round(time.Microsecond), ours.Round(time.Microsecond), float64(theirs)/float64(ours))
	}
	for _, what := range memories {
		theirs, ours := memory["libvirtd"][what], memory["virbrd"][what]
		fmt.Fprintf(w, "| %s\t| %.1f MiB\t| %.1f MiB\t| %.1f\t|\n", what, float64(theirs)/1024, float64(ours)/1024, float64(theirs)/float64(ours))
	}
	return w.Flush()
}

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[len(d)/2]
}
