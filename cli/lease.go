package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/xml"
)

func newLease(io IO) *cobra.Command {
	f := &daemonFlags{}
	cmd := newGroup("lease COMMAND", "See the DHCP leases of guests, and reserve addresses for them",
		`See which addresses guests have by DHCP, and reserve addresses: a guest with a
reservation gets the same one each time (<host> in <dhcp> of the definition). It
works on virbrd's networks and on those of libvirt's own daemon.`,
		newList(f, "List leases and reservations", "lease",
			func(ctx context.Context, c *client.Conn, network string, asJSON bool) error {
				return listLeases(ctx, io, c, network, asJSON)
			}), newLeaseReserve(io, f), newLeaseRelease(io, f))
	f.add(cmd, io)
	return cmd
}

func newLeaseReserve(io IO, f *daemonFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reserve NETWORK GUEST [ADDRESS]",
		Short: "Reserve an address for a guest",
		Long: `Reserve ADDRESS for GUEST, or the address that it has now. GUEST is a domain's name,
the name that a guest has in DHCP, or a MAC address. The guest gets the address when
it asks for one next; what it has now it keeps until then.`,
		Example: "  virbr lease reserve default web1\n  virbr lease reserve default 52:54:00:12:34:56 192.168.122.50",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 3 {
				return nil
			}
			return exactly("NETWORK", "GUEST")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var addr netip.Addr
			if len(args) > 2 {
				var err error
				if addr, err = parseAddress(args[2]); err != nil {
					return err
				}
			}
			guest, err := guestOfArgument(args[1])
			if err != nil {
				return usageError{err}
			}
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				return f.reserve(cmd.Context(), io, c, args[0], guest, addr)
			})
		},
		ValidArgsFunction: f.completeLease,
	}
	f.addAffect(cmd)
	return cmd
}

func newLeaseRelease(io IO, f *daemonFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "release NETWORK GUEST",
		Aliases: []string{"remove", "rm", "delete"},
		Short:   "Give up what is reserved for a guest",
		Long: `Remove what is reserved for GUEST: a name, MAC address or IP address. The guest keeps
the address for as long as its lease lasts.`,
		Example: "  virbr lease release default web1",
		Args:    exactly("NETWORK", "GUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			guest, err := guestOfArgument(args[1])
			if err != nil {
				return usageError{err}
			}
			return f.on(cmd.Context(), false, func(c *client.Conn) error {
				return f.release(cmd.Context(), io, c, args[0], guest)
			})
		},
		ValidArgsFunction: f.completeLease,
	}
	f.addAffect(cmd)
	return cmd
}

// completeLease completes NETWORK and GUEST.
func (f *daemonFlags) completeLease(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return f.completeGuests(cmd, args[0]), cobra.ShellCompDirectiveNoFileComp
	}
	return f.completeOne(cmd, args, "")
}

// leaseJSON is an address of a guest as --json prints it.
type leaseJSON struct {
	Network  string     `json:"network"`
	Address  string     `json:"address"`
	MAC      string     `json:"mac,omitempty"`
	DUID     string     `json:"duid,omitempty"`
	Guest    string     `json:"guest,omitempty"`    // domain
	Hostname string     `json:"hostname,omitempty"` // by DHCP
	Leased   bool       `json:"leased"`
	Reserved bool       `json:"reserved"`
	Expires  *time.Time `json:"expires,omitempty"` // of a lease that ends
}

