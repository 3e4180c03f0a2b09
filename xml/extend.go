package xml

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Limits of an extension. maxForwards is more than maxMetadata has room for
// with long names; maxRanges bounds one forward.
const (
	maxForwards = 20_000
	maxRanges   = 100
	maxPublics  = 4096
)

const extensionPrefix = "virbr"

// ParseExtensions reads a document with a <virbr:network> element, or one that
// has lost its namespace: what net-metadata prints. Nothing is passed over:
// words that are not in the vocabulary are errors, because a mistyped exception
// would open a port. Every error is an [*Error] with its line.
func ParseExtensions(doc []byte) (*Extensions, error) {
	root, err := parseAny(doc)
	if err != nil {
		return nil, err
	}
	if root.name != "network" || root.space != Namespace && root.space != "" {
		return nil, lined(root.fail(KindXML, OriginXML,
			"expecting root element of 'network' in namespace %s, not '%s'", Namespace, root.qname()))
	}
	return parseExtensions(root, "virbr:network")
}

// Extensions returns the <virbr:network> element of the metadata; the zero value
// if there is none. It is shared with all who ask, and must not be changed: who wants
// others makes a Clone of it.
func (n *Network) Extensions() (*Extensions, error) {
	el := n.extension()
	if el == nil {
		return &Extensions{}, nil
	}
	e := n.Metadata.ext.Load()
	if e == nil {
		var err error
		if e, err = parseExtensions(el, "network '"+n.Name+"'"); err != nil {
			return nil, err
		}
		n.Metadata.ext.Store(e)
	}
	return e, n.checkExtensions(e)
}

// extension returns the element in the metadata, or nil.
func (n *Network) extension() *node {
	if n.Metadata == nil {
		return nil
	}
	if i := n.Metadata.index(Namespace); i >= 0 {
		return n.Metadata.root.children[i]
	}
	return nil
}

// addressed reports whether the metadata gives the network an address.
func (n *Network) addressed() bool {
	el := n.extension()
	return el != nil && slices.ContainsFunc(el.children, func(c *node) bool {
		return c.kind == elementNode && c.space == Namespace && (c.name == "ip" || c.name == "ipv6")
	})
}

// parseExtensions reads the element; where says in messages what it stands in.
func parseExtensions(root *node, where string) (*Extensions, error) {
	if root.name != "network" {
		return nil, lined(root.bad("unknown element '%s' of namespace %s in %s, expected 'network'", root.name, Namespace, where))
	}
	e := &Extensions{}
	if err := e.parse(root, where, nil); err != nil {
		return nil, lined(err)
	}
	return e, nil
}

// parse reads the element; what of its forwards was read before may be nil.
func (e *Extensions) parse(root *node, where string, before *drawn) error {
	err := root.only("apply")
	if err != nil {
		return err
	}
	if e.Apply, err = wordOf[Apply](root, "apply", applies); err != nil {
		return err
	}
	list, err := root.elements()
	if err != nil {
		return err
	}
	r := newExtensionReader(e, where, before)
	for _, el := range list {
		if err := r.take(el); err != nil {
			return err
		}
	}
	return nil
}

// extensionReader reads one element after the other.
type extensionReader struct {
	e       *Extensions
	where   string
	seen    map[string]bool
	holders map[forwardKey]int
	before  *drawn // may be nil
}

func newExtensionReader(e *Extensions, where string, before *drawn) *extensionReader {
	return &extensionReader{e: e, where: where, seen: map[string]bool{}, holders: map[forwardKey]int{}, before: before}
}

func (r *extensionReader) take(el *node) error {
	switch el.name {
	case "portForward":
		return r.forward(el)
	case "address":
		return r.e.parsePublic(el)
	case "guard":
		return r.e.parseGuard(el)
	case "uplink":
		return r.e.parseUplink(el)
	case "ipv6", "ip", "bridge", "firewall":
		if r.seen[el.name] {
			return el.bad("element '%s' may be given only once in %s", el.name, r.where)
		}
		r.seen[el.name] = true
		return r.e.parseSingle(el, r.where)
	}
	return el.bad("unknown element '%s' in %s", el.name, r.where)
}

