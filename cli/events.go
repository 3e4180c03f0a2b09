package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
)

// eventsOptions are the flags of events.
type eventsOptions struct {
	json, recent bool
	timeout      time.Duration // 0: never
}

func newEvents(io IO) *cobra.Command {
	f := &daemonFlags{}
	var o eventsOptions
	var timeout int
	cmd := &cobra.Command{
		Use:   "events [NETWORK]",
		Short: "Show what happens to networks, as it happens",
		Long: `Print a line for everything that happens to one network, or to all, until
interrupted:

  which program removed firewall rules, and that they are restored
  which program changed other firewalls so that guests were cut off, and that they are not
  an address of a bridge, or the like, that was removed and is restored
  a dnsmasq that died, when it is started again, and that it serves
  a guest that forwards target and that came, moved or went
  an uplink that guests no longer leave by, and by which they do now
  networks that are defined, started, stopped and undefined, and changed metadata

virsh event shows the last of these only, for libvirt's protocol has no words for the
others. They come from virbrd: libvirt's own daemons do not tell them.

With --recent and --json an object whose "event" is "listening" stands between what has
happened and what happens from then on.`,
		Example: "  virbr events\n  virbr events default --json | jq -r 'select(.event == \"healed\").by'",
		Args:    atMost("NETWORK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout < 0 {
				return usageError{fmt.Errorf("%s: --timeout %d: not a number of seconds", cmd.CommandPath(), timeout)}
			}
			o.timeout = time.Duration(timeout) * time.Second
			return f.reading(cmd.Context(), func(c *client.Conn) error {
				return f.printEvents(cmd.Context(), io, c, first(args), o)
			})
		},
		ValidArgsFunction: f.completeOne,
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print a JSON object a line instead")
	cmd.Flags().BoolVar(&o.recent, "recent", false, "begin with the last events since virbrd started")
	cmd.Flags().IntVar(&timeout, "timeout", 0, "end after so many `seconds`; 0: never")
	f.add(cmd, io)
	return cmd
}