// held returns the leases of a network and what it has reserved, and the domains of its
// ports by MAC address.
func held(ctx context.Context, c *client.Conn, n client.Network) (list []leaseJSON, domains map[string]string, err error) {
	list, domains = []leaseJSON{}, map[string]string{}
	if n.Active {
		leases, err := c.Leases(ctx, n)
		if err != nil {
			return nil, nil, err
		}
		for _, l := range leases {
			o := leaseJSON{Network: n.Name, Address: l.Address, MAC: l.MAC, Hostname: l.Name, Leased: true}
			if strings.Contains(l.Address, ":") {
				o.DUID = l.ClientID
			}
			if l.Expiry != 0 {
				ends := time.Unix(l.Expiry, 0).UTC()
				o.Expires = &ends
			}
			list = append(list, o)
		}
		ports, err := c.Ports(ctx, n)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range ports {
			domains[p.MAC.String()] = p.OwnerName
		}
	}
	def, err := c.Definition(ctx, n, n.Active)
	if err != nil {
		return nil, nil, err
	}
	for i := range def.IPs {
		for _, h := range def.IPs[i].Hosts {
			at := slices.IndexFunc(list, func(o leaseJSON) bool { return o.Address == h.IP.String() })
			if at < 0 {
				list = append(list, leaseJSON{Network: n.Name, Address: h.IP.String(), MAC: strings.ToLower(h.MAC), DUID: h.ID, Hostname: h.Name})
				at = len(list) - 1
			}
			list[at].Reserved = true
		}
	}
	for i := range list {
		list[i].Guest = domains[list[i].MAC]
	}
	slices.SortStableFunc(list, func(a, b leaseJSON) int {
		x, _ := netip.ParseAddr(a.Address)
		y, _ := netip.ParseAddr(b.Address)
		return x.Compare(y)
	})
	return list, domains, nil
}

func listLeases(ctx context.Context, io IO, c *client.Conn, network string, asJSON bool) error {
	nets, err := networks(ctx, c, network)
	if err != nil {
		return err
	}
	objects := []leaseJSON{}
	t := newTable(io, "NETWORK", "ADDRESS", "GUEST", "MAC", "STATE")
	for _, n := range nets {
		list, _, err := held(ctx, c, n)
		if err != nil {
			return err
		}
		objects = append(objects, list...)
		for _, o := range list {
			t.row(painter.plain, o.Network, o.Address, cmp.Or(flat(o.Guest), flat(o.Hostname), "-"), cmp.Or(o.MAC, o.DUID, "-"), o.state())
		}
	}
	if asJSON {
		return writeJSON(io, objects)
	}
	return t.print("There are no leases and no reservations.")
}

func (o leaseJSON) state() string {
	text := "reserved"
	switch {
	case o.Leased && o.Expires == nil:
		text = "leased for ever"
	case o.Leased:
		text = "leased until " + o.Expires.Local().Format(time.DateTime)
	}
	if o.Leased && o.Reserved {
		text += ", reserved"
	}
	return text
}

// reserve gives a guest an address for good.
func (f *daemonFlags) reserve(ctx context.Context, io IO, c *client.Conn, network, guest string, addr netip.Addr) error {
	n, err := c.Lookup(ctx, network)
	if err != nil {
		return err
	}
	list, domains, err := held(ctx, c, n)
	if err != nil {
		return err
	}
	h, err := hostOf(n, list, domains, guest, addr)
	if err != nil {
		return err
	}
	err = f.eachDefinition(ctx, c, n, func(def *xml.Network, affect client.Affect) error {
		command := xml.UpdateAddLast
		if slices.ContainsFunc(hosts(def), func(o xml.DHCPHost) bool { return identifies(o, h) && o.IP.Is4() == h.IP.Is4() }) {
			command = xml.UpdateModify
		}
		return c.UpdateHost(ctx, n, affect, command, h)
	})
	if err != nil {
		return err
	}
	who := guest
	if h.Name == guest && h.MAC != "" { // a guest may have given itself the name
		who += " (" + h.MAC + ")"
	}
	return write(io.Out, fmt.Sprintf("network %s: %s is reserved for %s\n", n.Name, h.IP, who))
}

// identifies reports whether a static host is that of a guest.
func identifies(o xml.DHCPHost, h *xml.DHCPHost) bool {
	return h.MAC != "" && strings.EqualFold(o.MAC, h.MAC) || h.ID != "" && strings.EqualFold(o.ID, h.ID)
}

