package xml

import (
	"slices"
	"strconv"
	"strings"
)

// Status is libvirt's <networkstatus>: what a daemon writes down about a
// running network for the next one. Source: virNetworkObjFormat and
// virNetworkLoadState.
type Status struct {
	ClassIDs   []uint16 // traffic classes in use, ascending
	FloorSum   uint64   // of all ports, kilobytes per second
	HookScript bool     // a hook script ran for the network
	Network    *Network // the running definition

	// Removal is how libvirt's daemon would remove the firewall rules that it
	// made; nil: not given, as with rules of libvirt 10.3 and older and with
	// ours.
	Removal *FirewallRemoval
}

// FirewallRemoval is a list of commands: <firewall name='fwRemoval'>.
type FirewallRemoval struct {
	Backend string // "nftables" or "iptables"
	Groups  []FirewallGroup
}

// FirewallGroup is commands that run one after the other.
type FirewallGroup struct {
	IgnoreErrors bool
	Actions      []FirewallAction
}

// FirewallAction is one command without the program, which follows from the
// backend and the layer.
type FirewallAction struct {
	Layer        string // "ethernet", "ipv4", "ipv6" or "tc"
	IgnoreErrors bool
	Args         []string
}

const fwRemoval = "fwRemoval"

// ParseStatus reads a <networkstatus> document, or a bare <network>, which very
// old libvirts wrote. The network runs: what is wrong in its definition is in the
// definition's Fault, as with [LoadNetwork].
func ParseStatus(doc []byte) (*Status, error) {
	root, err := parseAny(doc)
	if err != nil {
		return nil, err
	}
	s := &Status{ClassIDs: []uint16{0, 1, 2}}
	net := root
	if root.name != "network" {
		if net = root.first("network"); net == nil {
			return nil, root.internal("Could not find any 'network' element in status file")
		}
		s.parse(root)
	}
	if s.Network, err = loadNetwork(net); err != nil {
		return nil, err
	}
	return s, s.Network.keepFunction(net)
}

// keepFunction reads the physical function that stands beside the virtual ones
// of a running network, which other documents do not have both. libvirt forgets
// it here.
func (n *Network) keepFunction(root *node) error {
	pf := root.first("forward").first("pf")
	dev := pf.path("dev")
	if dev == "" {
		return nil
	}
	if err := checkDevice(pf, "device name", dev); err != nil {
		return err
	}
	n.Forward.PF = dev
	return nil
}

// parse reads what stands beside the network. What is malformed there counts as
// not written: classes and floors follow from the ports, and no network is lost for
// a mark that another version of libvirt makes.
func (s *Status) parse(root *node) {
	if ids, ok := parseBits(root.first("class_id").path("bitmap")); ok {
		s.ClassIDs = ids
	}
	if sum, err := strconv.ParseUint(root.first("floor").path("sum"), 10, 64); err == nil {
		s.FloorSum = sum
	}
	for _, el := range root.all("taint") {
		s.HookScript = s.HookScript || el.path("flag") == "hook-script"
	}
	if el := root.first("firewall"); el != nil && el.path("name") == fwRemoval {
		if removal, err := parseRemoval(el); err == nil {
			s.Removal = removal
		}
	}
}

// parseBits reads libvirt's bitmap text: "0-2,4".
func parseBits(text string) ([]uint16, bool) {
	var ids []uint16
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(part, "-")
		from, err := strconv.ParseUint(low, 10, 16)
		if err != nil {
			return nil, false
		}
		to := from
		if isRange {
			if to, err = strconv.ParseUint(high, 10, 16); err != nil || to < from {
				return nil, false
			}
		}
		if len(ids) > 1<<16 {
			return nil, false // overlapping ranges without end
		}
		for id := from; id <= to; id++ {
			ids = append(ids, uint16(id))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), true
}

// formatBits writes ids, which ascend, as libvirt's bitmap text.
func formatBits(ids []uint16) string {
	var parts []string
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		part := strconv.Itoa(int(ids[i]))
		if j > i {
			part += "-" + strconv.Itoa(int(ids[j]))
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

func parseRemoval(el *node) (*FirewallRemoval, error) {
	r := &FirewallRemoval{Backend: el.path("backend")}
	if r.Backend != "nftables" && r.Backend != "iptables" {
		return nil, el.invalidAttr("backend", r.Backend, "")
	}
	for _, g := range el.all("group") {
		group := FirewallGroup{IgnoreErrors: g.path("ignoreErrors") == "yes"}
		for _, a := range g.all("action") {
			action, err := parseAction(a)
			if err != nil {
				return nil, err
			}
			group.Actions = append(group.Actions, action)
		}
		r.Groups = append(r.Groups, group)
	}
	return r, nil
}

func parseAction(el *node) (FirewallAction, error) {
	a := FirewallAction{Layer: el.path("layer"), IgnoreErrors: el.path("ignoreErrors") == "yes"}
	if !slices.Contains([]string{"ethernet", "ipv4", "ipv6", "tc"}, a.Layer) {
		return a, el.invalidAttr("layer", a.Layer, "")
	}
	if args := el.first("args"); args != nil {
		for _, item := range args.all("item") {
			a.Args = append(a.Args, item.content())
		}
	}
	if len(a.Args) == 0 {
		return a, el.internal("firewall action without arguments")
	}
	return a, nil
}

// Format writes the document as libvirt does: the network in its live form,
// and no newline at the end.
func (s *Status) Format() string {
	p := &printer{}
	p.open("networkstatus", &attrs{})
	p.empty("class_id", new(attrs).put("bitmap", formatBits(s.ClassIDs)))
	p.empty("floor", new(attrs).put("sum", strconv.FormatUint(s.FloorSum, 10)))
	if s.HookScript {
		p.empty("taint", new(attrs).put("flag", "hook-script"))
	}
	p.b = append(p.b, s.Network.FormatIndent(p.level, 0)...)
	s.Removal.format(p)
	p.end("networkstatus")
	return strings.TrimSuffix(string(p.b), "\n")
}

func (r *FirewallRemoval) format(p *printer) {
	if r == nil {
		return
	}
	const ignore = "ignoreErrors"
	p.open("firewall", new(attrs).put("name", fwRemoval).put("backend", r.Backend))
	for _, g := range r.Groups {
		p.open("group", new(attrs).yes(ignore, g.IgnoreErrors))
		for _, act := range g.Actions {
			p.open("action", new(attrs).put("layer", act.Layer).yes(ignore, act.IgnoreErrors && !g.IgnoreErrors))
			p.open("args", &attrs{})
			for _, item := range act.Args {
				p.leaf("item", item)
			}
			p.end("args")
			p.end("action")
		}
		p.end("group")
	}
	p.end("firewall")
}