func (f *daemonFlags) printEvents(ctx context.Context, io IO, c *client.Conn, network string, o eventsOptions) error {
	var of *client.Network
	if network != "" {
		n, err := c.Lookup(ctx, network)
		if err != nil {
			return err
		}
		of = &n
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if o.timeout > 0 {
		ctx, stop = context.WithTimeout(ctx, o.timeout)
		defer stop()
	}
	p := painterFor(io.Out)
	show := func(e client.Event) error {
		if o.json {
			return writeEvent(io, e)
		}
		return write(io.Out, fmt.Sprintf("%s %s %s\n", e.Time.Format("2006-01-02 15:04:05.000"), p.bold(e.Network+":"), eventPaint(e)(p, flat(eventText(e)))))
	}
	var last time.Time // that was shown of those before
	var failed error
	began := func() {
		if !o.recent {
			return
		}
		if last, failed = f.recentEvents(ctx, network, show); failed == nil && o.json {
			failed = writeLine(io, eventJSON{Time: time.Now().UTC(), Event: "listening", Text: "what comes next happens from now on"})
		}
		if failed != nil {
			stop()
		}
	}
	err := c.Events(ctx, of, began, func(e client.Event) error {
		if !e.Time.After(last) {
			return nil
		}
		return show(e)
	})
	if failed != nil {
		return failed
	}
	if o.timeout > 0 && errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// recentEvents shows what happened to one network, or to all, and returns when the last of
// it was. It has a connection of its own, so that the one that listens misses nothing.
func (f *daemonFlags) recentEvents(ctx context.Context, network string, show func(client.Event) error) (last time.Time, err error) {
	err = f.reading(ctx, func(c *client.Conn) error {
		list, err := c.RecentEvents(ctx)
		if err != nil {
			return err
		}
		for _, e := range list {
			if network != "" && e.Network != network {
				continue
			}
			if err := show(e); err != nil {
				return err
			}
			last = e.Time
		}
		return nil
	})
	return last, err
}

// eventText says what happened.
func eventText(e client.Event) string {
	switch e.Kind {
	case client.Defined:
		return "defined"
	case client.Undefined:
		return "undefined"
	case client.Started:
		return "started"
	case client.Stopped:
		return "stopped"
	case client.Metadata:
		return "metadata changed: " + e.Detail
	case client.Healed:
		return fmt.Sprintf("firewall rules were removed by %s; restored after %s%s", byWhom(e.By), e.Took.Round(100*time.Microsecond), together(e.Count))
	case client.Accepted:
		return fmt.Sprintf("another firewall, changed by %s, stopped guests; their traffic passes again after %s%s", byWhom(e.By), e.Took.Round(100*time.Microsecond), together(e.Count))
	case client.Restored:
		if e.Count == 0 {
			return "taken away: " + e.Detail
		}
		return fmt.Sprintf("taken away, and back after %s: %s", e.Took.Round(100*time.Microsecond), e.Detail)
	case client.DnsmasqDied:
		if e.Wait == 0 {
			return "dnsmasq died; it is started again at once"
		}
		return fmt.Sprintf("dnsmasq died, %d times in a row; it is started again in %s", e.Count, e.Wait)
	case client.DnsmasqStarted:
		return "dnsmasq serves again"
	case client.DnsmasqFailed:
		return "dnsmasq does not start: " + e.Detail
	case client.UplinkChanged:
		return e.Detail
	case client.GuestMoved:
		return guestText(e)
	case client.NameClaimed:
		return fmt.Sprintf("guest %s asks for the name of %s, and gets nothing by it", e.By, e.Detail)
	}
	return fmt.Sprintf("event %d, which this virbr does not know", e.Kind)
}

func byWhom(by string) string {
	if by == "" {
		return "another program"
	}
	return by
}

// together says how many networks a thing happened to at once.
func together(networks int) string {
	if networks < 2 {
		return ""
	}
	return fmt.Sprintf(", with those of %d networks", networks)
}

func guestText(e client.Event) string {
	what := "1 forward or address targets"
	if e.Count != 1 {
		what = fmt.Sprintf("%d forwards and addresses target", e.Count)
	}
	switch {
	case len(e.Now) == 0:
		return fmt.Sprintf("guest %s has gone from %s: %s nothing", e.Detail, addressList(e.Was), what)
	case len(e.Was) == 0:
		return fmt.Sprintf("guest %s has come: %s %s", e.Detail, what, addressList(e.Now))
	}
	return fmt.Sprintf("guest %s has moved from %s: %s %s", e.Detail, addressList(e.Was), what, addressList(e.Now))
}

// flat makes one line of a text.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

func eventPaint(e client.Event) func(painter, string) string {
	switch e.Kind {
	case client.DnsmasqFailed:
		return painter.red
	case client.Healed, client.Accepted, client.DnsmasqDied, client.Restored, client.UplinkChanged, client.NameClaimed:
		return painter.yellow
	case client.Defined, client.Undefined, client.Started, client.Stopped, client.Metadata, client.DnsmasqStarted, client.GuestMoved:
	}
	return painter.plain
}

// eventNames are the words of --json.
var eventNames = map[client.EventKind]string{
	client.Defined: "defined", client.Undefined: "undefined", client.Started: "started", client.Stopped: "stopped",
	client.Metadata: "metadata", client.Healed: "healed", client.Accepted: "accepted", client.DnsmasqDied: "dnsmasq-died",
	client.DnsmasqStarted: "dnsmasq-started", client.DnsmasqFailed: "dnsmasq-failed", client.GuestMoved: "guest",
	client.Restored: "restored", client.UplinkChanged: "uplink", client.NameClaimed: "name-claimed",
}

// eventJSON is one event as --json prints it.
type eventJSON struct {
	Time     time.Time    `json:"time"`
	Network  string       `json:"network"`
	Event    string       `json:"event"`
	By       string       `json:"by,omitempty"`
	Networks int          `json:"networks,omitempty"`
	Seconds  *float64     `json:"seconds,omitempty"` // that mending took
	Deaths   int          `json:"deaths,omitempty"`
	Wait     *float64     `json:"wait,omitempty"` // seconds
	Error    string       `json:"error,omitempty"`
	Lost     string       `json:"lost,omitempty"`
	Restored int          `json:"restored,omitempty"` // of what was lost
	Metadata string       `json:"metadata,omitempty"`
	Uplink   string       `json:"uplink,omitempty"`
	Guest    string       `json:"guest,omitempty"`
	Leading  int          `json:"leading,omitempty"`
	Was      []netip.Addr `json:"was,omitempty"`
	Now      []netip.Addr `json:"now,omitempty"`
	Text     string       `json:"text"`
}

func writeEvent(io IO, e client.Event) error {
	o := eventJSON{Time: e.Time.UTC(), Network: e.Network, Event: eventNames[e.Kind], By: e.By, Was: e.Was, Now: e.Now, Text: flat(eventText(e))}
	switch e.Kind {
	case client.Healed, client.Accepted:
		took := e.Took.Seconds()
		o.Networks, o.Seconds = e.Count, &took
	case client.Restored:
		took := e.Took.Seconds()
		o.Lost, o.Restored, o.Seconds = e.Detail, e.Count, &took
	case client.DnsmasqDied:
		wait := e.Wait.Seconds()
		o.Deaths, o.Wait = e.Count, &wait
	case client.DnsmasqStarted:
		o.Deaths = e.Count
	case client.DnsmasqFailed:
		o.Deaths, o.Error = e.Count, e.Detail
	case client.GuestMoved:
		o.Guest, o.Leading = e.Detail, e.Count
	case client.NameClaimed:
		o.Guest = e.Detail
	case client.Metadata:
		o.Metadata = e.Detail
	case client.UplinkChanged:
		o.Uplink = e.Detail
	case client.Defined, client.Undefined, client.Started, client.Stopped:
	default:
		o.Event = fmt.Sprintf("event-%d", e.Kind)
	}
	return writeLine(io, o)
}

// writeLine prints a JSON object as one line.
func writeLine(io IO, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("formatting JSON: %w", err)
	}
	return write(io.Out, string(text)+"\n")
}
