//go:build libvirt_dlopen

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
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

// side is a child process that measures one daemon.
type side struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// startSide starts a child in namespaces of its own; it is ready when this
// returns.
func startSide(name, virbrd string) (*side, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &side{cmd: exec.Command(self, "-virbrd", virbrd)}
	s.cmd.Env = append(os.Environ(), sideEnv+"="+name)
	s.cmd.SysProcAttr = netnstest.Attributes()
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the side of %s: %w", name, err)
	}
	_, err = s.ask("ready")
	return s, err
}

// ask has the child do one thing and returns what it measured.
func (s *side) ask(what string) (sample, error) {
	if _, err := fmt.Fprintln(s.in, what); err != nil {
		return sample{}, err
	}
	if !s.out.Scan() {
		return sample{}, errors.Join(fmt.Errorf("no answer to %q", what), s.out.Err())
	}
	var got sample
	return got, json.Unmarshal(s.out.Bytes(), &got)
}

func (s *side) end() {
	_ = s.in.Close()
	_ = s.cmd.Wait()
}

// compare measures both daemons in turns and prints the table.
func compare(virbrd string, rounds int) error {
	sides, names := map[string]*side{}, []string{"libvirtd", "virbrd"}
	for _, name := range names {
		s, err := startSide(name, virbrd)
		if err != nil {
			return err
		}
		defer s.end()
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
		progress("\r%d of %d rounds ", i+1, len(questions))
		for _, name := range names {
			got, err := sides[name].ask(question)
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
	progress("\n")
	return report(took, memory)
}

// progress tells a person at a terminal how far it is.
func progress(format string, args ...any) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, format, args...)
	}
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
