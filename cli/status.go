package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/topology"
)

// statusOptions are the flags of status.
type statusOptions struct {
	json, watch bool
}

func newStatus(io IO) *cobra.Command {
	f, o := &daemonFlags{}, statusOptions{}
	cmd := &cobra.Command{
		Use:   "status [NETWORK]",
		Short: "Show the networks of this host, and whether they are well",
		Long: `Show all networks in one table, or one network on a page:

  MODE      isolated, nat, route, open, bridge, ...
  SUBNETS   IPv4 and IPv6, advertised prefixes included
  UPLINK    the links of the host by which guests leave
  GUESTS    cards of running domains, and who else has a DHCP lease
  LEASES    used of the DHCP pool: 12/253
  FORWARDS  port forwards and public addresses; 1/2: one of two is in force
  CHANGED   what happened last, since virbrd started
  HEALTH    ok, warning or problem, as virbr doctor finds; running: nobody could look

Health and uplinks need root; all else any user may see who may ask the daemon. Where no
daemon runs, root sees what is in libvirt's files.

The exit status is 0 if it could be shown, and 2 if not.`,
		Example: `  virbr status                     all networks
  virbr status default             one, with its guests, forwards and findings
  virbr status --watch             redrawn when something happens
  virbr status --json | jq -r '.networks[] | select(.health == "problem") | .name'`,
		Args: atMost("NETWORK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.watch && o.json {
				return usageError{fmt.Errorf("%s: --watch redraws a terminal, and --json does not; virbr events --json tells what happens", cmd.CommandPath())}
			}
			show := func(ctx context.Context) error { return f.status(ctx, io, o.json, args) }
			if o.watch {
				return f.watch(cmd.Context(), io, show)
			}
			return show(cmd.Context())
		},
		ValidArgsFunction: f.completeOne,
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print the networks as one JSON object")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "draw again whenever virbrd tells that something happened, until interrupted")
	f.add(cmd, io)
	return cmd
}

// status prints the networks.
func (f *daemonFlags) status(ctx context.Context, io IO, asJSON bool, names []string) error {
	facts, err := f.look(ctx, io, names)
	if err != nil {
		return err
	}
	g := topology.Of(facts, names...)
	if asJSON {
		return writeJSON(io, g)
	}
	if len(names) > 0 {
		return write(io.Out, sheet(painterFor(io.Out), &g.Networks[0], time.Now())+remarks(g))
	}
	if err := statusTable(io, g, time.Now()); err != nil {
		return err
	}
	return write(io.Out, remarks(g))
}

// remarks tells what waits for a confirmation, and what could not be looked at.
func remarks(g *topology.Graph) string {
	text := ""
	for i := range g.Networks {
		if n := &g.Networks[i]; n.Confirm != nil {
			text += toConfirm(n.Name, *n.Confirm)
		}
	}
	for _, u := range g.Unchecked {
		text += "not looked at: " + u + "\n"
	}
	return text
}

func statusTable(io IO, g *topology.Graph, now time.Time) error {
	t := newTable(io, "NETWORK", "MODE", "SUBNETS", "BRIDGE", "UPLINK", "GUESTS", "LEASES", "FORWARDS", "CHANGED", "HEALTH")
	for i := range g.Networks {
		n := &g.Networks[i]
		t.row(healthPaint(n.Health), n.Name, n.Mode, cmp.Or(subnetList(n), "-"), cmp.Or(n.Bridge, "-"), cmp.Or(strings.Join(n.Uplinks, ","), "-"),
			guestCount(n), leaseCount(n), forwardCount(n), changed(n, now), string(n.Health))
	}
	return t.print("There are no networks. virsh net-define FILE makes one; see virbr-xml(5).")
}

func healthPaint(h topology.Health) func(painter, string) string {
	switch h {
	case topology.OK:
		return painter.green
	case topology.Warning:
		return painter.yellow
	case topology.Problem:
		return painter.red
	case topology.Running, topology.Stopped:
	}
	return painter.plain
}

func subnetList(n *topology.Network) string {
	var words []string
	for _, p := range n.Subnets {
		words = append(words, p.String())
	}
	if n.Prefix != "" && !n.Active {
		words = append(words, n.Prefix)
	}
	return strings.Join(words, ",")
}

func guestCount(n *topology.Network) string {
	if !n.Active {
		return "-"
	}
	return strconv.Itoa(len(n.Guests))
}

func leaseCount(n *topology.Network) string {
	var words []string
	for _, p := range n.Pools {
		words = append(words, fmt.Sprintf("%d/%d", p.Used, p.Size))
	}
	return cmp.Or(strings.Join(words, ","), "-")
}

// forwardCount says how many forwards and public addresses are in force, where that is
// not all of them.
func forwardCount(n *topology.Network) string {
	all, active := 0, 0
	for _, list := range [][]topology.Forward{n.Forwards, n.Publics} {
		for _, f := range list {
			if all++; f.Active {
				active++
			}
		}
	}
	switch {
	case all == 0:
		return "-"
	case all == active || !n.Active:
		return strconv.Itoa(all)
	}
	return fmt.Sprintf("%d/%d", active, all)
}

func changed(n *topology.Network, now time.Time) string {
	if n.Last == nil {
		return "-"
	}
	return n.Last.Event + " " + age(now.Sub(n.Last.Time))
}

// age says how long ago something was.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	}
	return fmt.Sprintf("%d d ago", d/day)
}

