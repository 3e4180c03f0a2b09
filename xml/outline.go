package xml

// Outline is what a document says about a network before anything else of it is
// believed, for readers that most networks do not concern: a definition may hold
// what we would refuse and still be somebody else's business.
type Outline struct {
	Name     string
	UUID     UUID // the zero UUID: not given, or malformed
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
	o.UUID, _ = ParseUUID(net.first("uuid").content())
	if m := net.first("metadata"); m != nil {
		for _, c := range m.children {
			o.Extended = o.Extended || c.kind == elementNode && c.space == Namespace
		}
	}
	return o, nil
}

// Network reads the whole definition, with the checks of [ParseNetwork].
func (o *Outline) Network() (*Network, error) { return parseNetwork(o.root) }
