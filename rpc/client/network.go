package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/xml"
)

// Affect says which definitions a change is for: libvirt's
// VIR_NETWORK_UPDATE_AFFECT_* bits.
type Affect uint32

// The bits of an Affect.
const (
	AffectLive Affect = 1 << iota
	AffectConfig
)

// metadataElement is libvirt's VIR_NETWORK_METADATA_ELEMENT.
const metadataElement = 2

// inactive is libvirt's VIR_NETWORK_XML_INACTIVE.
const inactive = 1

// Network is one network of the daemon.
type Network struct {
	Name       string
	Active     bool
	Persistent bool
	Autostart  bool

	ref proto.Network
}

// UUID returns that of the network.
func (n Network) UUID() xml.UUID { return n.ref.UUID }

// Networks returns all networks.
func (c *Conn) Networks(ctx context.Context) ([]Network, error) {
	var list proto.Networks
	if err := c.call(ctx, proto.ConnectListAllNetworks, &proto.ListArgs{Need: 1}, &list); err != nil {
		return nil, fmt.Errorf("listing networks: %w", err)
	}
	nets := make([]Network, 0, len(list.Networks))
	for _, ref := range list.Networks {
		n, err := c.state(ctx, ref)
		if IsNoNetwork(err) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		nets = append(nets, n)
	}
	return nets, nil
}

// Lookup returns a network by its name; see [IsNoNetwork].
func (c *Conn) Lookup(ctx context.Context, name string) (Network, error) {
	var ref proto.Network
	if err := c.call(ctx, proto.NetworkLookupByName, &proto.String{Value: name}, &ref); err != nil {
		return Network{}, err
	}
	return c.state(ctx, ref)
}

func (c *Conn) state(ctx context.Context, ref proto.Network) (Network, error) {
	n := Network{Name: ref.Name, ref: ref}
	for _, q := range []struct {
		procedure int32
		into      *bool
	}{{proto.NetworkIsActive, &n.Active}, {proto.NetworkIsPersistent, &n.Persistent}, {proto.NetworkGetAutostart, &n.Autostart}} {
		var yes proto.Int
		if err := c.call(ctx, q.procedure, &ref, &yes); err != nil {
			return n, err
		}
		*q.into = yes.Value != 0
	}
	return n, nil
}

// Definition returns the definition that is persistent, or the running one.
func (c *Conn) Definition(ctx context.Context, n Network, live bool) (*xml.Network, error) {
	args := proto.NetworkFlags{Network: n.ref}
	if !live {
		args.Flags = inactive
	}
	var doc proto.String
	if err := c.call(ctx, proto.NetworkGetXMLDesc, &args, &doc); err != nil {
		return nil, err
	}
	def, err := xml.ParseNetwork([]byte(doc.Value))
	if err != nil {
		return nil, fmt.Errorf("reading the definition of network %q: %w", n.Name, err)
	}
	return def, nil
}

// Lease is one DHCP lease of a network.
type Lease struct {
	Name, MAC, Address string
	ClientID           string // of IPv6: the DUID
	Expiry             int64  // seconds since the epoch; 0: never
}

// Leases returns the leases of a network that runs.
func (c *Conn) Leases(ctx context.Context, n Network) ([]Lease, error) {
	var list proto.Leases
	if err := c.call(ctx, proto.NetworkGetDHCPLeases, &proto.LeasesArgs{Network: n.ref, Need: 1}, &list); err != nil {
		return nil, err
	}
	found := make([]Lease, 0, len(list.Leases))
	for _, l := range list.Leases {
		found = append(found, Lease{Name: deref(l.Hostname), MAC: deref(l.MAC), Address: l.Address, ClientID: deref(l.ClientID), Expiry: l.Expiry})
	}
	return found, nil
}