// sheet is the page of one network.
func sheet(p painter, n *topology.Network, now time.Time) string {
	var b strings.Builder
	line := func(what, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-10s%s\n", what, text)
		}
	}
	b.WriteString(p.bold("network "+n.Name) + "\n")
	line("health", healthPaint(n.Health)(p, string(n.Health)))
	for _, f := range n.Findings {
		line("", f)
	}
	if len(n.Findings) > 0 {
		line("", "virbr doctor "+n.Name+" says what to do")
	}
	line("mode", n.Mode)
	line("subnets", strings.ReplaceAll(subnetList(n), ",", ", "))
	line("prefix", delegated(n.Delegated, now))
	line("bridge", n.Bridge)
	exits := exitLines(p, n)
	for _, text := range exits {
		line("uplink", text)
	}
	if len(exits) == 0 {
		line("uplink", strings.Join(n.Uplinks, ", "))
	}
	line("kept by", n.Keeper)
	line("autostart", map[bool]string{true: "yes", false: "no"}[n.Autostart])
	for _, pool := range n.Pools {
		line("leases", fmt.Sprintf("%d of %d (%s)", pool.Used, pool.Size, map[string]string{"ipv4": "IPv4", "ipv6": "IPv6"}[pool.Family]))
	}
	if n.Last != nil {
		line("changed", n.Last.Text+", "+age(now.Sub(n.Last.Time)))
	}
	for _, kind := range []struct {
		word string
		list []topology.Forward
	}{{"forward", n.Forwards}, {"address", n.Publics}} {
		for _, f := range kind.list {
			line(kind.word, f.Text+forwardState(p, n, &f))
		}
	}
	for _, g := range n.Guests {
		line("guest", g.Text())
	}
	return b.String()
}

// exitLines say by which links guests leave, and why not by others.
func exitLines(p painter, n *topology.Network) []string {
	var lines []string
	for _, e := range n.Exits {
		text := map[string]string{"ipv4": "IPv4", "ipv6": "IPv6"}[e.Family]
		switch {
		case e.Used && e.Gateway != nil:
			text += " leaves by " + e.Link + " via " + e.Gateway.String()
		case e.Used:
			text += " leaves by " + e.Link
		case e.Reason != "":
			text += " not by " + e.Link + ": " + p.yellow(e.Reason)
		default:
			text += " could leave by " + e.Link
		}
		if e.Since != nil {
			text += " since " + e.Since.Local().Format("2006-01-02 15:04:05")
		}
		lines = append(lines, text)
	}
	return lines
}

// delegated says where a prefix came from, and for how long it may be used.
func delegated(d *topology.Delegated, now time.Time) string {
	if d == nil {
		return ""
	}
	text := fmt.Sprintf("of %s, delegated by the router on %s (%s asked), valid for %s more", d.Prefix, d.Link, d.Holder, d.Valid.Sub(now).Round(time.Second))
	if d.Problem != "" {
		text += ": " + d.Problem
	}
	return text
}

// forwardState says of a forward what is amiss.
func forwardState(p painter, n *topology.Network, f *topology.Forward) string {
	if remark := f.Remark(); remark != "" && (n.Active || f.Reason != "") {
		return ": " + p.yellow(remark)
	}
	return ""
}

// clearScreen has a terminal forget what it shows and begin at its top (ECMA-48).
const clearScreen = "\x1b[H\x1b[2J\x1b[3J"

// watch shows something, and again whenever the daemon tells of an event. Events that
// come while it is drawn make one drawing.
func (f *daemonFlags) watch(ctx context.Context, io IO, show func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	happened, ended := make(chan struct{}, 1), make(chan error, 1)
	again := func() {
		select {
		case happened <- struct{}{}:
		default:
		}
	}
	go func() {
		ended <- f.reading(ctx, func(c *client.Conn) error {
			return c.Events(ctx, nil, again, func(client.Event) error { again(); return nil })
		})
	}()
	for {
		select {
		case err := <-ended:
			return err
		case <-happened:
		}
		if painterFor(io.Out) {
			if err := write(io.Out, clearScreen); err != nil {
				return err
			}
		}
		if err := show(ctx); err != nil {
			stop()
			<-ended
			return err
		}
	}
}

// overview is what virbr alone prints: the networks, and the commands that help next.
func overview(ctx context.Context, io IO, f *daemonFlags) error {
	facts, err := f.look(ctx, io, nil)
	if err != nil {
		return write(io.Out, fmt.Sprintf("No networks can be shown: %v\n\n%s", err, next(nil)))
	}
	g := topology.Of(facts)
	if err := statusTable(io, g, time.Now()); err != nil {
		return err
	}
	return write(io.Out, remarks(g)+"\n"+next(g))
}

// next lists the commands that help next.
func next(g *topology.Graph) string {
	var b strings.Builder
	line := func(command, what string) { fmt.Fprintf(&b, "  %-42s%s\n", command, what) }
	name, guest := "NETWORK", "GUEST"
	if g == nil {
		g = &topology.Graph{}
	}
	for i := range g.Networks {
		n := &g.Networks[i]
		if !plain(n.Name) {
			continue
		}
		if name == "NETWORK" {
			name = n.Name
		}
		switch {
		case n.Health == topology.Problem || n.Health == topology.Warning:
			line("virbr doctor "+n.Name, "what is wrong, and the command that mends it")
		case guest == "GUEST" && len(n.Guests) > 0 && plain(n.Guests[0].Name):
			name, guest = n.Name, n.Guests[0].Name
		}
	}
	line("virbr map", "which networks, guests and links talk to each other")
	line("virbr status "+name, "one network, with its guests and forwards")
	line(fmt.Sprintf("virbr forward add %s 8080:80 %s", name, guest), "forward port 8080 of the host to a guest")
	line("virbr events", "what happens to networks, as it happens")
	line("virbr --help", "all commands")
	return b.String()
}

// plain reports whether a shell takes a name as it is.
func plain(name string) bool {
	return name != "" && !strings.HasPrefix(name, "-") && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && !(r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)))
	})
}