// parseSingle reads one of the elements that may be given once.
func (e *Extensions) parseSingle(el *node, where string) (err error) {
	switch el.name {
	case "ipv6":
		if err = el.leaf("advprefix", "dhcp", "nat", "inbound", "hostid", "lifetime", "force", "proxyndp", "uplink"); err == nil {
			e.Advertise, err = parseAdvertise(el, where)
		}
		return err
	case "ip":
		if err := el.leaf("type"); err != nil {
			return err
		}
		kind, err := el.enum("type", "auto")
		if err == nil && kind == "" {
			return el.missingAttr("type")
		}
		e.Auto = true
		return err
	case "bridge":
		if err := el.leaf("create"); err != nil {
			return err
		}
		create, err := el.tristate("create")
		if err == nil && create == Unset {
			return el.missingAttr("create")
		}
		e.Create = create == Yes
		return err
	}
	return e.Firewall.parse(el)
}

// applies are the words for the values of Apply.
var applies = []string{ApplyUnset: "", ApplyStart: "start", ApplyLive: "live"}

// coexists are the words for the values of Coexist.
var coexists = []string{CoexistUnset: "", CoexistYes: "yes", CoexistNo: "no", CoexistAll: "all"}

func (f *Firewall) parse(el *node) (err error) {
	if err := el.leaf("coexist", "mode", "offload", "host"); err != nil {
		return err
	}
	if f.Coexist, err = wordOf[Coexist](el, "coexist", coexists); err != nil {
		return err
	}
	offload, err := el.tristate("offload")
	if err != nil {
		return err
	}
	f.Offload = offload == Yes
	host, err := el.enum("host", "all", "services")
	if err != nil {
		return err
	}
	f.Services = host == "services"
	word, err := el.enum("mode", "none", "nat", "route")
	if err != nil || word == "" {
		return err
	}
	f.Filter = true
	f.Mode, _ = parseForwardMode(word)
	return nil
}

// only refuses attributes that are not among the names.
func (n *node) only(names ...string) error {
	for _, a := range n.attrs {
		if a.space != "" || !slices.Contains(names, a.name) {
			return n.bad("unknown attribute '%s' in element '%s'", a.name, n.name)
		}
	}
	return nil
}

// leaf is only for an element without content.
func (n *node) leaf(names ...string) error {
	if err := n.only(names...); err != nil {
		return err
	}
	list, err := n.elements()
	if err == nil && len(list) > 0 {
		err = list[0].bad("unknown element '%s' in element '%s'", list[0].name, n.name)
	}
	return err
}

// elements returns the children of an element of our namespace. Comments may
// stand between them, words and elements of others may not.
func (n *node) elements() ([]*node, error) {
	var list []*node
	for _, c := range n.children {
		switch {
		case c.isText() && strings.TrimSpace(c.text) != "":
			return nil, c.bad("unexpected text '%.40s' in element '%s'", strings.TrimSpace(c.text), n.name)
		case c.kind != elementNode:
		case c.space != Namespace && (c.space != "" || n.space != ""):
			return nil, c.bad("element '%s' in element '%s' is not in namespace %s", c.name, n.name, Namespace)
		default:
			list = append(list, c)
		}
	}
	return list, nil
}

// lined puts the line into the message of an error.
func lined(err error) error {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Line == 0 || strings.HasPrefix(e.Msg, "at line ") {
		return err
	}
	c := *e
	c.Msg = fmt.Sprintf("at line %d: %s", e.Line, e.Msg)
	return &c
}