// hostOf returns the static host that a guest becomes: of the guest's interface, with
// an address that is given, or the one that it has now.
func hostOf(n client.Network, list []leaseJSON, domains map[string]string, guest string, addr netip.Addr) (*xml.DHCPHost, error) {
	h := &xml.DHCPHost{IP: addr}
	if mac, ok := xml.ParseMAC(guest); ok {
		h.MAC = mac.String()
	} else {
		switch macs := interfacesOf(list, domains, guest); len(macs) {
		case 0:
			return nil, fmt.Errorf("network %s knows no guest %q: start it, or give its MAC address", n.Name, guest)
		case 1:
			h.MAC, h.Name = macs[0], guest
		default:
			return nil, fmt.Errorf("%q has %d interfaces on network %s: give the MAC address of one, %s", guest, len(macs), n.Name, strings.Join(macs, " or "))
		}
	}
	for _, o := range list {
		a, err := netip.ParseAddr(o.Address)
		if err != nil || o.MAC != h.MAC || addr.IsValid() && a.Is4() != addr.Is4() {
			continue
		}
		h.Name = cmp.Or(h.Name, o.Hostname)
		if o.Leased && (!h.IP.IsValid() || a.Is6() && h.ID == "") {
			h.ID = o.DUID
			if !h.IP.IsValid() {
				h.IP = a
			}
		}
	}
	if !h.IP.IsValid() {
		return nil, fmt.Errorf("%s has no address on network %s yet: give the one to reserve", guest, n.Name)
	}
	if h.IP.Is6() { // DHCPv6 knows guests by their DUID or name (RFC 8415 section 11)
		h.MAC = ""
	}
	return h, nil
}

// interfacesOf returns the MAC addresses of a domain's interfaces in a network, or of
// a guest that has the name by DHCP.
func interfacesOf(list []leaseJSON, domains map[string]string, guest string) (macs []string) {
	for mac, domain := range domains {
		if strings.EqualFold(domain, guest) {
			macs = append(macs, mac)
		}
	}
	if len(macs) == 0 {
		for _, o := range list {
			if o.Leased && o.MAC != "" && strings.EqualFold(o.Hostname, guest) {
				macs = append(macs, o.MAC)
			}
		}
	}
	slices.Sort(macs)
	return slices.Compact(macs)
}

// release removes what is reserved for a guest.
func (f *daemonFlags) release(ctx context.Context, io IO, c *client.Conn, network, guest string) error {
	n, err := c.Lookup(ctx, network)
	if err != nil {
		return err
	}
	list, domains, err := held(ctx, c, n)
	if err != nil {
		return err
	}
	macs := interfacesOf(list, domains, guest)
	var gone []string
	err = f.eachDefinition(ctx, c, n, func(def *xml.Network, affect client.Affect) error {
		for _, h := range hosts(def) {
			if !strings.EqualFold(h.Name, guest) && !strings.EqualFold(h.MAC, guest) && h.IP.String() != guest && !slices.Contains(macs, strings.ToLower(h.MAC)) {
				continue
			}
			if err := c.UpdateHost(ctx, n, affect, xml.UpdateDelete, &h); err != nil {
				return err
			}
			if !slices.Contains(gone, h.IP.String()) {
				gone = append(gone, h.IP.String())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(gone) == 0 {
		return fmt.Errorf("network %s has nothing reserved for %q", n.Name, guest)
	}
	return write(io.Out, fmt.Sprintf("network %s: %s is free for others\n", n.Name, strings.Join(gone, ", ")))
}

func hosts(def *xml.Network) (list []xml.DHCPHost) {
	for i := range def.IPs {
		list = append(list, def.IPs[i].Hosts...)
	}
	return list
}

// eachDefinition calls a function for the definitions that are to be changed: once
// where both have the same hosts, so that both are changed or none, else for each.
func (f *daemonFlags) eachDefinition(ctx context.Context, c *client.Conn, n client.Network, change func(*xml.Network, client.Affect) error) error {
	defs := map[client.Affect]*xml.Network{}
	for _, one := range []client.Affect{client.AffectLive, client.AffectConfig} {
		if f.affect(n)&one == 0 {
			continue
		}
		def, err := c.Definition(ctx, n, one == client.AffectLive)
		if err != nil {
			return err
		}
		defs[one] = def
	}
	live, config := defs[client.AffectLive], defs[client.AffectConfig]
	if live != nil && config != nil && slices.Equal(hosts(live), hosts(config)) {
		return change(live, client.AffectLive|client.AffectConfig)
	}
	for _, one := range []client.Affect{client.AffectLive, client.AffectConfig} {
		if def := defs[one]; def != nil {
			if err := change(def, one); err != nil {
				return err
			}
		}
	}
	return nil
}
