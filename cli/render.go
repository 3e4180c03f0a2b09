package cli

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// rendering is one thing that a document can be printed as.
type rendering struct {
	name, short, long string
	print             func(document) (string, error)
}

var renderings = []rendering{
	{"conf", "Print the configuration of the network's dnsmasq", `Print the configuration file that the network's dnsmasq is started with.`, ofNetwork(renderConf)},
	{"hosts", "Print dnsmasq's static DHCP hosts", `Print the dhcp-hostsfile of the network's dnsmasq: one line for each <host> of
<dhcp>. Nothing is printed where there is none.`, ofNetwork(renderHosts)},
	{"addnhosts", "Print dnsmasq's additional DNS names", `Print the addn-hosts file of the network's dnsmasq: what <dns> says of <host>s.`, ofNetwork(renderAddnHosts)},
	{"nft", "Print the network's firewall rules", `Print the network's firewall rules as a script for nft -f: the table that all
networks share, with this one network in it. Networks of mode open, and those
whose bridge is not virbr's own, have no rules; nothing is printed for them.
Forwards and public addresses of guests whose addresses only their leases tell
are printed as comments: such rules come with the lease.`, ofNetwork(renderNFT)},
	{"json", "Print the network's extensions in JSON", `Print what the network's metadata has of virbr's extensions in JSON, as
"virbr schema extensions" describes it and "virbr render metadata" reads it.`, ofNetwork(renderJSON)},
	{"plan", "Print the steps that start the network", `Print what starting the network does, one step a line, on a host without
conflicts: no other network, no clash of routes, IPv6 and dnsmasq there.`, ofNetwork(renderPlan)},
}

// ofNetwork reads the document as a network first.
func ofNetwork(print func(*xml.Network) (string, error)) func(document) (string, error) {
	return func(doc document) (string, error) {
		def, err := doc.network()
		if err != nil {
			return "", err
		}
		text, err := print(def)
		if err != nil {
			return "", doc.at(err)
		}
		return text, nil
	}
}

func (r rendering) command(io IO) *cobra.Command {
	return &cobra.Command{
		Use:     r.name + " FILE",
		Short:   r.short,
		Long:    r.long,
		Example: fmt.Sprintf("  virbr render %s net.xml\n  virsh net-dumpxml default | virbr render %s -", r.name, r.name),
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			doc, err := readDocument(args[0], io.In)
			if err != nil {
				return err
			}
			text, err := r.print(doc)
			if err != nil {
				return err
			}
			return write(io.Out, text)
		},
	}
}

func newRender(io IO) *cobra.Command {
	render := newGroup("render WHAT FILE", "Print what a definition becomes: XML, dnsmasq's files, rules, steps",
		`Print what a network definition becomes, exactly as virbrd would write, load or
do it. Nothing is started or changed. Where a definition leaves the bridge's
name open, virbr0 is shown; the daemon takes the first free one. What the
extensions in the metadata add is shown, too.`,
		newRenderXML(io), newRenderUpdate(io), newRenderPort(io), newRenderMetadata(io))
	render.SuggestionsMinimumDistance = 2
	for _, r := range renderings {
		render.AddCommand(r.command(io))
	}
	return render
}

func write(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}

// complete fills in what the daemon would generate and a compiler needs.
func complete(def *xml.Network) *xml.Network {
	if !def.OwnsBridge() {
		return def
	}
	filled := *def.Choose(xml.Choice{IPv4: exampleIPv4(), IPv6: exampleIPv6()})
	switch template, ok := xml.BridgeTemplate(def.Bridge.Name); {
	case def.Bridge.Name == "":
		filled.Bridge.Name = "virbr0"
	case ok:
		filled.Bridge.Name = strings.Replace(template, "%d", "0", 1)
	}
	return &filled
}

// The subnets that stand for what the daemon would choose.
func exampleIPv4() netip.Prefix { return netip.MustParsePrefix("192.168.122.0/24") }
func exampleIPv6() netip.Prefix { return netip.MustParsePrefix("fd00:0:0:1::/64") }

func compileDnsmasq(def *xml.Network) (dnsmasq.Files, error) {
	c, err := compose(def)
	if err != nil || !c.def.OwnsBridge() {
		return dnsmasq.Files{}, err
	}
	return dnsmasq.Compile(c.def, state.System().Served())
}

func renderConf(def *xml.Network) (string, error) {
	files, err := compileDnsmasq(def)
	return files.Conf, err
}

func renderHosts(def *xml.Network) (string, error) {
	files, err := compileDnsmasq(def)
	return files.Hosts, err
}

func renderAddnHosts(def *xml.Network) (string, error) {
	files, err := compileDnsmasq(def)
	return files.AddnHosts, err
}

func renderNFT(def *xml.Network) (string, error) {
	c, err := compose(def)
	if err != nil {
		return "", err
	}
	rules, err := c.rules()
	if err != nil {
		return "", err
	}
	waiting, err := c.waiting()
	return waiting + rules.String(), err
}

func renderPlan(def *xml.Network) (string, error) {
	c, err := compose(def)
	if err != nil {
		return "", err
	}
	facts := step.Facts{
		Routes:  []step.Route{{Dest: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fe80::1")}},
		Dnsmasq: step.DnsmasqFacts{Path: "/usr/sbin/dnsmasq", Major: 2, Minor: 90},
	}
	p, err := plan.Compile(c.def, c.reach, facts, plan.Dirs(state.System().Served()))
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

func newRenderXML(io IO) *cobra.Command {
	var inactive bool
	cmd := rendering{"xml", "Print the canonical XML of a network", `Print a network definition as libvirt would print it. Values that the daemon
generates (uuid, MAC address, bridge name) are left out where they are missing.`,
		ofNetwork(func(def *xml.Network) (string, error) { return def.Format(formatFlags(inactive)), nil })}.command(io)
	cmd.Example = "  virbr render xml net.xml\n  virbr render xml --inactive net.xml"
	cmd.Flags().BoolVar(&inactive, "inactive", false, "print the stored form, as virsh net-dumpxml --inactive")
	return cmd
}

func newRenderPort(io IO) *cobra.Command {
	cmd := rendering{"port", "Print the canonical XML of a network port", "", func(doc document) (string, error) {
		port, err := xml.ParsePort(doc.text)
		if err != nil {
			return "", doc.at(err)
		}
		return port.Format(), nil
	}}.command(io)
	cmd.Example = "  virbr render port port.xml"
	return cmd
}
