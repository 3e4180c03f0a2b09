package xml

// Outline is what a document says about a network before anything else of it is
// believed, for readers that most networks do not concern: a definition may hold
// what we would refuse and still be somebody else's business.
type Outline struct {
	Name     string
	UUID     UUID
	HasUUID  bool // false: not given, or malformed
	Extended bool // <metadata> has an element of virbr's namespace

	root *node
}

// ParseOutline reads a document that holds a network: <network>, libvirt's status
// file <networkstatus>, or <hookData>, which its hook scripts read. The error is
// an [*Error]: the document is not well-formed, too large, or holds no network.
func ParseOutline(doc []byte) (*Outline, error) {
	root, err := parseAny(doc)
	if err != nil {
		return nil, err
	}
	net := root
	switch root.name {
	case "network":
	case "networkstatus", "hookData":
		net = root.first("network")
	default:
		net = nil
	}
	if net == nil {
		return nil, root.internal("there is no network in element '%s'", root.name)
	}
	o := &Outline{Name: net.first("name").content(), root: net}
	o.UUID, o.HasUUID = ParseUUID(net.first("uuid").content())
	if m := net.first("metadata"); m != nil {
		for _, c := range m.children {
			o.Extended = o.Extended || c.kind == elementNode && c.space == Namespace
		}
	}
	return o, nil
}

// Network reads the whole definition, with the leniency of [LoadNetwork]: somebody
// else accepted it. It refuses one of which it cannot read everything.
func (o *Outline) Network() (*Network, error) {
	n, err := loadNetwork(o.root)
	if err == nil && n.Fault != nil && n.Fault.Partial {
		return nil, n.Fault
	}
	return n, err
}