// IsZero reports whether there is nothing in it.
func (e *Extensions) IsZero() bool {
	return e == nil || e.Apply == ApplyUnset && e.Advertise == nil && !e.Auto && !e.Create && len(e.Forwards)+len(e.Publics)+len(e.Guards)+len(e.Uplinks) == 0 && e.Firewall == Firewall{}
}

// ours makes an element of our namespace.
func ours(name string, a *attrs, children ...*node) *node {
	return &node{kind: elementNode, prefix: extensionPrefix, space: Namespace, name: name, attrs: a.list, children: children}
}

// kept returns attributes for ours.
func kept() *attrs { return &attrs{keep: true} }

// document makes an element one that can stand alone.
func document(el *node) *node {
	el.decls = []declaration{{prefix: extensionPrefix, uri: Namespace}}
	return el
}

// text prints an element of ours as a document.
func text(el *node) string {
	p := &printer{}
	p.tree(document(el))
	return string(p.b)
}

// element draws the extensions; what of them was drawn before may be nil.
func (e *Extensions) element(before *drawn) *node {
	list := make([]*node, 0, len(e.Forwards)+len(e.Publics)+len(e.Uplinks)+1)
	if e.Advertise != nil {
		a := kept()
		e.Advertise.fill(a, Inactive)
		list = append(list, ours("ipv6", a))
	}
	if e.Auto {
		list = append(list, ours("ip", kept().put("type", "auto")))
	}
	if e.Create {
		list = append(list, ours("bridge", kept().put("create", "yes")))
	}
	if e.Firewall != (Firewall{}) {
		list = append(list, e.Firewall.element())
	}
	for i := range e.Guards {
		list = append(list, e.Guards[i].element())
	}
	for i := range e.Uplinks {
		list = append(list, e.Uplinks[i].element())
	}
	for i := range e.Forwards {
		if el, _ := before.at(i, len(e.Forwards)); el != nil {
			list = append(list, el)
			continue
		}
		list = append(list, e.Forwards[i].element())
	}
	for i := range e.Publics {
		list = append(list, e.Publics[i].element())
	}
	return ours("network", kept().text("apply", applies[e.Apply]), list...)
}

func (f *Firewall) element() *node {
	a := kept().text("coexist", coexists[f.Coexist])
	if f.Filter {
		a.put("mode", f.Mode.String())
	}
	a.yes("offload", f.Offload)
	if f.Services {
		a.put("host", "services")
	}
	return ours("firewall", a)
}

// String returns the element in its canonical form, as a document of its own
// that ends in a newline.
func (e *Extensions) String() string { return text(e.element(nil)) }

// Bare returns the element without its namespace, as libvirt's
// virNetworkSetMetadata wants it, which puts it into one again.
func (e *Extensions) Bare() string {
	el := e.element(nil)
	el.strip(Namespace)
	return string(el.dump(nil, 0, true))
}

// Clone returns a deep copy.
func (e *Extensions) Clone() *Extensions {
	c := *e
	c.Advertise = clonePtr(e.Advertise)
	if c.Advertise != nil {
		c.Advertise.Deprecated = slices.Clone(c.Advertise.Deprecated)
	}
	c.Forwards = slices.Clone(e.Forwards)
	separate(c.Forwards, func(f *PortForward) *[]ForwardRange { return &f.Ranges })
	separate(c.Forwards, func(f *PortForward) *[]netip.Prefix { return &f.From })
	c.Publics = slices.Clone(e.Publics)
	c.Guards = slices.Clone(e.Guards)
	for i := range c.Guards {
		c.Guards[i].Allow = slices.Clone(c.Guards[i].Allow)
	}
	c.Uplinks = slices.Clone(e.Uplinks)
	return &c
}

// separate gives all elements of a list copies of a list that each has, which take one
// allocation together.
func separate[T, L any](list []T, of func(*T) *[]L) {
	total := 0
	for i := range list {
		total += len(*of(&list[i]))
	}
	all := make([]L, 0, total)
	for i := range list {
		if own := of(&list[i]); *own != nil {
			from := len(all)
			all = append(all, *own...)
			*own = all[from:len(all):len(all)]
		}
	}
}

