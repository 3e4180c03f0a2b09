package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/topology"
	"github.com/virbr/virbr/xml"
)

func newTrace(io IO) *cobra.Command {
	f := &daemonFlags{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "trace FROM TO[:PORT][/PROTO]",
		Short: "Follow one packet through bridges, routes and everybody's rules",
		Long: `Say in words what becomes of the first packet of a connection: by which bridge and
link it comes, what each chain of each program does with it, which way the kernel
sends it, and how addresses are translated. The last line is "passes", or "stops" with
the rule that stops it and the command that mends it.

FROM and TO are each the name of a guest, as virbr status shows it, NETWORK/GUEST where
several have it, or an address: of a guest, of the host, or of an external host. The protocol is tcp,
or icmp where there is no PORT. IPv6 addresses with a port are written [2001:db8::1]:443.

No packet is sent. The rules are those that the kernel has of others, and those that
the definitions of the networks mean; virbr doctor says where the kernel's differ. It
needs root.

The exit status is 0 if the packet passes, 1 if it stops or nobody can say, and 2 if
the host could not be looked at.`,
		Example: `  virbr trace web1 203.0.113.9:443           may web1 open https to there?
  virbr trace 203.0.113.9 192.0.2.10:8080     does the forward of port 8080 work?
  virbr trace web1 lab/db:5432                between networks
  virbr trace web1 192.168.122.1:53/udp       may it ask the host for names?
  virbr trace web1 203.0.113.9 --json | jq -r .mend`,
		Args: exactly("FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.trace(cmd.Context(), io, args[0], args[1], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the way as one JSON object")
	f.add(cmd, io)
	return cmd
}

// trace follows a packet and prints its way.
func (f *daemonFlags) trace(ctx context.Context, io IO, from, to string, asJSON bool) error {
	if io.Host == nil {
		return errLook{errors.New("this virbr cannot look at hosts")}
	}
	if err := f.here("trace", "follows packets of"); err != nil {
		return err
	}
	h, err := io.Host()
	if err != nil {
		return errLook{fmt.Errorf("looking at this host: %w", err)}
	}
	defer h.Close()
	facts, err := f.look(ctx, io, nil)
	if err != nil {
		return err
	}
	probe, err := probeOf(facts, from, to)
	if err != nil {
		return usageError{fmt.Errorf("virbr trace: %w", err)}
	}
	if facts.Guarded, err = h.Guarded(ctx, facts.Bridges()); err != nil {
		return errLook{err}
	}
	t := facts.Trace(probe, h.Way)
	if asJSON {
		err = writeJSON(io, t)
	} else {
		err = write(io.Out, traceText(painterFor(io.Out), t))
	}
	if err == nil && t.Outcome != topology.Arrives {
		return errReported
	}
	return err
}

func traceText(p painter, t *topology.Trace) string {
	var b strings.Builder
	b.WriteString(p.bold(t.Packet) + "\n")
	for i, hop := range t.Hops {
		const indent, width = 15, 95
		for j, line := range wrap(hop.Text, width-indent) {
			if j == 0 {
				fmt.Fprintf(&b, "%3d %-10s %s\n", i+1, hop.Step, line)
			} else {
				fmt.Fprintf(&b, "%*s%s\n", indent, "", line)
			}
		}
	}
	switch t.Outcome {
	case topology.Arrives:
		b.WriteString(p.green("passes") + "\n")
	case topology.Stops:
		b.WriteString(p.red("stops") + ": " + t.Why + "\n")
	case topology.Unsure:
		b.WriteString(p.yellow("unknown") + ": " + t.Why + "\n")
	}
	if t.Mend != "" {
		b.WriteString("mend: " + p.bold(t.Mend) + "\n")
	}
	return b.String()
}

// probeOf reads who sends a packet and who is to get it.
func probeOf(facts *topology.Facts, from, to string) (topology.Probe, error) {
	p := topology.Probe{Proto: "icmp"}
	to, proto, err := cutProto(to)
	if err != nil {
		return p, err
	}
	to, p.Port, err = cutPort(to)
	if err != nil {
		return p, err
	}
	if p.Port != 0 {
		p.Proto = "tcp"
	}
	if proto != "" {
		p.Proto = proto
	}
	if (p.Proto == "icmp") != (p.Port == 0) {
		return p, fmt.Errorf("%s without a port: write TO:PORT/%s", p.Proto, p.Proto)
	}
	sources, err := addressesOf(facts, from)
	if err != nil {
		return p, err
	}
	dests, err := addressesOf(facts, to)
	if err != nil {
		return p, err
	}
	for _, p.From = range sources {
		for _, p.To = range dests {
			if p.From.Is4() == p.To.Is4() {
				return p, nil
			}
		}
	}
	return p, fmt.Errorf("%s and %s have no addresses of one family", from, to)
}

// cutProto takes the protocol from the end. What stands before another slash is a
// network.
func cutProto(text string) (rest, proto string, err error) {
	i := strings.LastIndexByte(text, '/')
	if i < 0 || !strings.ContainsAny(text[:i], ":.") && !slices.Contains([]string{"tcp", "udp", "sctp", "icmp"}, text[i+1:]) {
		return text, "", nil
	}
	if proto = text[i+1:]; slices.Contains([]string{"tcp", "udp", "sctp", "icmp"}, proto) {
		return text[:i], proto, nil
	}
	if strings.Contains(text[:i], ":") {
		return "", "", fmt.Errorf("%q is no protocol: tcp, udp, sctp or icmp", proto)
	}
	return text, "", nil
}

// cutPort takes the port from the end. An IPv6 address with one stands in brackets.
func cutPort(text string) (rest string, port uint16, err error) {
	if _, err := netip.ParseAddr(text); err == nil {
		return text, 0, nil
	}
	i := strings.LastIndexByte(text, ':')
	if i < 0 || strings.HasSuffix(text, "]") {
		return strings.Trim(text, "[]"), 0, nil
	}
	n, err := strconv.ParseUint(text[i+1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q is no port", text[i+1:])
	}
	return strings.Trim(text[:i], "[]"), uint16(n), nil
}

// addressesOf returns those of a guest, or the one that is written.
func addressesOf(facts *topology.Facts, text string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	network, name, both := strings.Cut(text, "/")
	if !both {
		network, name = "", text
	}
	var found []netip.Addr
	var nets []string
	g := topology.Of(facts)
	for i := range g.Networks {
		n, before := &g.Networks[i], len(found)
		for _, guest := range append(n.Guests, fixed(facts.Host.Networks[i].Def)...) {
			if guest.Name == name && n.Active && (network == "" || n.Name == network) {
				found = append(found, guest.Addresses...)
			}
		}
		if len(found) > before {
			nets = append(nets, n.Name)
		}
	}
	switch len(nets) {
	case 0:
		return nil, fmt.Errorf("%q is neither an address nor a guest whose address is known", text)
	case 1:
		return found, nil
	}
	return nil, fmt.Errorf("there is a guest %q on networks %s; write %s/%s", name, strings.Join(nets, ", "), nets[0], name)
}

// fixed are the guests to which a definition gives an address.
func fixed(def *xml.Network) []topology.Guest {
	var list []topology.Guest
	if def == nil {
		return nil
	}
	for i := range def.IPs {
		for _, h := range def.IPs[i].Hosts {
			list = append(list, topology.Guest{Name: h.Name, Addresses: []netip.Addr{h.IP}})
		}
	}
	return list
}
