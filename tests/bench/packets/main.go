package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/virbr/virbr/tests/bench/side"
)

// hostEnv holds, in a child, the host that it is to be.
const hostEnv = "VIRBR_BENCH_HOST"

func main() {
	virbrd := flag.String("virbrd", "bin/virbrd", "the virbrd to measure")
	rounds := flag.Int("rounds", 60, "how often each host is measured")
	span := flag.Duration("span", 30*time.Millisecond, "how long each measurement lasts")
	hosts := flag.String("hosts", "none,guard:1000,virbrd:1,virbrd:100,virbrd:1000,virbrd:1:1,virbrd:1:10000,virbrd:1000:10000,libvirtd:1,libvirtd:100",
		"`list` of hosts: daemon:networks:forwards; the first virbrd is the yardstick, and for what is forwarded the first that forwards")
	flag.Parse()
	var err error
	if text := os.Getenv(hostEnv); text != "" {
		err = serve(text, *virbrd, *span)
	} else {
		err = compare(*virbrd, *rounds, *span, strings.Split(*hosts, ","))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "packets:", err)
		os.Exit(1)
	}
}

// setup is what a host is to have.
type setup struct {
	daemon   string // "none": a bare bridge and a router; "guard": the same, with so many guarded ports
	networks int
	forwards int // of the first network
}

func parseSetup(text string) (setup, error) {
	parts := strings.Split(text, ":")
	s := setup{daemon: parts[0], networks: 1}
	into := []*int{&s.networks, &s.forwards}
	for i, part := range parts[1:] {
		n, err := strconv.Atoi(part)
		if err != nil || i >= len(into) {
			return s, fmt.Errorf("%q is not daemon:networks:forwards", text)
		}
		*into[i] = n
	}
	return s, nil
}

func (s setup) String() string {
	switch {
	case s.daemon == "none":
		return "no rules at all"
	case s.daemon == "guard":
		return fmt.Sprintf("no rules but a guard of %d ports", s.networks)
	case s.forwards > 0:
		return fmt.Sprintf("%s, %d networks, %d forwards", s.daemon, s.networks, s.forwards)
	}
	return fmt.Sprintf("%s, %d networks", s.daemon, s.networks)
}

// sample is what one round measured.
type sample struct {
	Packets float64 // UDP packets of 64 bytes a second
	Stream  float64 // TCP, bytes a second
	Flows   float64 // new UDP flows a second

	// The same for packets and flows from outside, by way of forward number 1; 0:
	// there is none.
	In, InFlows float64
}

// host is a child process in namespaces of its own.
type host struct {
	setup
	*side.Side[sample]
	got []sample
}

func startHost(text, virbrd string, span time.Duration) (*host, error) {
	s, err := parseSetup(text)
	if err != nil {
		return nil, err
	}
	child, err := side.Start[sample](hostEnv, text, "-virbrd", virbrd, "-span", span.String())
	return &host{setup: s, Side: child}, err
}

// measure has the host measure once.
func (h *host) measure() error {
	got, err := h.Ask("measure")
	h.got = append(h.got, got)
	return err
}

// compare measures all hosts in turns and prints the table.
func compare(virbrd string, rounds int, span time.Duration, texts []string) error {
	var hosts []*host
	for _, text := range texts {
		side.Progress("\rsetting up %-40s", text)
		h, err := startHost(text, virbrd, span)
		if err != nil {
			return err
		}
		defer h.End()
		hosts = append(hosts, h)
	}
	for i := range rounds {
		side.Progress("\rround %-40s", fmt.Sprintf("%d of %d", i+1, rounds))
		for _, h := range hosts {
			if err := h.measure(); err != nil {
				return err
			}
		}
	}
	side.Progress("\r%40s\r", "")
	return report(hosts)
}

// column is one thing that is measured.
type column struct {
	title string
	unit  float64
	of    func(sample) float64
}

func columns() []column {
	return []column{
		{"packets, k/s", 1e3, func(s sample) float64 { return s.Packets }},
		{"TCP, Gbit/s", 1e9 / 8, func(s sample) float64 { return s.Stream }},
		{"new flows, k/s", 1e3, func(s sample) float64 { return s.Flows }},
		{"packets in, k/s", 1e3, func(s sample) float64 { return s.In }},
		{"new flows in, k/s", 1e3, func(s sample) float64 { return s.InFlows }},
	}
}

// report prints medians, and their ratios to those of the yardstick, as a
// Markdown table. The yardstick of a column is the first virbrd that has it.
func report(hosts []*host) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	first, second := "| host\t|", "|---\t|"
	for _, c := range columns() {
		first += " " + c.title + "\t| ratio\t|"
		second += "---\t|---\t|"
	}
	fmt.Fprintf(w, "%s\n%s\n", first, second)
	for _, h := range hosts {
		fmt.Fprintf(w, "| %s\t|", h.setup)
		for _, c := range columns() {
			here := median(h.got, c.of)
			if here == 0 {
				fmt.Fprint(w, " \t| \t|")
				continue
			}
			fmt.Fprintf(w, " %.1f\t| %.2f\t|", here/c.unit, ratio(h, yardstick(hosts, c), c))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func yardstick(hosts []*host, c column) *host {
	i := slices.IndexFunc(hosts, func(h *host) bool { return h.daemon == "virbrd" && median(h.got, c.of) > 0 })
	return hosts[max(i, 0)]
}

// ratio returns the median over the rounds of what a host has to what the
// yardstick has in the same round: what disturbs a round disturbs both.
func ratio(h, yardstick *host, c column) float64 {
	var values []float64
	for i := range h.got {
		values = append(values, c.of(h.got[i])/c.of(yardstick.got[i]))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func median(list []sample, of func(sample) float64) float64 {
	var values []float64
	for _, s := range list {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