// SetExtensions replaces the element in the metadata, in its canonical form; the
// zero value removes it. The metadata of others stays. An error leaves the
// network as it was.
func (n *Network) SetExtensions(e *Extensions) error {
	if e.IsZero() {
		return n.SetMetadata(Namespace, extensionPrefix, "")
	}
	before := n.drawn(e)
	el := document(e.element(before))
	read := &Extensions{}
	if err := read.parse(el, "network '"+n.Name+"'", before); err != nil {
		return lined(err)
	}
	if err := n.checkExtensions(read); err != nil {
		return err
	}
	if err := n.putMetadata(Namespace, el); err != nil {
		return err
	}
	n.Metadata.ext.Store(read)
	n.Metadata.ours = true
	return nil
}

// checkExtensions refuses what makes no sense in a network of its mode.
func (n *Network) checkExtensions(e *Extensions) error {
	el, mode := n.extension(), n.Forward.Mode
	refuse := func(format string, args ...any) error {
		return el.unsupported(format+" (network '"+strings.ReplaceAll(n.Name, "%", "%%")+"')", args...)
	}
	switch {
	case len(e.Uplinks) > 0 && n.misled(e) != "":
		return refuse("%s", n.misled(e))
	case e.Firewall.Filter && mode != ForwardOpen:
		return refuse("firewall mode='%s' is for networks with forward mode='open', not '%s'", e.Firewall.Mode, mode)
	case len(e.Guards) > 0 && !n.OwnsBridge() && !e.Create:
		return refuse("guard is not supported with forward mode='%s', in which the network has no bridge of its own", mode)
	case n.checkGuards(e) != nil:
		return n.checkGuards(e)
	case mode.Routed():
		return nil
	case len(e.Forwards) > 0:
		return refuse("portForward is not supported with forward mode='%s', whose guests are not behind the host", mode)
	case len(e.Publics) > 0:
		return refuse("address is not supported with forward mode='%s', whose guests are not behind the host", mode)
	case e.Firewall.Services:
		return refuse("firewall host='services' is not supported with forward mode='%s', whose guests are not behind the host", mode)
	case e.Firewall.Offload:
		return refuse("firewall offload='yes' is not supported with forward mode='%s', whose guests are not behind the host", mode)
	}
	return nil
}

// Extended returns a copy in which the elements of <virbr:network> that may also
// stand in the network itself have effect as if they stood there. It is for
// definitions, not for what is running, in which addresses are chosen. One that
// is given in both places is an error. The result may be one that
// [Network.Validate] refuses.
func (n *Network) Extended() (*Network, error) {
	e, err := n.Extensions()
	if err != nil {
		return nil, err
	}
	el, made := n.extension(), n.Clone()
	twice := func(name string) error {
		return el.unsupported("element '%s' is given in network '%s' and in its metadata", name, n.Name)
	}
	if e.Advertise != nil {
		if n.Advertise != nil {
			return nil, twice("ipv6")
		}
		made.Advertise = e.Clone().Advertise
	}
	if e.Auto {
		if ipv4, _ := n.Open(); ipv4 {
			return nil, twice("ip type='auto'")
		}
		made.IPs = append(made.IPs, IP{Auto: true})
	}
	if !e.Create {
		return made, nil
	}
	if n.Bridge.Create {
		return nil, twice("bridge create='yes'")
	}
	made.Bridge.Create = true
	switch {
	case n.Forward.Mode != ForwardBridge:
		return nil, el.bad("bridge create='yes' only allowed in bridge mode, not in %s (network '%s')", n.Forward.Mode, n.Name)
	case n.Bridge.Name == "":
		return nil, el.bad("bridge create='yes' needs a bridge name (network '%s')", n.Name)
	}
	return made, nil
}
