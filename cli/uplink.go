package cli

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/xml"
)

func newUplink(io IO) *cobra.Command {
	f := &daemonFlags{}
	cmd := newGroup("uplink COMMAND", "Choose the links by which guests leave the host",
		`Choose the links of the host by which the guests of a network leave, as a VPN. Of
several, the first that can carry IPv4 has the guests' IPv4, and the first that can
carry IPv6 their IPv6. Where none can, guests are refused: they never leave by another
link.`,
		newUplinkAdd(io, f), newUplinkList(io, f), newUplinkRemove(io, f))
	f.add(cmd, io)
	return cmd
}

func newUplinkAdd(io IO, f *daemonFlags) *cobra.Command {
	var family, gateway string
	var noGuard, first bool
	cmd := &cobra.Command{
		Use:   "add NETWORK LINK",
		Short: "Have guests leave by a link",
		Long: `Have the guests of NETWORK leave by LINK. It can carry a family while it is up and the
host has a default route by it, in any table, or --gateway names the router. It comes
behind the uplinks that the network has already, or before them with --first.

With --no-guard guests leave as the host does where no uplink can carry a family.`,
		Example: "  virbr uplink add default wg0\n  virbr uplink add default eth1 --family ipv4 --gateway 203.0.113.1",
		Args:    exactly("NETWORK", "LINK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			said := xml.Uplink{Dev: args[1]}
			u, err := parseUplink(said, family, gateway, noGuard)
			if err != nil {
				return usageError{err}
			}
			at := xml.Last
			if first {
				at = xml.First
			}
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				return f.change(cmd.Context(), io, c, args[0], client.Change{Uplink: u, At: at}, u.String()+" is an uplink")
			})
		},
		ValidArgsFunction: f.completeOne,
	}
	cmd.Flags().StringVar(&family, "family", "", "carry `ipv4` or ipv6 only; without it both")
	cmd.Flags().StringVar(&gateway, "gateway", "", "the router's `address`; without it that of the link's default route")
	cmd.Flags().BoolVar(&noGuard, "no-guard", false, "let guests leave as the host does where no uplink can carry")
	cmd.Flags().BoolVar(&first, "first", false, "before the uplinks that there are")
	f.addAffect(cmd)
	return cmd
}

// parseUplink makes an uplink of what the flags say, in its usual form.
func parseUplink(u xml.Uplink, family, gateway string, noGuard bool) (*xml.Uplink, error) {
	switch family {
	case "", "all":
	case "ipv4":
		u.Family = xml.FamilyIPv4
	case "ipv6":
		u.Family = xml.FamilyIPv6
	default:
		return nil, fmt.Errorf("--family %q: want ipv4, ipv6 or all", family)
	}
	if gateway != "" {
		a, err := parseAddress(gateway)
		if err != nil {
			return nil, err
		}
		u.Gateway = a
	}
	if noGuard {
		u.Guard = xml.No
	}
	made, err := xml.ParseUplink([]byte(u.XML()))
	if err != nil {
		return nil, argumentError(err)
	}
	return made, nil
}

func newUplinkRemove(io IO, f *daemonFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove NETWORK LINK",
		Aliases: []string{"rm", "delete"},
		Short:   "Have guests no longer leave by a link",
		Long: `Have the guests of NETWORK no longer leave by LINK. With the last uplink the guard goes,
too: guests leave as the host does again.`,
		Example: "  virbr uplink remove default wg0",
		Args:    exactly("NETWORK", "LINK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				return removeUplink(cmd.Context(), io, c, f, args[0], args[1])
			})
		},
		ValidArgsFunction: f.completeOne,
	}
	f.addAffect(cmd)
	return cmd
}

// removeUplink removes all uplinks by a link: one may be for each family.
func removeUplink(ctx context.Context, io IO, c *client.Conn, f *daemonFlags, network, link string) error {
	n, err := c.Lookup(ctx, network)
	if err != nil {
		return err
	}
	affects := map[xml.Uplink]client.Affect{}
	var order []xml.Uplink
	err = f.eachExtensions(ctx, c, n, func(one client.Affect, e *xml.Extensions) {
		for _, u := range e.Uplinks {
			if u.Dev != link {
				continue
			}
			if affects[u] == 0 {
				order = append(order, u)
			}
			affects[u] |= one
		}
	})
	if err != nil {
		return err
	}
	if len(order) == 0 {
		return fmt.Errorf("network %s has no uplink %s", n.Name, link)
	}
	for _, u := range order {
		if err := f.remove(ctx, io, c, n, affects[u], client.Change{Uplink: &u}, "uplink "+u.String()); err != nil {
			return err
		}
	}
	return nil
}