// Guests returns the leases of a network that runs, and the guests whose addresses
// its definition fixes.
func (c *Conn) Guests(ctx context.Context, n Network) ([]Lease, error) {
	list, err := c.Leases(ctx, n)
	if err != nil {
		return nil, err
	}
	def, err := c.Definition(ctx, n, true)
	if err != nil {
		return nil, err
	}
	for i := range def.IPs {
		for _, h := range def.IPs[i].Hosts {
			list = append(list, Lease{Name: h.Name, MAC: h.MAC, Address: h.IP.String()})
		}
	}
	return list, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// metadata returns the extensions in a definition. known is false if the daemon
// keeps no metadata of networks, as libvirt before 9.7.
func (c *Conn) metadata(ctx context.Context, n Network, affect Affect) (e *xml.Extensions, known bool, err error) {
	text, known, err := c.metadataText(ctx, n, affect)
	if err != nil || !known {
		return nil, known, err
	}
	if text == "" {
		return &xml.Extensions{}, true, nil
	}
	e, err = xml.ParseExtensions([]byte(text))
	if err != nil {
		err = fmt.Errorf("reading the extensions of network %q: %w", n.Name, &BrokenError{err})
	}
	return e, true, err
}

// metadataText returns the element in a definition's metadata; "": there is none.
func (c *Conn) metadataText(ctx context.Context, n Network, affect Affect) (element string, known bool, err error) {
	if known, err := c.keepsMetadata(ctx); err != nil || !known {
		return "", false, err
	}
	space := xml.Namespace
	var text proto.String
	err = c.call(ctx, proto.NetworkGetMetadata, &proto.MetadataArgs{Network: n.ref, Type: metadataElement, URI: &space, Flags: uint32(affect)}, &text)
	if hasCode(err, codeNoMetadata) {
		return "", true, nil
	}
	return text.Value, true, err
}

// metadataVersion is the libvirt since which networks have metadata: 9.7.0.
const metadataVersion = 9_007_000

// keepsMetadata reports whether the daemon is new enough. Calling what an older one
// does not know would tell as well, but it logs that as an error.
func (c *Conn) keepsMetadata(ctx context.Context) (bool, error) {
	var version proto.Hyper
	if err := c.call(ctx, proto.ConnectGetLibVersion, nil, &version); err != nil {
		return false, err
	}
	return version.Value >= metadataVersion, nil
}

// setMetadata replaces the extensions in a definition.
func (c *Conn) setMetadata(ctx context.Context, n Network, affect Affect, e *xml.Extensions) error {
	space, key := xml.Namespace, "virbr"
	args := proto.SetMetadataArgs{Network: n.ref, Type: metadataElement, Key: &key, URI: &space, Flags: uint32(affect)}
	if !e.IsZero() {
		text := e.Bare()
		args.Metadata = &text
	}
	return c.call(ctx, proto.NetworkSetMetadata, &args, &proto.Void{})
}

// HasExtensions reports whether the daemon has the extension program: whether it
// is virbrd.
func (c *Conn) HasExtensions(ctx context.Context) (bool, error) {
	c.mu.Lock()
	extra := c.extra
	c.mu.Unlock()
	if extra != nil {
		return *extra, nil
	}
	// Calling the program would tell as well, but libvirt logs that as an error.
	var answer proto.Int
	err := c.call(ctx, proto.ConnectSupportsFeature, &proto.Int{Value: proto.FeatureExtensions}, &answer)
	if _, refused := errors.AsType[*Error](err); err != nil && !refused {
		return false, err
	}
	has := err == nil && answer.Value == 1
	c.mu.Lock()
	c.extra = &has
	c.mu.Unlock()
	return has, nil
}

// Ports returns the ports of a network that runs: the cards of guests that its daemon
// knows of.
func (c *Conn) Ports(ctx context.Context, n Network) ([]*xml.Port, error) {
	var list proto.Ports
	if err := c.call(ctx, proto.NetworkListAllPorts, &proto.PortsArgs{Network: n.ref, Need: 1}, &list); err != nil {
		return nil, fmt.Errorf("listing the ports of network %q: %w", n.Name, err)
	}
	var found []*xml.Port
	for _, ref := range list.Ports {
		var doc proto.String
		err := c.call(ctx, proto.NetworkPortGetXMLDesc, &proto.PortFlags{Port: ref}, &doc)
		if hasCode(err, codeNoPort) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("reading a port of network %q: %w", n.Name, err)
		}
		p, err := xml.ParsePort([]byte(doc.Value))
		if err != nil {
			return nil, fmt.Errorf("reading a port of network %q: %w", n.Name, err)
		}
		found = append(found, p)
	}
	return found, nil
}
