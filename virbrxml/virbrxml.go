package virbrxml

import (
	"fmt"

	"libvirt.org/go/libvirtxml"

	"github.com/virbr/virbr/xml"
)

// Namespace is that of the vocabulary, with the prefix virbr.
const Namespace = xml.Namespace

// The words of the vocabulary.
type (
	// Extensions is the element <virbr:network>. The zero value has nothing.
	Extensions = xml.Extensions
	// PortForward is one <virbr:portForward>. The first one that matches counts.
	PortForward = xml.PortForward
	// Range is one <virbr:range> of a forward.
	Range = xml.ForwardRange
	// PublicAddress is one <virbr:address>.
	PublicAddress = xml.PublicAddress
	// Advertise is <virbr:ipv6 advprefix='...'/>.
	Advertise = xml.Advertise
	// Firewall is <virbr:firewall>.
	Firewall = xml.Firewall
	// Apply is <virbr:network apply='...'>.
	Apply = xml.Apply
)

// The values of Apply: as virbrd.conf has it, with the next start, and at once.
const (
	ApplyUnset = xml.ApplyUnset
	ApplyStart = xml.ApplyStart
	ApplyLive  = xml.ApplyLive
)

// Read returns what a network has of the vocabulary. An error names the element that
// makes no sense.
func Read(n *libvirtxml.Network) (*Extensions, error) {
	def, err := parse(n)
	if err != nil {
		return nil, err
	}
	ext, err := def.Extensions()
	if err != nil {
		return nil, fmt.Errorf("reading the extensions of network %q: %w", n.Name, err)
	}
	return ext.Clone(), nil
}

// Write replaces what a network has of the vocabulary; the zero value removes it. An
// error leaves the network as it was.
func Write(n *libvirtxml.Network, ext *Extensions) error {
	def, err := parse(n)
	if err != nil {
		return err
	}
	if err := def.SetExtensions(ext); err != nil {
		return fmt.Errorf("writing the extensions of network %q: %w", n.Name, err)
	}
	var made libvirtxml.Network
	if err := made.Unmarshal(def.Format(0)); err != nil {
		return fmt.Errorf("writing the extensions of network %q: %w", n.Name, err)
	}
	n.Metadata = made.Metadata
	return nil
}

// parse reads a network as virbrd does.
func parse(n *libvirtxml.Network) (*xml.Network, error) {
	doc, err := n.Marshal()
	if err != nil {
		return nil, fmt.Errorf("formatting network %q: %w", n.Name, err)
	}
	def, err := xml.ParseNetwork([]byte(doc))
	if err != nil {
		return nil, fmt.Errorf("reading network %q: %w", n.Name, err)
	}
	return def, nil
}
