package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/topology"
)

// topOptions are the flags of top.
type topOptions struct {
	json, once bool
	interval   time.Duration
	rows       int
}

func newTop(io IO) *cobra.Command {
	f, o := &daemonFlags{}, topOptions{}
	cmd := &cobra.Command{
		Use:   "top [NETWORK...]",
		Short: "Show who sends how much to whom now",
		Long: `Show for each network what its guests send and get in a second, new connections, and
packets that are dropped, by cause; and below it the guests, their peers and ports, the
busiest first. It is drawn again every few seconds until interrupted.

Networks are counted by their bridges, guests by the connections that the host tracks.
Linux counts packets and bytes of connections only where it is told to; until then
only connections are shown:

  sysctl -w net.netfilter.nf_conntrack_acct=1

What guests of one bridge send each other the host does not see. It needs root.`,
		Example: `  virbr top                          all networks
  virbr top default                  one of them
  virbr top --once --interval 10s    once, over ten seconds
  virbr top --json | jq -r '.flows[0].guest'   a line of JSON each time`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.interval < 100*time.Millisecond {
				return usageError{fmt.Errorf("%s: --interval %s is too short: at least 100ms", cmd.CommandPath(), o.interval)}
			}
			return f.top(cmd.Context(), io, &o, args)
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print a JSON object a line instead")
	cmd.Flags().BoolVar(&o.once, "once", false, "end after the first time")
	cmd.Flags().DurationVarP(&o.interval, "interval", "n", 2*time.Second, "time between two drawings")
	cmd.Flags().IntVar(&o.rows, "rows", 20, "show at most so many guests and peers; 0: all")
	f.add(cmd, io)
	return cmd
}

// top shows rates until it is interrupted.
func (f *daemonFlags) top(ctx context.Context, io IO, o *topOptions, names []string) error {
	if err := f.here("top", "counts packets of"); err != nil {
		return err
	}
	if io.Host == nil {
		return errLook{errors.New("this virbr cannot look at hosts")}
	}
	h, err := io.Host()
	if err != nil {
		return errLook{fmt.Errorf("looking at this host: %w", err)}
	}
	defer h.Close()
	facts, err := f.look(ctx, io, names)
	if err != nil {
		return err
	}
	before, err := sample(ctx, h, facts)
	if err != nil {
		return errLook{err}
	}
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		after, err := sample(ctx, h, facts)
		if err != nil {
			return errLook{err}
		}
		if err := showTop(io, o, facts.Rates(before, after, names...)); err != nil || o.once {
			return err
		}
		if facts, err = f.look(ctx, io, names); err != nil { // guests come and go
			return err
		}
		before = after
	}
}

// sample reads what has been counted.
func sample(ctx context.Context, h Host, facts *topology.Facts) (*topology.Sample, error) {
	s := &topology.Sample{Time: time.Now()}
	var err error
	if s.Bridges, err = h.Counters(ctx, facts.Bridges()); err != nil {
		return nil, err
	}
	s.Connections, err = h.Connections(ctx)
	return s, err
}

func showTop(io IO, o *topOptions, t *topology.Top) error {
	if o.json {
		return writeLine(io, t)
	}
	if bool(painterFor(io.Out)) && !o.once {
		if err := write(io.Out, clearScreen); err != nil {
			return err
		}
	}
	nets := newTable(io, "NETWORK", "SENT", "RECEIVED", "PACKETS/S", "CONNECTIONS", "NEW", "DROPS/S")
	for _, n := range t.Networks {
		paint, drops := painter.plain, dropText(n.Drops)
		if drops != "-" {
			paint = painter.yellow
		}
		nets.row(paint, n.Network, bits(n.Sent), bits(n.Got), fmt.Sprintf("%.0f", n.Sent.Packets+n.Got.Packets), fmt.Sprint(n.Now), fmt.Sprint(n.New), drops)
	}
	if err := nets.print("There are no networks that run."); err != nil {
		return err
	}
	if !t.Counted && len(t.Flows) > 0 {
		if err := write(io.Out, "\nLinux does not count bytes of connections yet: sysctl -w net.netfilter.nf_conntrack_acct=1\n"); err != nil {
			return err
		}
	}
	if len(t.Flows) == 0 {
		return nil
	}
	flows := newTable(io, "GUEST", "PEER", "PORT", "CONNECTIONS", "NEW", "PACKETS/S", "SENT", "RECEIVED")
	shown := len(t.Flows)
	if o.rows > 0 {
		shown = min(shown, o.rows)
	}
	for _, w := range t.Flows[:shown] {
		arrow := map[bool]string{false: "→", true: "←"}[w.Inbound]
		flows.row(painter.plain, w.Network+"/"+w.Guest, arrow+" "+w.Peer, portText(&w), fmt.Sprint(w.Now), fmt.Sprint(w.New),
			fmt.Sprintf("%.0f", w.Sent.Packets+w.Got.Packets), bits(w.Sent), bits(w.Got))
	}
	if err := write(io.Out, "\n"); err != nil {
		return err
	}
	return flows.print("")
}

func portText(w *topology.Flow) string {
	if w.Port == 0 {
		return w.Proto
	}
	return fmt.Sprintf("%d/%s", w.Port, w.Proto)
}

// dropText names the causes of drops.
func dropText(d topology.Drops) string {
	var words []string
	for _, cause := range []struct {
		name string
		n    float64
	}{{"leaving", d.Leaving}, {"entering", d.Entering}, {"link", d.Link}} {
		if cause.n > 0 {
			words = append(words, fmt.Sprintf("%s %.1f", cause.name, cause.n))
		}
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ", ")
}

// bits says how fast bytes are, in bits a second, as links are rated.
func bits(r topology.Rate) string {
	n := 8 * r.Bytes
	for _, unit := range []string{"bit/s", "kbit/s", "Mbit/s"} {
		if n < 1000 {
			return fmt.Sprintf("%.0f %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.1f Gbit/s", n)
}