func newUplinkList(io IO, f *daemonFlags) *cobra.Command {
	return newList(f, "List uplinks, by which of them guests leave, and why not by the others", "uplink",
		func(ctx context.Context, c *client.Conn, network string, asJSON bool) error {
			return listUplinks(ctx, io, c, f, network, asJSON)
		})
}

// uplinkJSON is one uplink in one family as --json prints it.
type uplinkJSON struct {
	Network string     `json:"network"`
	Number  int        `json:"number"`
	Link    string     `json:"link"`
	Family  string     `json:"family"`
	State   string     `json:"state"`
	Gateway string     `json:"gateway,omitempty"`
	Since   *time.Time `json:"since,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Guard   bool       `json:"guard"`
}

func listUplinks(ctx context.Context, io IO, c *client.Conn, f *daemonFlags, network string, asJSON bool) error {
	objects := []uplinkJSON{}
	t := newTable(io, "NETWORK", "NUMBER", "LINK", "FAMILY", "GATEWAY", "STATE")
	nets, err := networks(ctx, c, network)
	if err != nil {
		return err
	}
	for _, n := range nets {
		list, err := f.uplinks(ctx, c, n)
		if err != nil {
			return err
		}
		for i := range list {
			for _, w := range list[i].Ways {
				o := uplinkObject(n, i, &list[i], w)
				objects = append(objects, o)
				t.row(uplinkPaint(w), n.Name, fmt.Sprint(i+1), o.Link, o.Family, cmp.Or(o.Gateway, "-"), uplinkText(w))
			}
		}
	}
	if asJSON {
		return writeJSON(io, objects)
	}
	return t.print("There are no uplinks: guests leave as the host does.")
}

// uplinks returns the uplinks of a network, of libvirt's daemon what the hook reports.
func (f *daemonFlags) uplinks(ctx context.Context, c *client.Conn, n client.Network) ([]client.Uplink, error) {
	list, virbrd, err := c.Uplinks(ctx, n, &f.source)
	if err != nil || virbrd || !n.Active || len(list) == 0 {
		return list, err
	}
	a, err := f.applied(n.Name)
	if err != nil {
		return nil, err
	}
	for i := range list {
		a.uplink(&list[i])
	}
	return list, nil
}

func uplinkObject(n client.Network, at int, u *client.Uplink, w client.UplinkWay) uplinkJSON {
	o := uplinkJSON{
		Network: n.Name, Number: at + 1, Link: u.Dev, Family: familyWord(w.IPv6), State: "spare", Reason: w.Reason, Guard: u.Guard != xml.No,
	}
	if w.Gateway.IsValid() {
		o.Gateway = w.Gateway.String()
	}
	switch {
	case w.Inactive:
		o.State = "inactive"
	case w.Used:
		since := time.Unix(w.Since, 0).UTC()
		o.State, o.Since = "used", &since
	case w.Reason != "":
		o.State = "unable"
	}
	return o
}

func familyWord(v6 bool) string {
	if v6 {
		return "ipv6"
	}
	return "ipv4"
}

// uplinkText says what an uplink comes to.
func uplinkText(w client.UplinkWay) string {
	switch {
	case w.Inactive:
		return "the network is not running"
	case w.Used:
		return "guests leave by it since " + time.Unix(w.Since, 0).Format("2006-01-02 15:04:05")
	case w.Reason != "":
		return "cannot carry: " + w.Reason
	}
	return "can carry, another is before it"
}

func uplinkPaint(w client.UplinkWay) func(painter, string) string {
	if w.Reason != "" {
		return painter.yellow
	}
	return painter.plain
}

// uplinksFor returns what virbrd says of a network's uplinks, for doctor; nil: nothing.
func uplinksFor(ctx context.Context, f *daemonFlags, c *client.Conn, n client.Network) []doctor.Uplink {
	list, virbrd, err := c.Uplinks(ctx, n, &f.source)
	if err != nil || !virbrd {
		return nil
	}
	said := []doctor.Uplink{}
	for i := range list {
		for _, w := range list[i].Ways {
			said = append(said, doctor.Uplink{XML: list[i].XML(), IPv6: w.IPv6, Used: w.Used, Since: w.Since, Gateway: w.Gateway, Reason: w.Reason})
		}
	}
	return said
}
